import test from 'ava'
import { text } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix } from '../../support/live.ts'
import { player, quiet } from '../../traits/arena.ts'
import { useClient } from './use-client.ts'

const live = useClient(test)

test('a lease has the id and the ttl it was granted with', async t => {
  const { etcd } = live()
  const { id, ttl } = await etcd.lease.grant(60)
  t.is(ttl, 60)
  t.true(id > 0n)
  const info = await etcd.lease.timeToLive(id)
  t.is(info?.id, id)
  t.is(info?.grantedTtl, 60)
  t.true(info !== undefined && info.ttl > 50 && info.ttl <= 60)
  t.deepEqual(info?.keys, [])
})

test('an id of your own is taken once', async t => {
  const { etcd } = live()
  const id = (1n << 62n) + 4711n
  t.is((await etcd.lease.grant(60, { id })).id, id)
  const error = await t.throwsAsync(etcd.lease.grant(60, { id }))
  t.true(EtcdError.is(error, 'LEASE_EXISTS'))
  await etcd.lease.revoke(id)
  t.is((await etcd.lease.grant(60, { id })).id, id)
})

test('a renewal ends with its client, and says so, unless it was stopped before', async t => {
  const { servers, etcd: other } = live()
  const { etcd } = await player(t, servers)
  const { id } = await other.lease.grant(60)
  const { id: stoppedId } = await other.lease.grant(60)
  const renewal = await etcd.lease.keepAlive(id)
  const stopped = await etcd.lease.keepAlive(stoppedId)
  stopped.stop()
  await etcd.close()
  t.is(renewal.remainingMs, 0)
  t.true(EtcdError.is(renewal.signal.reason, 'CLIENT_CLOSED'))
  t.false(stopped.signal.aborted)
})

test('an id somebody else has chosen is never taken for ours, nor revoked, however the answers are lost', async t => {
  const { etcd: other, servers } = live()
  const { etcd, net } = await player(t, servers)
  const { id } = await other.lease.grant(60, { id: (1n << 62n) + 4712n })
  const answers = net.stopAnswers(methods.leaseGrant)
  const granting = t.throwsAsync(etcd.lease.grant(60, { id }))
  const refused = await answers.caught()
  answers.off()
  refused.lose()
  const error = await granting
  t.true(EtcdError.is(error, 'LEASE_EXISTS') && error.outcome === 'unknown')

  const requests = net.stopRequests(methods.leaseGrant)
  const leaving = new AbortController()
  const left = t.throwsAsync(etcd.lease.grant(60, { id, signal: leaving.signal }), { message: 'enough' })
  await requests.caught()
  leaving.abort(new Error('enough'))
  await left
  await quiet(net)
  t.is(net.count(methods.leaseRevoke), 0)
  t.truthy(await other.lease.timeToLive(id))
})

test('a ttl too short for the server is raised by it', async t => {
  const { etcd } = live()
  const { ttl } = await etcd.lease.grant(1)
  t.is(ttl, 2)
})

test('the keys that go with a lease are named where asked for', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const { id } = await etcd.lease.grant(60)
  await etcd.put(`${at}a`, 'v', { lease: id })
  await etcd.put(`${at}b`, 'v', { lease: id })
  const info = await etcd.lease.timeToLive(id, { keys: true })
  t.deepEqual(info?.keys.map(text).sort(), [`${at}a`, `${at}b`])
  t.deepEqual((await etcd.lease.timeToLive(id))?.keys, [])
})

test('revoking takes the keys of a lease with it, at one revision', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const { id } = await etcd.lease.grant(60)
  await etcd.put(`${at}a`, 'v', { lease: id })
  const { revision } = await etcd.put(`${at}b`, 'v', { lease: id })
  await etcd.lease.revoke(id)
  t.is(await etcd.get(`${at}a`), undefined)
  t.is(await etcd.get(`${at}b`), undefined)
  const after = await etcd.txn({})
  t.true(after.revision > revision)
  t.is(await etcd.lease.timeToLive(id), undefined)
})

test('a lease that does not exist cannot be revoked, kept or used', async t => {
  const { etcd } = live()
  const id = 987654321n
  t.true(EtcdError.is(await t.throwsAsync(etcd.lease.revoke(id)), 'LEASE_NOT_FOUND'))
  t.true(EtcdError.is(await t.throwsAsync(etcd.lease.keepAlive(id)), 'LEASE_NOT_FOUND'))
  t.true(EtcdError.is(await t.throwsAsync(etcd.put(uniquePrefix(t), 'v', { lease: id })), 'LEASE_NOT_FOUND'))
  t.is(await etcd.lease.timeToLive(id), undefined)
})

test('all leases are listed', async t => {
  const { etcd } = live()
  const one = await etcd.lease.grant(60)
  const two = await etcd.lease.grant(60)
  const ids = await etcd.lease.list()
  t.true(ids.includes(one.id) && ids.includes(two.id))
})

test('a lease that is kept outlives its ttl, and one that is no longer kept does not', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { id } = await etcd.lease.grant(2)
  await using watch = etcd.watch(key, { only: 'delete' })
  await watch.ready
  await etcd.put(key, 'v', { lease: id })
  const renewal = await etcd.lease.keepAlive(id)
  t.is(renewal.id, id)
  t.true(renewal.remainingMs > 0 && renewal.remainingMs <= 2000)
  const startMs = Date.now()
  while (Date.now() - startMs < 4000) {
    t.true((await etcd.lease.timeToLive(id)) !== undefined)
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  t.false(renewal.signal.aborted)
  renewal.stop()
  for await (const event of watch) {
    t.is(event.type, 'delete')
    break
  }
  t.is(await etcd.lease.timeToLive(id), undefined)
})

test('a renewal whose lease is revoked by somebody is told so', async t => {
  const { etcd } = live()
  const { id } = await etcd.lease.grant(2)
  const renewal = await etcd.lease.keepAlive(id)
  const lost = new Promise(resolve => renewal.signal.addEventListener('abort', resolve))
  await etcd.lease.revoke(id)
  await lost
  t.true(EtcdError.is(renewal.signal.reason, 'SESSION_LOST'))
  t.is(renewal.remainingMs, 0)
})
