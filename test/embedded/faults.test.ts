import test from 'ava'
import { toBytes } from '../../src/wire/bytes.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, type Caller, connectTo, startDirect } from './direct.ts'

const key = toBytes('a')
const hasLeader = { hasleader: 'true' }

async function count(caller: Caller): Promise<bigint> {
  return (await caller.call(methods.range, { key })).count
}

/** Whether a promise has settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.then(
    () => (settled = true),
    () => (settled = true),
  )
  await arrive()
  return settled
}

test('a paused server answers when it goes on, and what it got meanwhile', async t => {
  const { server, caller } = await startDirect()
  const resume = server.faults.pause()
  const answer = caller.call(methods.put, { key })
  t.false(await isSettled(answer))
  resume()
  resume()
  await answer
  t.is(await count(caller), 1n)
})

test('nobody gets to connect to a server that stands still', async t => {
  const { server } = await startDirect()
  const resume = server.faults.pause()
  const caller = connectTo(server.transport, server.endpoints[0]!)
  t.false(await isSettled(caller))
  resume()
  t.is(await count(await caller), 0n)
})

test('a lease that ran out while the server stood still is over before its renewal is looked at', async t => {
  const runtime = new FakeRuntime()
  const { server, caller } = await startDirect({ runtime })
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 2n })
  const stream = caller.stream(methods.leaseKeepAlive)
  const resume = server.faults.pause()
  stream.send({ id: 7n })
  await runtime.advance(10_000)
  t.is(stream.received.length, 0)
  resume()
  await arrive()
  t.deepEqual(
    stream.received.map(({ ttl }) => ttl),
    [0n],
  )
})

test('a dropped request is never carried out', async t => {
  const { server, caller } = await startDirect()
  server.faults.dropRequests({ method: 'Put', times: 1 })
  const error = await t.throwsAsync(caller.call(methods.put, { key }))
  t.like(error, { failure: { status: 14, sent: true } })
  t.is(await count(caller), 0n)
  await caller.call(methods.put, { key })
  t.is(await count(caller), 1n)
})

test('a request whose reply is lost is carried out all the same', async t => {
  const { server, caller } = await startDirect()
  server.faults.loseReplies({ method: 'KV', times: 1 })
  const error = await t.throwsAsync(caller.call(methods.put, { key }))
  t.like(error, { failure: { status: 14, message: 'Connection dropped', sent: true } })
  t.is(await count(caller), 1n)
})

test('silence is no answer at all, until the caller gives up', async t => {
  const { server, caller } = await startDirect()
  server.faults.loseReplies({ method: '/etcdserverpb.KV/Put', then: 'silence' })
  t.false(await isSettled(caller.call(methods.put, { key })))
  t.is(await count(caller), 1n)
  server.faults.heal()
  await caller.call(methods.put, { key })
})

test('delays hold up requests and replies apart', async t => {
  const runtime = new FakeRuntime()
  const { server, caller } = await startDirect({ runtime })
  server.faults.delay({ method: 'Put', requestMs: 100, replyMs: 50 })
  const answer = caller.call(methods.put, { key })
  await runtime.advance(99)
  t.is(await count(caller), 0n)
  await runtime.advance(1)
  t.is(await count(caller), 1n)
  await runtime.advance(49)
  t.false(await isSettled(answer))
  await runtime.advance(1)
  await answer
})

test('streams are cut, and connections stay', async t => {
  const { server, caller } = await startDirect()
  const stream = caller.stream(methods.watch)
  stream.send({ request: { kind: 'create', value: { key } } })
  await arrive()
  server.faults.cutStreams()
  await arrive()
  t.like(stream.end, { status: 14, sent: true })
  t.is(caller.link.state.kind, 'ready')
})

test('a broken connection takes everything on it along', async t => {
  const { server, caller } = await startDirect()
  server.faults.pause()
  const answer = caller.call(methods.put, { key })
  await arrive()
  server.faults.disconnect()
  const error = await t.throwsAsync(answer)
  t.like(error, { failure: { status: 14, sent: true } })
  t.is(caller.link.state.kind, 'closed')
})

test('after a GOAWAY the connection takes no new calls, and those under way are answered', async t => {
  const { server, caller } = await startDirect()
  const resume = server.faults.pause()
  const answer = caller.call(methods.put, { key })
  await arrive()
  server.faults.goAway()
  t.is(caller.link.state.kind, 'closed')
  resume()
  t.is((await answer).header?.revision, 2n)
  await connectTo(server.transport, server.endpoints[0]!)
})

test('what is under way after a GOAWAY breaks with its connection', async t => {
  const { server, caller } = await startDirect()
  server.faults.pause()
  const answer = caller.call(methods.put, { key })
  await arrive()
  server.faults.goAway()
  server.faults.disconnect()
  t.like(await t.throwsAsync(answer), { failure: { status: 14, sent: true } })
})

test('a fault for a call or a lease that does not exist is refused: it would never happen', async t => {
  const { server } = await startDirect()
  t.throws(() => server.faults.loseReplies({ method: 'Putt' }), { instanceOf: RangeError, message: /"?Putt/ })
  for (const method of ['Put', 'Lease', methods.put.path]) server.faults.dropRequests({ method })()
  t.throws(() => server.faults.expireLease(7n), { instanceOf: RangeError, message: /no lease 7/ })
  t.throws(() => server.faults.revokeLease(7n), { instanceOf: RangeError, message: /no lease 7/ })
})

test('leases end and revisions are forgotten at once', async t => {
  const { server, caller } = await startDirect()
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 1000n })
  await caller.call(methods.put, { key, lease: 7n })
  server.faults.expireLease(7n)
  t.is(await count(caller), 0n)
  server.faults.compact()
  await t.throwsAsync(caller.call(methods.range, { key, revision: 2n }), {
    message: 'etcdserver: mvcc: required revision has been compacted',
  })
  // Nothing was written since, so there is nothing to forget.
  t.notThrows(() => server.faults.compact())
  for (const revision of [3n, 4n])
    t.throws(() => server.faults.compact(revision), {
      instanceOf: RangeError,
      message: `revision is above 3, which was compacted, and at most 3, got ${revision}`,
    })
})

test('without a leader those who asked for one are told, at once if that is asked for', async t => {
  const { server, caller } = await startDirect({ leaderNoticeMs: 0 })
  const stream = caller.stream(methods.watch, hasLeader)
  const patient = caller.stream(methods.watch)
  await arrive()
  const find = server.faults.loseLeader()
  await arrive()
  t.like(stream.end, { status: 14, message: 'etcdserver: no leader' })
  t.is(patient.end, undefined)
  await t.throwsAsync(caller.call(methods.put, { key }, hasLeader), { message: 'etcdserver: no leader' })
  find()
  await caller.call(methods.put, { key }, hasLeader)
})

test('streams that asked for a leader outlive it by three seconds, and for good if there is one by then', async t => {
  const runtime = new FakeRuntime()
  const { server, caller } = await startDirect({ runtime })
  const stream = caller.stream(methods.watch, hasLeader)
  await arrive()
  const find = server.faults.loseLeader()
  await runtime.advance(2999)
  find()
  await runtime.advance(10_000)
  t.is(stream.end, undefined)
  server.faults.loseLeader()
  await runtime.advance(2999)
  t.is(stream.end, undefined)
  await runtime.advance(1)
  t.like(stream.end, { status: 14, message: 'etcdserver: no leader' })
  const later = caller.stream(methods.watch, hasLeader)
  await arrive()
  t.like(later.end, { status: 14, message: 'etcdserver: no leader' })
})

test('without a leader the others wait seven seconds, except for what needs none', async t => {
  const runtime = new FakeRuntime()
  const { server, caller } = await startDirect({ runtime })
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 20n })
  server.faults.loseLeader()
  t.is((await caller.call(methods.range, { key, serializable: true })).count, 0n)
  const calls = [
    caller.call(methods.put, { key }),
    caller.call(methods.range, { key }),
    caller.call(methods.leaseTimeToLive, { id: 7n }),
  ]
  const settled = Promise.allSettled(calls)
  await runtime.advance(6999)
  t.false(await isSettled(settled))
  await runtime.advance(1)
  const reasons = (await settled).map(result =>
    result.status === 'rejected' ? result.reason.failure : undefined,
  )
  t.like(reasons, [
    { status: 4, message: 'context deadline exceeded' },
    { status: 14, message: 'etcdserver: request timed out' },
    { status: 14, message: 'etcdserver: no leader' },
  ])
  server.faults.heal()
  t.is(await count(caller), 0n)
})

test('a leader found in time answers those who waited, and leases have their whole time again', async t => {
  const runtime = new FakeRuntime()
  const { server, caller } = await startDirect({ runtime })
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 5n })
  const find = server.faults.loseLeader()
  const answer = caller.call(methods.put, { key })
  await runtime.advance(6000)
  find()
  t.is((await answer).header?.revision, 2n)
  t.is((await caller.call(methods.leaseTimeToLive, { id: 7n })).ttl, 5n)
})

test('a member that lags shows the past to serializable reads and watches, and makes the rest wait', async t => {
  const runtime = new FakeRuntime()
  const { server, callers } = await startDirect({ runtime, members: 2 })
  const [first, second] = callers as [Caller, Caller]
  const watch = second.stream(methods.watch)
  watch.send({ request: { kind: 'create', value: { key } } })
  await arrive()
  server.faults.lag(1, 100)
  await first.call(methods.put, { key })
  const stale = await second.call(methods.range, { key, serializable: true })
  t.is(stale.count, 0n)
  t.is(stale.header?.revision, 1n)
  const fresh = second.call(methods.range, { key })
  t.false(await isSettled(fresh))
  t.is(watch.received.length, 1)
  await runtime.advance(100)
  t.is((await fresh).count, 1n)
  t.is(watch.received.length, 2)
})

test('a member that does not catch up is still served its own writes when it does', async t => {
  const { server, callers } = await startDirect({ members: 2 })
  const [first, second] = callers as [Caller, Caller]
  const catchUp = server.faults.lag(1, Infinity)
  const answer = second.call(methods.put, { key })
  t.false(await isSettled(answer))
  t.is(await count(first), 1n)
  catchUp()
  t.is((await answer).header?.revision, 2n)
})

test('faults of one member spare the others', async t => {
  const { server, callers } = await startDirect({ members: 2 })
  const [first, second] = callers as [Caller, Caller]
  server.faults.dropRequests({ member: 1 })
  await first.call(methods.put, { key })
  await t.throwsAsync(second.call(methods.put, { key }))
  t.throws(() => server.faults.pause(2), { instanceOf: RangeError })
  t.throws(() => server.faults.dropRequests({ method: 'Put', then: 'explode' as 'silence' }), {
    instanceOf: TypeError,
  })
})
