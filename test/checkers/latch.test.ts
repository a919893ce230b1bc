import test from 'ava'
import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import type { Change, Commit } from './history.ts'
import { checkLatch, type LatchUse, type LatchWait } from './latch.ts'

const ROUNDS = 4

interface Facts {
  readonly log: readonly Commit[]
  readonly waits: readonly LatchWait[]
}

/** Counts that are set, counted down by one after the other, and set anew when the latch has opened. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const log: Commit[] = []
  const waits: LatchWait[] = []
  let at = 0
  let version = 0n
  let calls = 0
  const commit = (...changes: Change[]) => {
    at += integer(random, 6, 30)
    log.push({ revision: BigInt(log.length + 2), at, changes })
  }
  for (let round = 1; round <= ROUNDS; round += 1) {
    const total = integer(random, 2, 4)
    const value = JSON.stringify({ round, total, base: `${version + 1n}` })
    const count = () => {
      version += 1n
      return put('l/count', value, version)
    }
    commit(count())
    const setAt = at
    for (let counted = 1; counted <= total; counted += 1) {
      calls += 1
      const mark = put(`l/${round}/p${counted}`, `call ${calls}`)
      commit(count(), mark, ...(counted === total ? [put('l/open')] : []))
      // Somebody else works meanwhile.
      if (random() < 0.2) commit(put('elsewhere'))
    }
    const openedAt = log.findLast(({ changes }) => changes.some(({ key }) => key === 'l/open'))!.at
    at += 10
    for (let each = 0; each < 2; each += 1) {
      const startedAt = integer(random, setAt - 5, openedAt + 9)
      waits.push({ startedAt, endedAt: Math.max(startedAt, openedAt) + integer(random, 0, 30) })
    }
  }
  return { log, waits }
}

type Put = Extract<Change, { kind: 'put' }>
type Log = Deep<readonly Commit[]>

function put(key: string, value = '', version = 1n): Put {
  return { kind: 'put', key, value, createRevision: 2n, version, lease: 0n }
}

function countIn({ changes }: Deep<Commit>): Deep<Put> | undefined {
  return changes.find((one): one is Deep<Put> => one.kind === 'put' && one.key === 'l/count')
}

function markIn({ changes }: Deep<Commit>): Deep<Put> | undefined {
  return changes.find((one): one is Deep<Put> => one.kind === 'put' && /^l\/\d+\//.test(one.key))
}

function opens({ changes }: Deep<Commit>): boolean {
  return changes.some(({ key }) => key === 'l/open')
}

const isSet = (commit: Deep<Commit>) => countIn(commit) !== undefined && markIn(commit) === undefined
const isCountedDown = (commit: Deep<Commit>) => markIn(commit) !== undefined

function toCommit(
  fits: (commit: Deep<Commit>, log: Log) => boolean,
  change: (commit: Deep<Commit>, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.log,
      random,
      commit => fits(commit, draft.log),
      commit => change(commit, draft, random),
    )
}

/** The count has been written so many times more, or less, before the rounds from there on. */
function shift(commits: Log, by: bigint): void {
  for (const commit of commits) {
    const count = countIn(commit)
    if (count === undefined) continue
    const now = JSON.parse(count.value) as { base: string }
    count.version += by
    count.value = JSON.stringify({ ...now, base: `${BigInt(now.base) + by}` })
  }
}

