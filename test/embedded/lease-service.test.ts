import test from 'ava'
import { text, toBytes } from '../../src/wire/bytes.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, startDirect } from './direct.ts'

test('a lease tells how long it was granted, how long it has, and its keys in order', async t => {
  const runtime = new FakeRuntime()
  const { caller } = await startDirect({ runtime })
  t.like(await caller.call(methods.leaseGrant, { id: 7n, ttl: 10n }), {
    id: 7n,
    ttl: 10n,
    header: { revision: 1n },
  })
  for (const key of ['b', 'a']) await caller.call(methods.put, { key: toBytes(key), lease: 7n })
  await runtime.advance(2500)
  const standing = await caller.call(methods.leaseTimeToLive, { id: 7n, keys: true })
  t.like(standing, { ttl: 7n, grantedTtl: 10n })
  t.deepEqual(standing.keys.map(text), ['a', 'b'])
  t.like(await caller.call(methods.leaseTimeToLive, { id: 8n }), { id: 8n, ttl: -1n, grantedTtl: 0n })
})

test('renewals are answered one by one, that of an unknown lease with a ttl of 0', async t => {
  const { caller } = await startDirect()
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 10n })
  const stream = caller.stream(methods.leaseKeepAlive)
  for (const id of [7n, 8n, 7n]) stream.send({ id })
  stream.halfClose()
  await arrive()
  t.deepEqual(
    stream.received.map(({ id, ttl }) => [id, ttl]),
    [
      [7n, 10n],
      [8n, 0n],
      [7n, 10n],
    ],
  )
  t.is(stream.end?.status, 0)
})

test('an expired lease ends its watched keys in one response', async t => {
  const runtime = new FakeRuntime()
  const { caller } = await startDirect({ runtime })
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 2n })
  for (const key of ['a/2', 'a/1']) await caller.call(methods.put, { key: toBytes(key), lease: 7n })
  const watch = caller.stream(methods.watch)
  watch.send({ request: { kind: 'create', value: { key: toBytes('a/'), rangeEnd: toBytes('a0') } } })
  await arrive()
  await runtime.advance(2500)
  await arrive()
  t.deepEqual(
    watch.received.slice(1).map(({ events }) => events.map(({ kv }) => text(kv!.key))),
    [['a/1', 'a/2']],
  )
})

test('leases are listed until they are revoked', async t => {
  const { caller } = await startDirect()
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 20n })
  await caller.call(methods.leaseGrant, { id: 8n, ttl: 10n })
  t.deepEqual((await caller.call(methods.leaseLeases, {})).leases, [{ id: 8n }, { id: 7n }])
  await caller.call(methods.leaseRevoke, { id: 8n })
  t.deepEqual((await caller.call(methods.leaseLeases, {})).leases, [{ id: 7n }])
  const error = await t.throwsAsync(caller.call(methods.leaseRevoke, { id: 8n }))
  t.like(error, { failure: { status: 5, message: 'etcdserver: requested lease not found' } })
})
