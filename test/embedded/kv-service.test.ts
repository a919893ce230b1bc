import test from 'ava'
import { text, toBytes } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { type PutRequest, type RangeRequest, SortOrder, SortTarget } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { startDirect } from './direct.ts'

async function setUp() {
  const { caller } = await startDirect()
  const put = (key: string, value: string, options: Init<PutRequest> = {}) =>
    caller.call(methods.put, { key: toBytes(key), value: toBytes(value), ...options })
  const range = async (options: Init<RangeRequest>) => {
    const answer = await caller.call(methods.range, {
      key: toBytes('\0'),
      rangeEnd: toBytes('\0'),
      ...options,
    })
    return { ...answer, keys: answer.kvs.map(kv => text(kv.key)).join('') }
  }
  // Keys by create revision: c a b; by mod revision: a b c; by version: a and b, then c; by value: b c a.
  await put('c', '1')
  await put('a', '3')
  await put('b', '1')
  await put('c', '2')
  return { caller, put, range }
}

test('a range is sorted by what it is asked to be sorted by', async t => {
  const { range } = await setUp()
  const sorted = async (sortTarget: SortTarget, sortOrder: SortOrder) =>
    (await range({ sortTarget, sortOrder })).keys
  t.is(await sorted(SortTarget.key, SortOrder.none), 'abc')
  t.is(await sorted(SortTarget.key, SortOrder.descend), 'cba')
  t.is(await sorted(SortTarget.createRevision, SortOrder.ascend), 'cab')
  t.is(await sorted(SortTarget.modRevision, SortOrder.descend), 'cba')
  t.is(await sorted(SortTarget.version, SortOrder.descend), 'cab')
  t.is(await sorted(SortTarget.value, SortOrder.ascend), 'bca')
  t.is(await sorted(SortTarget.value, SortOrder.none), 'bca')
})

test('a limit cuts after sorting and filtering, and the count knows neither', async t => {
  const { range } = await setUp()
  const first = await range({ limit: 1n, sortTarget: SortTarget.createRevision, sortOrder: SortOrder.ascend })
  t.like(first, { keys: 'c', more: true, count: 3n })
  t.like(await range({ limit: 3n }), { keys: 'abc', more: false })
  t.like(await range({ limit: 1n, minModRevision: 4n }), { keys: 'b', more: true, count: 3n })
  t.like(await range({ maxModRevision: 4n }), { keys: 'ab', more: false, count: 3n })
  t.like(await range({ minCreateRevision: 3n, maxCreateRevision: 3n }), { keys: 'a' })
  t.like(await range({ countOnly: true, limit: 1n }), { keys: '', count: 3n, more: false })
})

test('keys alone come without their values', async t => {
  const { range } = await setUp()
  t.true((await range({ keysOnly: true })).kvs.every(kv => kv.value.length === 0 && kv.version > 0n))
})

test('the past is read under the header of the present', async t => {
  const { range } = await setUp()
  const then = await range({ revision: 3n })
  t.is(then.keys, 'ac')
  t.is(text(then.kvs[1]!.value), '1')
  t.is(then.header?.revision, 5n)
})

test('a put keeps the value or the lease it is asked to keep, and tells what it replaced', async t => {
  const { caller, put, range } = await setUp()
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 60n })
  t.is(text((await put('a', '4', { lease: 7n, prevKv: true })).prevKv!.value), '3')
  await put('a', '5', { ignoreLease: true })
  await put('a', '', { ignoreValue: true, lease: 7n })
  const [a] = (await range({ key: toBytes('a'), rangeEnd: toBytes('') })).kvs
  t.like(a, { version: 4n, lease: 7n })
  t.is(text(a!.value), '5')
  t.is((await put('new', '1', { prevKv: true })).prevKv, undefined)
})

test('misuse is refused with the words of etcd', async t => {
  const { caller, put } = await setUp()
  const refused = async (call: Promise<unknown>, status: number, message: string) => {
    const error = await t.throwsAsync(call, { message })
    t.like(error, { failure: { status, sent: true } })
  }
  await refused(put('', '1'), 3, 'etcdserver: key is not provided')
  await refused(put('a', '1', { ignoreValue: true }), 3, 'etcdserver: value is provided')
  await refused(put('a', '1', { ignoreLease: true, lease: 7n }), 3, 'etcdserver: lease is provided')
  await refused(put('none', '', { ignoreValue: true }), 3, 'etcdserver: key not found')
  await refused(put('a', '1', { lease: 99n }), 5, 'etcdserver: requested lease not found')
  await refused(caller.call(methods.range, { key: toBytes('') }), 3, 'etcdserver: key is not provided')
  await refused(
    caller.call(methods.range, { key: toBytes('a'), revision: 99n }),
    11,
    'etcdserver: mvcc: required revision is a future revision',
  )
  await refused(
    caller.call(methods.compact, { revision: 99n }),
    11,
    'etcdserver: mvcc: required revision is a future revision',
  )
})

test('a request is too large by the byte at which it is too large for etcd', async t => {
  const { caller } = await setUp()
  // Measured on 3.5.16.
  const largest = 1_572_839
  await t.notThrowsAsync(caller.call(methods.put, { key: toBytes('k'), value: new Uint8Array(largest) }))
  await t.throwsAsync(caller.call(methods.put, { key: toBytes('k'), value: new Uint8Array(largest + 1) }), {
    message: 'etcdserver: request is too large',
  })
  const error = await t.throwsAsync(
    caller.call(methods.put, { key: toBytes('k'), value: new Uint8Array(2 ** 21) }),
  )
  t.like(error, {
    failure: { status: 8, message: 'grpc: received message larger than max (2097160 vs. 2097152)' },
  })
})

test('the header names cluster, member, revision and term', async t => {
  const { server, callers } = await startDirect({ members: 2 })
  const [one, two] = await Promise.all(callers.map(caller => caller.call(methods.put, { key: toBytes('a') })))
  t.is(one!.header!.clusterId, two!.header!.clusterId)
  t.not(one!.header!.memberId, two!.header!.memberId)
  t.deepEqual([one!.header!.revision, two!.header!.revision], [2n, 3n])
  t.true(one!.header!.raftTerm > 0n)
  await server.close()
})

test('a method nobody knows is unimplemented', async t => {
  const { caller } = await setUp()
  const error = await t.throwsAsync(caller.call({ ...methods.put, path: '/etcdserverpb.KV/Nope' }, {}))
  t.like(error, { failure: { status: 12, message: 'unknown method Nope for service etcdserverpb.KV' } })
})
