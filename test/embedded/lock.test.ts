import test from 'ava'
import { text, toBytes } from '../../src/wire/bytes.ts'
import { PermissionType } from '../../src/wire/gen/auth.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, type Caller, type Refused, startDirect } from './direct.ts'

test('a free lock is owned at once, under the key Go would use', async t => {
  const { caller, server } = await startDirect()
  await caller.call(methods.leaseGrant, { id: 0xabcn, ttl: 60n })
  const { key, header } = await caller.call(methods.lock, { name: toBytes('l'), lease: 0xabcn })
  t.is(text(key), 'l/abc')
  const { kvs } = await caller.call(methods.range, { key })
  t.like(kvs[0], { lease: 0xabcn, createRevision: header!.revision })
  const again = await caller.call(methods.lock, { name: toBytes('l'), lease: 0xabcn })
  t.is(again.header!.revision, header!.revision)
  await server.close()
})

test('waiters get the lock in the order they came', async t => {
  const { caller, server } = await startDirect()
  const turns: string[] = []
  for (const id of [1n, 2n, 3n]) {
    await caller.call(methods.leaseGrant, { id, ttl: 60n })
    void caller.call(methods.lock, { name: toBytes('l'), lease: id }).then(({ key }) => turns.push(text(key)))
    await arrive()
  }
  for (const key of ['l/1', 'l/2', 'l/3']) {
    t.is(turns.at(-1), key)
    await caller.call(methods.unlock, { key: toBytes(key) })
    await arrive()
  }
  t.deepEqual(turns, ['l/1', 'l/2', 'l/3'])
  await server.close()
})

test('a waiter passes over one that left the line before its turn', async t => {
  const { caller, server } = await startDirect()
  await waiting(caller, 3)
  await caller.call(methods.deleteRange, { key: toBytes('l/2') })
  let owned = false
  void caller.call(methods.lock, { name: toBytes('l'), lease: 3n }).then(() => {
    owned = true
  })
  await arrive()
  t.false(owned)
  await caller.call(methods.unlock, { key: toBytes('l/1') })
  await arrive()
  t.true(owned)
  await server.close()
})

test('a lease that ends while it waits owns nothing', async t => {
  const { caller, server } = await startDirect()
  const [, second] = await waiting(caller, 2)
  await caller.call(methods.leaseRevoke, { id: 2n })
  await caller.call(methods.unlock, { key: toBytes('l/1') })
  await t.throwsAsync(second!, { message: 'mutex: session is expired' })
  await server.close()
})

test('who gives up waiting leaves no key behind', async t => {
  const { caller, server } = await startDirect()
  await waiting(caller, 1)
  await caller.call(methods.leaseGrant, { id: 2n, ttl: 60n })
  const request = methods.lock.request.encode({ name: toBytes('l'), lease: 2n })
  const call = caller.link.unary(methods.lock.path, request, {}, () => {})
  await arrive()
  t.is((await line(caller)).length, 2)
  call.cancel()
  await arrive()
  t.deepEqual(await line(caller), ['l/1'])
  await server.close()
})

test('a lock without a lease gets one of a minute, and one with an unknown lease is refused', async t => {
  const { caller, server } = await startDirect()
  const { key } = await caller.call(methods.lock, { name: toBytes('l') })
  const { leases } = await caller.call(methods.leaseLeases, {})
  t.is(text(key), `l/${leases[0]!.id.toString(16)}`)
  t.is((await caller.call(methods.leaseTimeToLive, { id: leases[0]!.id })).grantedTtl, 60n)
  await t.throwsAsync(caller.call(methods.lock, { name: toBytes('m'), lease: 5n }), {
    message: 'etcdserver: requested lease not found',
  })
  await server.close()
})

test('who may not write the key of a lock does not get it, and leaves nothing behind', async t => {
  const { caller, server } = await startDirect()
  await caller.call(methods.userAdd, { name: 'root', password: 'of root' })
  await caller.call(methods.userGrantRole, { user: 'root', role: 'root' })
  await caller.call(methods.userAdd, { name: 'ann', password: 'of ann' })
  await caller.call(methods.leaseGrant, { id: 1n, ttl: 60n })
  await caller.call(methods.authEnable, {})
  const tokens = await Promise.all(
    ['root', 'ann'].map(name => caller.call(methods.authenticate, { name, password: `of ${name}` })),
  )
  const [root, ann] = tokens.map(({ token }) => ({ token }))
  const request = { name: toBytes('l'), lease: 1n }
  const refused = await t.throwsAsync<Refused>(caller.call(methods.lock, request, ann))
  // Go loses the status on the way through its client.
  t.like(refused?.failure, { status: 2, message: 'etcdserver: permission denied' })
  t.is((await caller.call(methods.range, { key: toBytes('l/1') }, root)).count, 0n)
  await caller.call(methods.lock, request, root)
  await server.close()
})

test('who may write the key of a lock but not read its line leaves nothing behind', async t => {
  const { caller, server } = await startDirect()
  await caller.call(methods.userAdd, { name: 'root', password: 'of root' })
  await caller.call(methods.userGrantRole, { user: 'root', role: 'root' })
  await caller.call(methods.userAdd, { name: 'ann', password: 'of ann' })
  await caller.call(methods.roleAdd, { name: 'joins' })
  const permission = { type: PermissionType.readWrite, key: toBytes('l/1') }
  await caller.call(methods.roleGrantPermission, { name: 'joins', permission })
  await caller.call(methods.userGrantRole, { user: 'ann', role: 'joins' })
  await caller.call(methods.leaseGrant, { id: 1n, ttl: 60n })
  await caller.call(methods.authEnable, {})
  const [root, ann] = await Promise.all(
    ['root', 'ann'].map(async name => {
      const { token } = await caller.call(methods.authenticate, { name, password: `of ${name}` })
      return { token }
    }),
  )
  await t.throwsAsync(caller.call(methods.lock, { name: toBytes('l'), lease: 1n }, ann), {
    message: 'etcdserver: permission denied',
  })
  t.is((await caller.call(methods.range, { key: toBytes('l/1') }, root)).count, 0n)
  await server.close()
})

test('a closing server leaves nobody waiting, and no timer is set after it', async t => {
  const runtime = new FakeRuntime()
  const { caller, server } = await startDirect({ runtime })
  await waiting(caller, 1)
  // The key of who waits is deleted as the server closes: a member that lags would apply that in a minute, and
  // who waits be told of it in another.
  server.faults.delay({ replyMs: 60_000, method: 'Lock' })
  const [second] = await waiting(caller, 1, 2)
  const refused = t.throwsAsync(second!)
  server.faults.lag(0, 60_000)
  await server.close()
  await refused
  await arrive()
  t.is(runtime.pendingTimers, 0)
  server.faults.loseLeader()
  server.faults.lag(0, 1000)
  t.is(runtime.pendingTimers, 0)
})

/** So many locks asked for one after the other, their leases counted: the first is owned, the others wait. */
async function waiting(caller: Caller, count: number, first = 1): Promise<Promise<unknown>[]> {
  const calls: Promise<unknown>[] = []
  for (let index = 0; index < count; index++) {
    const lease = BigInt(first + index)
    await caller.call(methods.leaseGrant, { id: lease, ttl: 60n })
    const call = caller.call(methods.lock, { name: toBytes('l'), lease })
    call.catch(() => {})
    calls.push(call)
    await arrive()
  }
  return calls
}

async function line(caller: Caller): Promise<string[]> {
  const { kvs } = await caller.call(methods.range, { key: toBytes('l/'), rangeEnd: toBytes('l0') })
  return kvs.map(({ key }) => text(key))
}
