import test, { type ExecutionContext } from 'ava'
import { compare } from '../../../src/client/compare.ts'
import { between, prefix } from '../../../src/client/key-range.ts'
import { op } from '../../../src/client/op.ts'
import { connect } from '../../../src/facade/connect.ts'
import { type ErrorCode, EtcdError, type Outcome } from '../../../src/wire/errors.ts'
import { startEtcd } from '../../support/etcd-server.ts'
import { series, uniquePrefix } from '../../support/live.ts'
import { useClient } from './use-client.ts'

const live = useClient(test)

test('a request larger than the server takes is refused', async t => {
  const { etcd } = live()
  const value = new Uint8Array(1.6 * 1024 * 1024)
  await rejects(t, etcd.put(uniquePrefix(t), value), 'TOO_LARGE', 'rejected')
  t.is(await etcd.get(uniquePrefix(t)), undefined)
})

test('a request larger than we send is not sent', async t => {
  const { etcd } = live()
  const value = new Uint8Array(3 * 1024 * 1024)
  await rejects(t, etcd.put(uniquePrefix(t), value), 'TOO_LARGE', 'not-sent')
})

test('answers may be larger than any request', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  for (const name of ['a', 'b', 'c', 'd', 'e']) await etcd.put(at + name, new Uint8Array(1024 * 1024))
  const { kvs } = await etcd.range(prefix(at))
  t.is(
    kvs.reduce((sum, kv) => sum + kv.value.length, 0),
    5 * 1024 * 1024,
  )
})

test('the error names the code, the call, the endpoint and what it means', async t => {
  const { etcd, servers } = live()
  const error = await t.throwsAsync(etcd.put('k', 'v', { lease: 4711n }))
  t.true(EtcdError.is(error, 'LEASE_NOT_FOUND'))
  t.regex(error.message, /^\[LEASE_NOT_FOUND\] KV\/Put on http:/)
  t.true(error.message.includes(servers.endpoint))
  t.like(error, { outcome: 'rejected', endpoint: `http://${servers.endpoint}`, name: 'EtcdError' })
})

test('refusals have their code, and nothing has changed', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const { revision } = await etcd.put(`${at}k`, 'v')
  const ahead = revision + 1_000_000n
  await rejects(t, etcd.put(`${at}k`, 'v', { lease: 99n }), 'LEASE_NOT_FOUND', 'rejected')
  await rejects(t, etcd.lease.revoke(99n), 'LEASE_NOT_FOUND', 'rejected')
  await rejects(t, etcd.get(`${at}k`, { revision: ahead }), 'FUTURE_REVISION', 'rejected')
  await rejects(t, etcd.compact(ahead), 'FUTURE_REVISION', 'rejected')
  await rejects(
    t,
    etcd.txn({ then: [op.put(`${at}a`, '1'), op.put(`${at}a`, '2')] }),
    'DUPLICATE_KEY',
    'rejected',
  )
  const many = Array.from({ length: 200 }, (_, index) => compare(at + index).version.equals(0n))
  await rejects(t, etcd.txn({ if: many }), 'TOO_MANY_OPERATIONS', 'rejected')
  await rejects(t, etcd.auth.enable(), 'FAILED_PRECONDITION', 'rejected')
  await rejects(t, etcd.cluster.removeMember(99n), 'NOT_FOUND', 'rejected')
  t.is((await etcd.get(`${at}k`))?.text(), 'v')
  t.is(await etcd.get(`${at}a`), undefined)
})

test('a watch that the server refuses says why', async t => {
  const { etcd } = live()
  t.throws(() => between('b', 'a'), { instanceOf: RangeError })
  const watch = etcd.watch('k', { from: 2n ** 62n })
  t.true((await watch.ready) > 0n)
  await watch.close()
})

test('a member without a quorum refuses at once, and answers serializable reads', async t => {
  await using servers = await startEtcd({ series: series(), members: 3, electionTimeoutMs: 500 })
  const [first, second, third] = servers.members
  await using etcd = await connect(first.endpoint)
  await etcd.put('k', 'v')
  await Promise.all([second?.kill(), third?.kill()])
  await hasNoLeader(() => etcd.maintenance.status(first.endpoint))
  const error = await t.throwsAsync(etcd.put('k', 'w'))
  t.true(EtcdError.is(error, 'NO_LEADER'), String(error))
  t.is((await etcd.get('k', { consistency: 'serializable' }))?.text(), 'v')
  t.is((await etcd.cluster.members({ consistency: 'serializable' })).length, 3)
})

test('a stopped member is left for another within seconds', async t => {
  await using servers = await startEtcd({ series: series(), members: 3 })
  await using etcd = await connect(servers.endpoints)
  await etcd.put('k', '1')
  await servers.members[0].pause()
  const startMs = performance.now()
  t.is((await etcd.get('k'))?.text(), '1')
  t.true(performance.now() - startMs < 6000, `${performance.now() - startMs} ms`)
  await etcd.put('k', '2')
  await servers.members[0].resume()
})

async function hasNoLeader(status: () => Promise<{ readonly leader: bigint }>): Promise<void> {
  while ((await status()).leader !== 0n);
}

async function rejects(
  t: ExecutionContext,
  call: Promise<unknown>,
  code: ErrorCode,
  outcome: Outcome,
): Promise<void> {
  const error = await t.throwsAsync(call)
  t.true(EtcdError.is(error, code), `${code} was expected: ${error}`)
  t.is((error as unknown as EtcdError).outcome, outcome)
}
