import test from 'ava'
import { startEtcd } from '../../src/embedded/index.ts'
import { compare, connect } from '../../src/index.ts'
import { toBytes } from '../../src/wire/bytes.ts'
import { CompareResult, CompareTarget } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, type Caller, startDirect } from './direct.ts'

const key = toBytes('a')

async function setUp() {
  const runtime = new FakeRuntime()
  const { server, callers } = await startDirect({ runtime, members: 2 })
  const [first, second] = callers as [Caller, Caller]
  return { runtime, server, first, second }
}

test('what a lagging member reads is what its header says, though more was written while it waited', async t => {
  const { runtime, server, first, second } = await setUp()
  server.faults.lag(1, 100)
  await first.call(methods.put, { key })
  const read = second.call(methods.range, { key })
  const transaction = second.call(methods.txn, {
    compare: [
      {
        key,
        target: CompareTarget.version,
        result: CompareResult.equal,
        operand: { kind: 'version', value: 1n },
      },
    ],
    success: [{ request: { kind: 'range', value: { key } } }],
  })
  await arrive()
  await runtime.advance(50)
  await first.call(methods.put, { key })
  await runtime.advance(50)
  const { header, kvs } = await read
  t.is(header?.revision, 2n)
  t.like(kvs, [{ version: 1n, modRevision: 2n }])
  const { header: txnHeader, succeeded, responses } = await transaction
  t.is(txnHeader?.revision, 2n)
  t.true(succeeded)
  const response = responses[0]!.response
  t.true(response?.kind === 'range' && response.value.kvs[0]?.version === 1n)
  t.true(response?.kind === 'range' && response.value.header?.revision === 2n)
})

test('a transaction that only compares is judged by what all members know, also by one that lags', async t => {
  const server = await startEtcd({ members: 2 })
  t.teardown(() => server.close())
  const [one, other] = await Promise.all(
    server.endpoints.map(endpoint => connect(endpoint, { transport: server.transport })),
  )
  t.teardown(() => Promise.all([one!.close(), other!.close()]))
  await other!.get('a')
  const catchUp = server.faults.lag(1, Infinity)
  await one!.put('a', '1')
  const judged = other!.txn({ if: [compare('a').version.equals(1n)] })
  await one!.put('b', '1')
  catchUp()
  const { succeeded, results } = await judged
  t.true(succeeded)
  t.is(results.length, 0)
  const { succeeded: still, results: none } = await other!.txn({ if: [compare('a').version.equals(0n)] })
  t.false(still)
  t.is(none.length, 0)
})

test('a transaction of serializable reads sees the past of a member that lags', async t => {
  const { server, first, second } = await setUp()
  server.faults.lag(1, Infinity)
  await first.call(methods.put, { key })
  const read = (revision: bigint) =>
    second.call(methods.txn, {
      success: [{ request: { kind: 'range', value: { key, serializable: true, revision } } }],
    })
  const { header, responses } = await read(0n)
  t.is(header?.revision, 1n)
  const response = responses[0]!.response
  t.true(response?.kind === 'range' && response.value.count === 0n)
  await t.throwsAsync(read(2n), { message: 'etcdserver: mvcc: required revision is a future revision' })
})

test('a member that lags has applied what is compacted, and not what came after', async t => {
  const { server, first, second } = await setUp()
  server.faults.lag(1, Infinity)
  for (let count = 0; count < 3; count++) await first.call(methods.put, { key })
  server.faults.compact(3n)
  const { header, kvs } = await second.call(methods.range, { key, serializable: true })
  t.is(header?.revision, 3n)
  t.like(kvs, [{ version: 2n, modRevision: 3n }])
})

test('whatever was committed is applied when the lag is over, neither earlier nor later', async t => {
  const { runtime, server, first, second } = await setUp()
  const seen = async () =>
    (await second.call(methods.range, { key, serializable: true })).kvs[0]?.version ?? 0n
  server.faults.lag(1, 100)
  await first.call(methods.put, { key })
  await runtime.advance(30)
  await first.call(methods.put, { key })
  await runtime.advance(69)
  t.is(await seen(), 0n)
  await runtime.advance(1)
  t.is(await seen(), 1n)
  await runtime.advance(29)
  t.is(await seen(), 1n)
  await runtime.advance(1)
  t.is(await seen(), 2n)
})

test('a lease revoked through a member that lags is answered under the revision that deleted its keys', async t => {
  const { runtime, server, first, second } = await setUp()
  await first.call(methods.leaseGrant, { id: 7n, ttl: 60n })
  await first.call(methods.put, { key, lease: 7n })
  server.faults.lag(1, 100)
  const revoked = second.call(methods.leaseRevoke, { id: 7n })
  await arrive()
  await runtime.advance(100)
  t.is((await revoked).header?.revision, 3n)
})
