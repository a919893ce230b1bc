import test from 'ava'
import { history, put } from './hand-written.ts'
import type { Change } from './history.ts'
import { permitTurns } from './permit-turns.ts'

const LIMIT = put('s/limit', 2n, '2')

test('whoever takes permits without standing in line has its turn then', t => {
  t.deepEqual(turns([[LIMIT, slot(0, 2n, 'a')]], [50]), new Map([[2n, 50]]))
})

test('the turn of whoever waits comes with the last permit it lacks', t => {
  const log = [
    [LIMIT, slot(0, 2n, 'a'), slot(1, 2n, 'a')],
    [waiter(3n, 'b', 2)],
    [gone('s/s/0000')],
    [gone('s/s/0001')],
    [slot(0, 6n, 'b'), slot(1, 6n, 'b'), gone('s/w/b')],
  ]
  t.is(turns(log, [0, 10, 20, 30, 40]).get(6n), 30)
})

test('only the first in line has a turn: the next one has it when that is gone', t => {
  const log = [
    [LIMIT, slot(0, 2n, 'a'), slot(1, 2n, 'a')],
    [waiter(3n, 'b', 2)],
    [waiter(4n, 'c', 1)],
    [gone('s/s/0000')],
    [gone('s/w/b')],
    [slot(0, 7n, 'c'), gone('s/w/c')],
  ]
  t.is(turns(log, [0, 10, 20, 30, 40, 50]).get(7n), 40)
})

test('with more permits there may be enough at once, and with fewer there is no turn any more', t => {
  const log = (limits: readonly (readonly [bigint, string])[]) => [
    [LIMIT, slot(0, 2n, 'a'), slot(1, 2n, 'a')],
    [waiter(3n, 'b', 1)],
    ...limits.map(([version, value]): Change[] => [{ ...LIMIT, value, version } as Change]),
    [slot(2, BigInt(4 + limits.length), 'b'), gone('s/w/b')],
  ]
  t.is(turns(log([[2n, '3']]), [0, 10, 20, 30]).get(5n), 20)
  const thrice = log([
    [2n, '3'],
    [3n, '2'],
    [4n, '4'],
  ])
  t.is(turns(thrice, [0, 10, 20, 30, 40, 50]).get(7n), 40)
})

test('what others do to their own semaphores changes nothing', t => {
  const log = [
    [LIMIT, slot(0, 2n, 'a'), slot(1, 2n, 'a')],
    [waiter(3n, 'b', 1)],
    [put('t/limit', 4n, '9')],
    [gone('s/s/0001')],
    [slot(1, 6n, 'b'), gone('s/w/b')],
  ]
  t.is(turns(log, [0, 10, 20, 30, 40]).get(6n), 30)
})

function turns(log: readonly (readonly Change[])[], times: readonly number[]): ReadonlyMap<bigint, number> {
  return permitTurns(history({ log, times }).log, 's')
}

function slot(number: number, revision: bigint, claim: string): Change {
  return put(`s/s/000${number}`, revision, JSON.stringify({ claim, count: 1 }), 7n)
}

function waiter(revision: bigint, claim: string, count: number): Change {
  return put(`s/w/${claim}`, revision, JSON.stringify({ claim, count }), 7n)
}

function gone(key: string): Change {
  return { kind: 'delete', key }
}
