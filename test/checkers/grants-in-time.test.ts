import test from 'ava'
import { exact } from './assumptions.ts'
import { checkGrantsInTime } from './grants-in-time.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { Change, History } from './history.ts'
import { changingModes, type LineRule, readersAndWriters } from './line-rule.ts'
import { truthOf } from './truth-of.ts'

const calm = { from: 1000, until: 9000, graceMs: 500, withinMs: 100 }
/** Created one after the other before all is calm; the first is deleted at 3000. */
const TURN_AT = 3000
const log: readonly (readonly Change[])[] = [
  [put('l/a', 2n, 'v', 1n)],
  [put('l/b', 3n, 'v', 2n)],
  [{ kind: 'delete', key: 'l/a' }],
]
const times = [20, 40, TURN_AT]

test('whoever is granted as soon as its turn has come is granted in time', t => {
  for (const settledAt of [TURN_AT, TURN_AT + 50, TURN_AT + 100])
    t.deepEqual(check({ acquisitions: [acquisition('l/b', 3n, { settledAt })] }), [], `${settledAt}`)
})

test('whoever is granted only when it looked again is found, however late it was and whenever its turn came', t => {
  for (let late = 101; late < 5000; late += 311) {
    const acquisitions = [acquisition('l/b', 3n, { settledAt: TURN_AT + late })]
    t.deepEqual(check({ acquisitions }), ['granted-late'], `${late} ms late`)
  }
  for (let turnAt = 1500; turnAt <= 8900; turnAt += 211) {
    const acquisitions = [acquisition('l/b', 3n, { settledAt: turnAt + 101 })]
    t.deepEqual(check({ acquisitions, times: [20, 40, turnAt] }), ['granted-late'], `turn at ${turnAt}`)
  }
})

test('whoever finds nobody before it is granted in time or found as well', t => {
  const alone = { log: [[put('l/b', 2n, 'v', 2n)]], times: [4000] }
  t.deepEqual(check({ ...alone, acquisitions: [acquisition('l/b', 2n, { settledAt: 4100 })] }), [])
  t.deepEqual(check({ ...alone, acquisitions: [acquisition('l/b', 2n, { settledAt: 4101 })] }), [
    'granted-late',
  ])
})

test('what happens before all is calm, or at the end of it, may take longer', t => {
  const acquisitions = [acquisition('l/b', 3n, { settledAt: 9500 })]
  t.deepEqual(check({ acquisitions, times: [20, 40, 1499] }), [])
  t.deepEqual(check({ acquisitions, times: [20, 40, 8901] }), [])
})

test('whoever stood still while its turn came, or shortly before, may be late', t => {
  const acquisitions = [acquisition('l/b', 3n, { settledAt: TURN_AT + 2000 })]
  const stood = (from: number, until: number, process = 'p3') => [{ process, from, until }]
  t.deepEqual(check({ acquisitions, stalls: stood(TURN_AT + 10, TURN_AT + 20) }), [])
  t.deepEqual(check({ acquisitions, stalls: stood(0, TURN_AT - 499) }), [])
  t.deepEqual(check({ acquisitions, stalls: stood(0, TURN_AT - 500) }), ['granted-late'])
  t.deepEqual(check({ acquisitions, stalls: stood(TURN_AT + 2000, TURN_AT + 3000) }), ['granted-late'])
  t.deepEqual(check({ acquisitions, stalls: stood(0, 9000, 'p2') }), ['granted-late'], 'somebody else')
})

test('readers wait for writers before them, and for nobody else', t => {
  const read = JSON.stringify({ mode: 'read' })
  const mixed = (first: string) => ({
    log: [[put('l/a', 2n, first, 1n)], [put('l/b', 3n, read, 2n)], log[2]!],
    times: [2000, 2010, TURN_AT],
    acquisitions: [acquisition('l/b', 3n, { settledAt: TURN_AT + 50 })],
    rule: readersAndWriters,
  })
  t.deepEqual(check(mixed('write')), [])
  t.deepEqual(check(mixed(read)), ['granted-late'])
})

test('of several granted as one, the last turn counts', t => {
  const joint = {
    log: [
      [put('l/a', 2n, 'v', 1n), put('m/a', 2n, 'v', 1n)],
      [put('l/b', 3n, 'v', 2n), put('m/b', 3n, 'v', 2n)],
      [{ kind: 'delete', key: 'l/a' }],
      [{ kind: 'delete', key: 'm/a' }],
    ] as readonly (readonly Change[])[],
    times: [20, 40, TURN_AT, TURN_AT + 1000],
  }
  const granted = (settledAt: number) =>
    ['l', 'm'].map(line => acquisition(`${line}/b`, 3n, { id: line, line: `${line}/`, settledAt }))
  t.deepEqual(check({ ...joint, acquisitions: granted(TURN_AT + 1100) }), [])
  t.deepEqual(check({ ...joint, acquisitions: granted(TURN_AT + 1101) }), ['granted-late'])
})

test('who is made to wait after a loss is not judged, nor who stands where modes change', t => {
  const acquisitions = [acquisition('l/b', 3n, { settledAt: TURN_AT + 4000 })]
  t.deepEqual(check({ acquisitions, rule: changingModes }), [])
  const delayed = [...log.slice(0, 2), [...log[2]!, put('l.delay', 4n)]]
  t.deepEqual(check({ acquisitions, log: delayed }), [])
})

function check({
  rule,
  ...rest
}: Partial<Omit<History, 'log'>> & {
  readonly log?: readonly (readonly Change[])[]
  readonly times?: readonly number[]
  readonly rule?: LineRule
}): readonly string[] {
  const told = history({ log, times, ...rest })
  const assumptions = rule === undefined ? exact : { ...exact, ruleOf: () => rule }
  return checkGrantsInTime(told, calm, truthOf(told, assumptions)).map(({ rule }) => rule)
}
