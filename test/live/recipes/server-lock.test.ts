import test, { type ExecutionContext } from 'ava'
import { text } from '../../../src/wire/bytes.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { keysOf, line, player, sessionPlayer, stateOf } from '../../traits/arena.ts'

const server = useEtcd(test)

test('the lock service stands in one line with mutexes', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.mutex(name).lock()
  const { id } = await etcd.lease.grant(60)
  const locking = etcd.serverLock.lock(name, id)
  await line(etcd, name, 2)
  t.is(await stateOf(locking), 'pending')
  await first.unlock()
  const key = await locking
  t.is(text(key), `${name}/${id.toString(16)}`)
  const next = session.mutex(name).lock()
  await line(etcd, name, 2)
  await etcd.serverLock.unlock(key)
  t.true((await next).fencingToken > first.fencingToken)
})

test('cancelling a wait in the server rejects at once, and revoking the lease is sure to end it', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await session.mutex(name).lock()
  const { id } = await etcd.lease.grant(60)
  const leaving = new AbortController()
  const locking = etcd.serverLock.lock(name, id, { signal: leaving.signal })
  await line(etcd, name, 2)
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(locking, { message: 'leaves' })
  await etcd.lease.revoke(id)
  t.is((await keysOf(etcd, name)).length, 1)
})

test('a wait in the server is as long as it takes, or as told', async t => {
  const { etcd, session } = await sessionPlayer(t, server(), {}, { requestTimeoutMs: 200 })
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const { id } = await etcd.lease.grant(60)
  // On a lease of its own: the server clears away the key of a call that has left when it gets to it.
  const { id: impatient } = await etcd.lease.grant(60)
  await t.throwsAsync(etcd.serverLock.lock(name, impatient, { timeoutMs: 100 }), { code: 'TIMEOUT' })
  const locking = etcd.serverLock.lock(name, id)
  const startedAtMs = performance.now()
  while (performance.now() - startedAtMs < 500) await etcd.get('nothing')
  await hold.unlock()
  t.is(text(await locking), `${name}/${id.toString(16)}`)
})

test('the lock service knows the keys of a namespace by its names', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const inside = etcd.namespace(`${name}/in/`)
  const { id } = await etcd.lease.grant(60)
  const key = await inside.serverLock.lock('lock', id)
  t.is(text(key), `lock/${id.toString(16)}`)
  t.not(await inside.get(key), undefined)
  await inside.serverLock.unlock(key)
  t.is(await inside.get(key), undefined)
})

test('misuse of the lock service is told before anything is sent', async t => {
  const { etcd, net } = await player(t, server())
  await t.throwsAsync(etcd.serverLock.lock('a', 1 as unknown as bigint), { instanceOf: TypeError })
  await t.throwsAsync(etcd.serverLock.lock(1 as unknown as string, 1n), { instanceOf: TypeError })
  await t.throwsAsync(etcd.serverLock.lock('a', 1n, { ttl: 1 } as object), { instanceOf: TypeError })
  t.is(net.count(methods.lock), 0)
})

function nameOf(t: ExecutionContext): string {
  return `${uniquePrefix(t)}lock`
}