function after(log: Log, index: number, changes: Deep<Change>[]): void {
  const { at, revision } = log[index]!
  log.splice(index + 1, 0, { at: at + 1, revision, changes })
  for (const [each, commit] of log.entries()) commit.revision = BigInt(each + 2)
}

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'somebody is let through before the latch has opened',
    rules: ['latch-passed-closed'],
    corrupt: toCommit(opens, ({ at }, { log, waits }, random) => {
      const setAt = log.findLast(commit => commit.at < at && isSet(commit))!.at
      const endedAt = integer(random, setAt + 1, at - 1)
      waits.push({ startedAt: integer(random, setAt + 1, endedAt), endedAt })
    }),
  },
  {
    title: 'somebody is let through in the very last instant before the latch opens',
    rules: ['latch-passed-closed'],
    corrupt: toCommit(opens, ({ at }, { waits }) => {
      waits.push({ startedAt: at - 1, endedAt: at - 0.01 })
    }),
  },
  {
    title: 'somebody is let through before anything was counted',
    rules: ['latch-passed-closed'],
    corrupt: ({ waits }, random) => {
      waits.push({ startedAt: 0, endedAt: integer(random, 0, 9) + random() })
      return true
    },
  },
  {
    title: 'somebody who came after the count was set anew is let through with those before',
    rules: ['latch-passed-closed'],
    corrupt: toCommit(
      (commit, log) => isSet(commit) && log.indexOf(commit) > 0,
      ({ at }, { waits }, random) => {
        waits.push({ startedAt: at + 1, endedAt: at + 1 + integer(random, 0, 3) })
      },
    ),
  },
  {
    title: 'the latch opens while somebody is missing',
    rules: ['latch-opened-wrongly'],
    corrupt: toCommit(
      commit => isCountedDown(commit) && !opens(commit),
      ({ changes }) => changes.push(put('l/open')),
    ),
  },
  {
    title: 'the latch does not open when the last has counted',
    rules: ['latch-opened-wrongly'],
    corrupt: draft => {
      // Of the last round: what is set over it, and who went through, would be told of, too.
      const last = draft.log.findLast(opens)!
      last.changes = last.changes.filter(({ key }) => key !== 'l/open')
      const setAt = draft.log.findLast(isSet)!.at
      draft.waits = draft.waits.filter(({ startedAt }) => startedAt < setAt - 5)
      return true
    },
  },
  {
    title: 'the latch opens as it is set',
    rules: ['latch-opened-wrongly'],
    corrupt: toCommit(isSet, ({ changes }) => changes.push(put('l/open'))),
  },
  {
    title: 'the latch opens, and nothing is counted',
    rules: ['latch-opened-wrongly'],
    corrupt: toCommit(
      commit => countIn(commit) === undefined,
      ({ changes }) => changes.push(put('l/open')),
    ),
  },
  {
    title: 'the version of the count leaves one out',
    rules: ['latch-version-skipped'],
    corrupt: toCommit(
      (commit, log) => isSet(commit) && log.indexOf(commit) > 0,
      (commit, { log }) => {
        shift(log.slice(log.indexOf(commit)), 1n)
      },
    ),
  },
  {
    title: 'somebody is counted and not marked',
    rules: ['latch-count-unmarked'],
    corrupt: toCommit(isCountedDown, commit => {
      const mark = markIn(commit)
      commit.changes = commit.changes.filter(change => change !== mark)
    }),
  },
  {
    title: 'two are marked and counted as one',
    rules: ['latch-count-unmarked'],
    corrupt: toCommit(isCountedDown, commit => {
      const mark = markIn(commit)!
      commit.changes.push({ ...mark, key: `${mark.key}-too`, value: `${mark.value} too` })
    }),
  },
  {
    title: 'somebody is marked as the count is set, and not counted',
    rules: ['latch-count-unmarked'],
    corrupt: toCommit(isSet, commit => {
      const { round } = JSON.parse(countIn(commit)!.value) as { round: number }
      commit.changes.push(put(`l/${round}/early`, 'early'))
    }),
  },
  {
    title: 'somebody is marked in a commit that counts nobody',
    rules: ['latch-mark-uncounted'],
    corrupt: toCommit(isCountedDown, (commit, { log }) =>
      after(log, log.indexOf(commit), [put(`${markIn(commit)!.key}-too`, 'too')]),
    ),
  },
  {
    title: 'one call is counted twice',
    rules: ['latch-call-twice'],
    corrupt: (draft, random) => {
      const marks = draft.log.flatMap(commit => markIn(commit) ?? [])
      const one = pick(marks, random)!
      const other = pick(
        marks.filter(mark => mark !== one),
        random,
      )!
      other.value = one.value
      return true
    },
  },
  {
    title: 'a participant is counted who was counted before',
    rules: ['latch-participant-twice'],
    corrupt: toCommit(isCountedDown, (commit, _, random) => {
      markIn(commit)!.version += BigInt(integer(random, 1, 3))
    }),
  },
  {
    title: 'a participant of another round is counted',
    rules: ['latch-wrong-round'],
    corrupt: toCommit(isCountedDown, (commit, _, random) => {
      const mark = markIn(commit)!
      mark.key = mark.key.replace(/^l\/\d+/, `l/${integer(random, ROUNDS + 1, ROUNDS + 9)}`)
    }),
  },
  {
    title: 'more are counted than were asked for',
    rules: ['latch-counted-beyond'],
    corrupt: toCommit(opens, (commit, { log }) => {
      const index = log.indexOf(commit)
      const count = countIn(commit)!
      const more = { ...count, version: count.version + 1n }
      shift(log.slice(index + 1), 1n)
      const mark = markIn(commit)!
      after(log, index, [more, put(`${mark.key}-too`, `${mark.value} too`)])
    }),
  },
  {
    title: 'a count is set over another',
    rules: ['latch-set-over-another'],
    corrupt: (draft, random) => {
      const sets = draft.log.filter(isSet)
      const one = pick(sets.slice(1), random)!
      const index = draft.log.indexOf(one)
      const before = draft.log.slice(0, index)
      const last = before.findLastIndex(opens)
      // The round before it was never counted down by its last.
      const { at } = draft.log[last]!
      draft.waits = draft.waits.filter(({ startedAt, endedAt }) => endedAt < at || startedAt > one.at)
      draft.log = [...before.slice(0, last), ...draft.log.slice(index)]
      shift(draft.log.slice(last), -1n)
      return true
    },
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of latches',
  good: drawn,
  check: ({ log, waits }) => checkLatch(log, use(waits)),
  kinds,
})

test('a commit may be dated later than it was made', t => {
  const { log } = drawn(1)
  const openedAt = log.find(({ changes }) => changes.some(({ key }) => key === 'l/open'))!.at
  const early = [{ startedAt: openedAt - 40, endedAt: openedAt - 30 }]
  t.not(checkLatch(log, use(early)).length, 0)
  t.deepEqual(checkLatch(log, { ...use(early), recorderLagMs: 30 }), [])
})

function use(waits: readonly LatchWait[]): LatchUse {
  return { name: 'l', waits, recorderLagMs: 0 }
}
