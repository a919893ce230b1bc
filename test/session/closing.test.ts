import test from 'ava'
import { connect, EtcdError } from '../../src/index.ts'
import { deferred } from '../../src/support/deferred.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { FakeTransport } from '../support/fake-transport.ts'

test('close resolves when the lease is revoked and what went on in the background is done', async t => {
  const { transport, session } = await arrange()
  const work = deferred<void>()
  session.background(work.promise)
  let closed = false
  const closing = session.close().then(() => {
    closed = true
  })
  await settle()
  t.is(transport.onlyOpen.request(methods.leaseRevoke).id, session.leaseId)
  transport.onlyOpen.answer()
  await settle()
  t.false(closed)
  work.resolve()
  await closing
  t.is(session.state, 'closed')
})

test('what is attached is disposed of before the lease is revoked', async t => {
  const { transport, session } = await arrange()
  const disposed = deferred<void>()
  session.attach({ [Symbol.asyncDispose]: () => disposed.promise })
  const closing = session.close()
  await settle()
  t.deepEqual(transport.open, [])
  t.false(session.signal.aborted)
  disposed.resolve()
  await settle()
  t.true(session.signal.aborted)
  transport.onlyOpen.answer()
  await closing
})

test('an orphaned lease is left alone, and its session is over', async t => {
  const { transport, session } = await arrange()
  t.is(await session.orphan(), session.leaseId)
  t.is(session.state, 'closed')
  t.true(session.signal.aborted)
  await settle()
  t.deepEqual(transport.open, [])
})

test('a lease that is lost while it is being left is left to nobody, and nothing more is waited for', async t => {
  const { transport, runtime, session } = await arrange()
  const disposed = deferred<void>()
  session.attach({ [Symbol.asyncDispose]: () => disposed.promise })
  const lost = t.throwsAsync(session.orphan({ timeoutMs: 60_000 }), { code: 'SESSION_LOST' } as object)
  runtime.stall(10_000)
  t.is(session.state, 'lost')
  disposed.resolve()
  await lost
  t.is(transport.onlyOpen.request(methods.leaseRevoke).id, session.leaseId)
})

test('whoever closes a session whose lease is lost while it is being left hears of no loss', async t => {
  const { transport, runtime, session } = await arrange()
  const disposed = deferred<void>()
  session.attach({ [Symbol.asyncDispose]: () => disposed.promise })
  const lost = t.throwsAsync(session.orphan({ timeoutMs: 60_000 }), { code: 'SESSION_LOST' } as object)
  const closed = t.notThrowsAsync(session.close({ timeoutMs: 60_000 }))
  runtime.stall(10_000)
  t.is(session.state, 'lost')
  disposed.resolve()
  await settle()
  transport.onlyOpen.answer()
  await lost
  await closed
  await t.notThrowsAsync(session.close(), 'also afterwards')
})

test('a session that is lost has its lease revoked, and tells of the loss in the turn that finds it', async t => {
  const { transport, runtime, session } = await arrange()
  runtime.stall(10_000)
  t.false(session.signal.aborted, 'nobody has looked')
  t.is(session.state, 'lost')
  t.true(session.signal.aborted)
  t.true(EtcdError.is(session.signal.reason, 'SESSION_LOST'))
  await settle()
  t.is(transport.onlyOpen.request(methods.leaseRevoke).id, session.leaseId)
})

test('whatever is attached, the lease is not renewed for longer than closing may take', async t => {
  const { transport, runtime, session } = await arrange()
  session.attach({ [Symbol.asyncDispose]: () => new Promise(() => {}) })
  const closing = t.throwsAsync(session.close(), { code: 'TIMEOUT' } as object)
  await runtime.advance(4999)
  t.false(session.signal.aborted)
  await runtime.advance(1)
  t.true(session.signal.aborted)
  t.is(session.state, 'closed')
  t.is(transport.onlyOpen.request(methods.leaseRevoke).id, session.leaseId)
  transport.onlyOpen.answer()
  await closing
  await t.throwsAsync(session.close(), { message: /what is attached .* within 5000 ms/ })
})

test('what is attached may close the session itself: it ends once, when all is disposed of', async t => {
  const { transport, session } = await arrange()
  const disposed = deferred<void>()
  const states: string[] = []
  session.on('state', state => states.push(state))
  session.attach({ [Symbol.asyncDispose]: () => disposed.promise })
  let inner: Promise<void> | undefined
  session.attach({
    async [Symbol.asyncDispose]() {
      inner = session.close()
    },
  })
  const closing = session.close()
  await settle()
  t.deepEqual(transport.open, [])
  t.false(session.signal.aborted)
  disposed.resolve()
  await settle()
  transport.onlyOpen.answer()
  await closing
  await inner
  t.deepEqual(states, ['closed'])
  t.deepEqual(transport.open, [])
})

test('nothing can be attached to a session that closes: it would not be disposed of', async t => {
  const { transport, session } = await arrange()
  const disposed = deferred<void>()
  const late = { [Symbol.asyncDispose]: async () => {} }
  session.attach({ [Symbol.asyncDispose]: () => disposed.promise })
  const closing = session.close()
  t.throws(() => session.attach(late), { code: 'SESSION_CLOSED' } as object)
  disposed.resolve()
  await settle()
  transport.onlyOpen.answer()
  await closing
  t.throws(() => session.attach(late), { code: 'SESSION_CLOSED' } as object)
})

test('what cannot be disposed of is not attached', async t => {
  const { session } = await arrange()
  for (const bad of [undefined, null, {}, () => {}, { [Symbol.asyncDispose]: 1 }])
    t.throws(() => session.attach(bad as unknown as AsyncDisposable), { message: /Symbol\.asyncDispose/ })
})

test('nothing may be given up half-way that ends a session: it takes no signal', async t => {
  const { transport, session } = await arrange()
  const options = { signal: new AbortController().signal } as object
  for (const leaving of [session.close(options), session.orphan(options)])
    await t.throwsAsync(leaving, { instanceOf: TypeError, message: /unknown option 'signal'/ })
  t.is(session.state, 'active')
  t.deepEqual(transport.open, [])
})

async function arrange() {
  const transport = new FakeTransport()
  const runtime = new FakeRuntime()
  const etcd = await connect('a:2379', { transport, runtime })
  const opening = etcd.session({ ttl: 10 })
  await settle()
  const { id, ttl } = transport.onlyOpen.request(methods.leaseGrant)
  transport.onlyOpen.answer({ id, ttl })
  return { transport, runtime, session: await opening }
}
