import test from 'ava'
import {
  type Candidate,
  candidateOf,
  candidateValue,
  leadKeys,
  ranked,
} from '../../recipes/internal/lead/candidate-entry.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { text, toBytes } from '../../src/wire/bytes.ts'
import type { KeyValue } from '../../src/wire/gen/kv.g.ts'

const keys = leadKeys(KeySpace.whole, toBytes('jobs'))
const place = toBytes('{"v":1,"owner":"ada","host":"h","pid":7,"sinceMs":9}')

test('leaders stand below the name in the layout of Go, candidates beside it', t => {
  t.is(text(keys.leaders), 'jobs/')
  t.is(text(keys.candidates), 'jobs.candidates/')
  const inside = leadKeys(KeySpace.whole.within(toBytes('app/')), toBytes('jobs'))
  t.is(text(inside.leaders), 'app/jobs/')
  t.is(text(inside.candidates), 'app/jobs.candidates/')
})

test('a candidate says its priority and who it is, and what it wants proclaimed', t => {
  const said = candidateValue(3, place, undefined)
  t.deepEqual(JSON.parse(text(said)), { v: 1, priority: 3, owner: 'ada', host: 'h', pid: 7, sinceMs: 9 })
  const found = candidateOf(kvOf({ lease: 5n, value: said }), keys) as Candidate
  t.like(found, { priority: 3, owner: 'ada', leaseId: 5n })
  t.is(text(found.value), text(place), 'to be proclaimed as if it had been elected by itself')
  const own = candidateOf(
    kvOf({ lease: 5n, value: candidateValue(0, place, new Uint8Array([0, 255])) }),
    keys,
  )
  t.deepEqual(own?.value, new Uint8Array([0, 255]))
  const shy = candidateOf(kvOf({ lease: 5n, value: candidateValue(0, toBytes(''), undefined) }), keys)
  t.is(shy?.owner, undefined)
  t.is(shy?.value.length, 0)
})

test('whoever has the highest priority comes first, then whoever came first', t => {
  const kvs = [
    kvOf({ lease: 1n, priority: 0, at: 10n }),
    kvOf({ lease: 2n, priority: 5, at: 30n }),
    kvOf({ lease: 3n, priority: 5, at: 20n }),
    kvOf({ lease: 4n, priority: -1, at: 5n }),
  ]
  t.deepEqual(
    ranked(kvs, keys).map(({ leaseId }) => leaseId),
    [3n, 2n, 1n, 4n],
  )
})

test('what is no candidate is left out', t => {
  const wrong: readonly KeyValue[] = [
    kvOf({ lease: 1n, value: toBytes('no JSON') }),
    kvOf({ lease: 1n, value: toBytes('null') }),
    kvOf({ lease: 1n, value: toBytes('{"v":2,"priority":1}') }),
    kvOf({ lease: 1n, value: toBytes('{"v":1}') }),
    kvOf({ lease: 1n, value: toBytes('{"v":1,"priority":1.5}') }),
    kvOf({ lease: 1n, value: toBytes('{"v":1,"priority":"9"}') }),
    kvOf({ lease: 0n, priority: 1 }),
    { ...kvOf({ lease: 1n, priority: 1 }), key: toBytes('jobs.candidates/2') },
    { ...kvOf({ lease: 1n, priority: 1 }), key: toBytes('jobs.candidates/a/1') },
  ]
  t.deepEqual(ranked(wrong, keys), [])
})

function kvOf({
  lease,
  priority = 0,
  value = candidateValue(priority, place, undefined),
  at = 4n,
}: {
  readonly lease: bigint
  readonly priority?: number
  readonly value?: Uint8Array
  readonly at?: bigint
}): KeyValue {
  const key = toBytes(`jobs.candidates/${lease.toString(16)}`)
  return { key, value, lease, createRevision: at, modRevision: at, version: 1n }
}
