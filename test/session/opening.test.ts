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
  t.is((await opening).remainingMs, BELIEF_MS - 6000 - 500)
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
