import test from 'ava'
import { connect, type SessionOptions } from '../../src/index.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { FakeTransport } from '../support/fake-transport.ts'

const TTL = 10
/** Of a lease of that TTL: one percent and 50 ms less. */
const BELIEF_MS = 9850

test('a session counts from when its grant was sent, not from the answer', async t => {
  const { transport, runtime, open } = await arrange()
  const opening = open({ ttl: TTL })
  await settle()
  await runtime.advance(1500)
  answerGrant(transport)
  t.is((await opening).remainingMs, BELIEF_MS - 1500)
})

test('a resumed lease is believed in only for what was left of it', async t => {
  const { transport, runtime, open } = await arrange()
  const opening = open({ resume: 5n })
  await settle()
  await runtime.advance(500)
  transport.onlyOpen.answer({ id: 5n, ttl: 4n, grantedTtl: 10n })
  t.is(
    (await opening).remainingMs,
    4000 * 0.99 - 50 - 500,
    'before the server, by the margins of a TTL of 4 s',
  )
})

test('of a resumed lease just what is left counts, however long its TTL', async t => {
  const { transport, open } = await arrange()
  const opening = open({ resume: 5n })
  await settle()
  transport.onlyOpen.answer({ id: 5n, ttl: 30n, grantedTtl: 3600n })
  const session = await opening
  t.is(session.state, 'active')
  t.is(session.remainingMs, 30_000 * 0.99 - 50)
})

test('a lease a new leader has given more than its TTL is believed in for that, and renewed once', async t => {
  const { transport, runtime, open } = await arrange()
  const opening = open({ resume: 5n })
  await settle()
  transport.onlyOpen.answer({ id: 5n, ttl: 14n, grantedTtl: 10n })
  t.is((await opening).remainingMs, BELIEF_MS)
  await settle()
  const [stream] = transport.streams
  t.is(stream!.sent.length, 1)
  stream!.answer({ id: 5n, ttl: 10n })
  await runtime.advance(1000)
  t.is(stream!.sent.length, 1)
})

test('a lease that may have been granted to nobody is revoked', async t => {
  const { transport, open } = await arrange()
  const leaving = new AbortController()
  const opening = t.throwsAsync(open({ ttl: TTL, signal: leaving.signal }), { message: 'leaves' })
  await settle()
  const { id } = transport.onlyOpen.request(methods.leaseGrant)
  leaving.abort(new Error('leaves'))
  await opening
  await settle()
  t.is(transport.onlyOpen.request(methods.leaseRevoke).id, id)
})

test('an opening that gives up when the answer is there leaves no lease', async t => {
  const { transport, open } = await arrange()
  const leaving = new AbortController()
  const opening = t.throwsAsync(open({ ttl: TTL, signal: leaving.signal }), { message: 'leaves' })
  await settle()
  const { id } = transport.onlyOpen.request(methods.leaseGrant)
  answerGrant(transport)
  // The answer is on its way through the client, which listens to the signal no more.
  queueMicrotask(() => queueMicrotask(() => leaving.abort(new Error('leaves'))))
  await settle()
  t.is(transport.onlyOpen.request(methods.leaseRevoke).id, id)
  transport.onlyOpen.answer()
  await opening
})

test('a lease that was granted too late to be believed in is revoked, and another one is granted', async t => {
  const { transport, runtime, open } = await arrange()
  const opening = open({ ttl: 1 })
  await settle()
  const { id } = transport.onlyOpen.request(methods.leaseGrant)
  await runtime.advance(1500)
  answerGrant(transport)
  await settle()
  const [revocation, grant] = transport.open
  t.is(revocation!.request(methods.leaseRevoke).id, id)
  t.not(grant!.request(methods.leaseGrant).id, id)
  revocation!.answer()
  answerGrant(transport)
  const session = await opening
  t.is(session.state, 'active')
  t.is(session.remainingMs, 940)
})

test('a lease found granted by an attempt too long ago is not believed in', async t => {
  const { transport, runtime, open } = await arrange()
  const opening = open({ ttl: 1 })
  await settle()
  const { id } = transport.onlyOpen.request(methods.leaseGrant)
  await runtime.advance(2000)
  await runtime.advance(500)
  t.is(transport.onlyOpen.request(methods.leaseGrant).id, id)
  transport.onlyOpen.fail('etcdserver: lease already exists', { status: 9 })
  await settle()
  const [revocation] = transport.open
  t.is(revocation!.request(methods.leaseRevoke).id, id)
  revocation!.answer()
  answerGrant(transport)
  t.not((await opening).leaseId, id)
})

test('a session that can only be had too late is none, and its leases are revoked', async t => {
  const { transport, runtime, open } = await arrange()
  const opening = t.throwsAsync(open({ ttl: 1, timeoutMs: 2500 }), {
    code: 'TIMEOUT',
    message: /its TTL had passed/,
  })
  const revoked: bigint[] = []
  const granted: bigint[] = []
  transport.respond = call => {
    if (call.path !== methods.leaseRevoke.path) return
    revoked.push(call.request(methods.leaseRevoke).id)
    call.answer()
  }
  await settle()
  for (const passedMs of [1200, 1300]) {
    granted.push(transport.onlyOpen.request(methods.leaseGrant).id)
    // The event loop stood still: no timer has run.
    runtime.stall(passedMs)
    answerGrant(transport)
    await settle()
  }
  await opening
  t.is(revoked.length, 2)
  t.deepEqual(revoked, granted)
})

test('a resumed lease that was too old when it was heard of is asked about again', async t => {
  const { transport, runtime, open } = await arrange()
  const opening = t.throwsAsync(open({ resume: 5n }), { code: 'LEASE_NOT_FOUND' })
  await settle()
  await runtime.advance(1500)
  transport.onlyOpen.answer({ id: 5n, ttl: 1n, grantedTtl: 10n })
  await settle()
  transport.onlyOpen.answer({ id: 5n, ttl: -1n })
  await opening
})

async function arrange() {
  const transport = new FakeTransport()
  const runtime = new FakeRuntime()
  const etcd = await connect('a:2379', { transport, runtime })
  return { transport, runtime, open: (options: SessionOptions) => etcd.session(options) }
}

function answerGrant(transport: FakeTransport): void {
  const grant = transport.onlyOpen
  const { id, ttl } = grant.request(methods.leaseGrant)
  grant.answer({ id, ttl })
}
