import test from 'ava'
import { exact } from './assumptions.ts'
import { checkHistory } from './check.ts'
import { goodHistory, NOTICE_MS } from './good-history.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { History } from './history.ts'
import { readNdjson, writeEntry, writeNdjson } from './ndjson.ts'

test('a history that is written and read again is the same', t => {
  for (let seed = 0; seed < 20; seed += 1) {
    const before = goodHistory(seed)
    const after = readNdjson(writeNdjson(before))
    // Entries of one time may have any order; these have none.
    t.deepEqual(after.log, before.log)
    t.deepEqual(after.acquisitions, before.acquisitions)
    t.deepEqual(after.watches, before.watches)
    t.deepEqual(byId(after.writes), byId(before.writes))
    t.deepEqual(after.interventions, before.interventions)
    t.deepEqual(checkHistory(after, { ...exact, noticeMs: NOTICE_MS }), [])
  }
})

test('what several processes wrote becomes one history, sorted', t => {
  const whole = goodHistory(3)
  const part = (names: (name: string) => boolean): Partial<History> => ({
    acquisitions: whole.acquisitions.filter(({ process }) => names(process)),
    releases: whole.releases.filter(({ process }) => names(process)),
    stalls: whole.stalls,
  })
  const own = { ...part(name => name === 'p0'), stalls: [] }
  const others = part(name => name !== 'p0')
  const merged = readNdjson(writeNdjson(others), writeNdjson(own), writeNdjson({ log: whole.log }))
  t.deepEqual(merged.acquisitions, whole.acquisitions)
  t.deepEqual(merged.log, whole.log)
})

test('a commit that two have seen is one, as the first saw it', t => {
  const { log } = history({ log: [[put('a', 2n)], [put('b', 3n)]] })
  const late = log.map(commit => ({ ...commit, at: commit.at + 3 }))
  t.deepEqual(readNdjson(writeNdjson({ log: late }), writeNdjson({ log })).log, log)
})

test('numbers beyond the safe integers and times without end are kept', t => {
  const token = 2n ** 63n - 1n
  const one = acquisition('l/\xff', token, { settledAt: Infinity, believedUntil: Infinity })
  t.deepEqual(readNdjson(`${writeEntry('acquisitions', one)}\n`).acquisitions, [one])
  const write = {
    id: 'w',
    process: 'p',
    key: 'k',
    value: 'Infinity',
    outcome: 'ok' as const,
    invokedAt: 0,
    settledAt: 1,
  }
  t.deepEqual(readNdjson(writeNdjson({ writes: [write] })).writes, [write])
  const gone = { ...write, value: undefined }
  t.deepEqual(readNdjson(writeNdjson({ writes: [gone] })).writes, [gone])
})

test('a last line that was cut off is left out, any other is not', t => {
  const text = writeNdjson({ acquisitions: [acquisition('l/a', 2n), acquisition('l/b', 3n)] })
  t.is(readNdjson(text.slice(0, -20)).acquisitions.length, 1)
  t.throws(() => readNdjson(`{"kind":\n${text}`), { instanceOf: SyntaxError })
  t.throws(() => readNdjson('{"kind":"songs","entry":{}}\n'), { instanceOf: TypeError })
})

function byId<Entry extends { readonly id: string }>(entries: readonly Entry[]): readonly Entry[] {
  return entries.toSorted((one, other) => (one.id < other.id ? -1 : 1))
}
