import test from 'ava'
import { type CyclicWait, checkCyclicBarrier } from './cyclic-barrier.ts'
import { checkDoubleBarrier, type DoubleBarrierStay } from './double-barrier.ts'
import type { Change, Commit } from './history.ts'
import { checkLatch } from './latch.ts'

function logOf(...commits: readonly (readonly Change[])[]): Commit[] {
  return commits.map((changes, index) => ({ revision: BigInt(index + 2), at: 10 * (index + 1), changes }))
}

function put(key: string, value = '', version = 1n): Change {
  return { kind: 'put', key, value, createRevision: 2n, version, lease: 7n }
}

function state(generation: number, phase: string, past: string): Change {
  return put('b/state', JSON.stringify({ generation, phase, past }))
}

function come(who: string): Change {
  return put(`b/0/m/${who}`)
}

function go(who: string): Change {
  return { kind: 'delete', key: `b/0/m/${who}` }
}

const met = logOf([come('ann')], [come('bob')], [state(1, 'gathering', 'p')])
const one: CyclicWait = { startedAt: 5, endedAt: 35, passed: { generation: 0, index: 0 } }
const other: CyclicWait = { startedAt: 15, endedAt: 30, passed: { generation: 0, index: 1 } }

function cyclic(log: readonly Commit[], waits: readonly CyclicWait[], recorderLagMs = 0): string[] {
  const use = { name: 'b', parties: 2, waits, recorderLagMs, indexesAreKnown: true }
  return checkCyclicBarrier(log, use).map(({ message }) => message)
}

test('a round that all parties came to is passed by them', t => {
  t.deepEqual(cyclic(met, [one, other]), [])
})

test('a round that is passed by one too few is found', t => {
  const early = logOf([come('ann')], [state(1, 'gathering', 'p')])
  t.regex(cyclic(early, [{ ...one, endedAt: 20 }]).join(), /only 1 were there together/)
})

test('parties of which one had gone before the other came were not there together', t => {
  const apart = logOf([come('ann')], [go('ann')], [come('bob')], [state(1, 'gathering', 'p')])
  t.regex(cyclic(apart, []).join(), /only 1 were there together/)
})

test('whoever passes a round that was broken, that has not ended, or before it ended is found', t => {
  const broken = logOf([come('ann')], [state(0, 'broken', '')])
  t.regex(cyclic(broken, [one]).join(), /1 passed in round 0, which was broken/)
  t.regex(cyclic(logOf([come('ann')]), [one]).join(), /has not ended/)
  t.regex(cyclic(met, [{ ...other, endedAt: 29 }]).join(), /ended at 30, not within/)
  t.deepEqual(cyclic(met, [{ ...other, endedAt: 29 }], 1), [])
})

test('an index given twice, and a break nobody made, are found', t => {
  t.regex(cyclic(met, [one, { ...other, passed: one.passed! }]).join(), /an index of round 0 was given twice/)
  t.regex(cyclic(met, [{ startedAt: 5, endedAt: 35, broken: true }]).join(), /before it was/)
})

const stayed = logOf(
  [come('ann')],
  [come('bob')],
  [state(0, 'open', '')],
  [go('ann')],
  [go('bob')],
  [state(1, 'gathering', 'p')],
)
const stay: DoubleBarrierStay = { startedAt: 5, entered: { generation: 0, at: 35 }, leftAt: 65 }

function double(log: readonly Commit[], ...stays: readonly DoubleBarrierStay[]): string[] {
  return checkDoubleBarrier(log, { name: 'b', parties: 2, stays, recorderLagMs: 0 }).map(
    ({ message }) => message,
  )
}

test('those who enter together and leave together are in order', t => {
  t.deepEqual(double(stayed, stay, stay), [])
})

test('a round that opens to one too few, or closes before all have left, is found', t => {
  const early = logOf([come('ann')], [state(0, 'open', '')], [state(1, 'gathering', 'p')])
  const [opened, closed] = double(early)
  t.regex(opened!, /only 1 were there together/)
  t.regex(closed!, /closed with 1 still inside/)
})

test('whoever enters before it opens, or is let go before it ends, is found', t => {
  t.regex(double(stayed, { startedAt: 5, entered: { generation: 0, at: 25 } }).join(), /which opened at 30/)
  t.regex(double(stayed, { ...stay, leftAt: 55 }).join(), /which ended at 60/)
  t.regex(double(stayed, stay, stay, stay).join(), /3 entered in round 0/)
})

const counted = logOf(
  [put('l/count', JSON.stringify({ round: 1, total: 2, base: '1' }), 1n)],
  [put('l/count', JSON.stringify({ round: 1, total: 2, base: '1' }), 2n), put('l/1/ann', 'a')],
  [put('l/count', JSON.stringify({ round: 1, total: 2, base: '1' }), 3n), put('l/1/bob', 'b'), put('l/open')],
)

function latch(log: readonly Commit[], startedAt: number, endedAt: number): string[] {
  return checkLatch(log, { name: 'l', waits: [{ startedAt, endedAt }], recorderLagMs: 0 }).map(
    ({ message }) => message,
  )
}

test('a latch that all have counted down lets through', t => {
  t.deepEqual(latch(counted, 5, 30), [])
})

test('a latch that lets through, or opens, while somebody is missing is found', t => {
  t.regex(latch(counted, 5, 29).join(), /when it was not open/)
  const [set, first] = counted
  const opened = [set!, { ...first!, changes: [...first!.changes, put('l/open')] }]
  t.regex(latch(opened, 25, 26).join(), /opened it with 1 missing/)
})
