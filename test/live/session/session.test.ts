import test, { type ExecutionContext } from 'ava'
import { EtcdError, type SessionState } from '../../../src/index.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  aborted,
  creates,
  keyIn,
  keysOf,
  line,
  player,
  quiet,
  sessionPlayer,
  stateOf,
  testRuntime,
  waits,
} from '../../traits/arena.ts'

const server = useEtcd(test)

test('the deadline counts from when the answered renewal was sent, not from its answer', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), { ttl: 6 }, { runtime })
  const renewals = net.stopMessages(methods.leaseKeepAlive)
  const wholeMs = 6000 * 0.99 - 50
  t.true(session.remainingMs <= wholeMs)
  runtime.stall(1000)
  const notSentBefore = runtime.now()
  session.doubt()
  const answer = await renewals.caught()
  renewals.off()
  const sentBefore = runtime.now()
  runtime.stall(1500)
  answer()
  // Time goes on between two looks at the clock: each bound is taken on its own side.
  const mostMs = wholeMs - (runtime.now() - sentBefore)
  const { remainingMs } = session
  const leastMs = wholeMs - (runtime.now() - notSentBefore)
  t.true(remainingMs <= mostMs, `${remainingMs} ms are left`)
  t.true(remainingMs >= leastMs, 'the renewal counts, from its sending')
})

test('a session is suspended while renewals are late and active again after', async t => {
  t.timeout(15_000)
  const { net, session } = await sessionPlayer(t, server(), { ttl: 3 })
  const states: SessionState[] = []
  const seen = (wanted: SessionState) =>
    new Promise<void>(resolve => {
      const off = session.on('state', state => {
        if (state !== wanted) return
        off()
        resolve()
      })
    })
  session.on('state', state => states.push(state))
  t.is(session.state, 'active')
  const renewals = net.stopMessages(methods.leaseKeepAlive)
  await seen('suspended')
  t.is(session.state, 'suspended')
  t.notThrows(() => session.assertAlive())
  t.false(session.signal.aborted)
  const answered = seen('active')
  renewals.off()
  await answered
  t.notThrows(() => session.assertAlive())
  await session.close()
  t.deepEqual(states, ['suspended', 'active', 'closed'])
})

test('a session whose renewals stay unanswered is lost at its deadline, before the server gives its keys away', async t => {
  t.timeout(15_000)
  const { net, session } = await sessionPlayer(t, server(), { ttl: 3 })
  const { etcd: onlooker } = await player(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  net.stopMessages(methods.leaseKeepAlive)
  net.stopRequests(methods.leaseRevoke)
  const reason = await aborted(session.signal)
  t.true(EtcdError.is(reason, 'SESSION_LOST'))
  t.true(hold.signal.aborted, 'in the same turn')
  t.is(session.state, 'lost')
  t.is(session.remainingMs, 0)
  t.throws(() => session.assertAlive())
  t.deepEqual(await keysOf(onlooker, name), [keyIn(session, name)], 'still ours for the server')
  await t.throwsAsync(session.mutex(name).lock())
  await t.throwsAsync(session.mutex(name).tryLock())
})

test('what is to be written under a lock of a lost session is not sent, and the error says so', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const hold = await session.mutex(nameOf(t)).lock()
  const shared = await session.rwMutex(`${nameOf(t)}-shared`).writeLock()
  const leadership = await session.election(`${nameOf(t)}-leader`).campaign('me')
  runtime.stall(15_000)
  const before = net.sent.length
  for (const write of [
    () => hold.txn({ then: [] }),
    () => shared.downgrade(),
    () => shared.tryUpgrade(),
    () => leadership.proclaim('again'),
  ]) {
    const error = await t.throwsAsync(write())
    t.true(EtcdError.is(error, 'SESSION_LOST'), String(error))
    t.is((error as EtcdError).outcome, 'not-sent')
  }
  t.false(net.sent.slice(before).some(({ path }) => path.endsWith('/Txn')))
})

test('an event loop that stood still past the deadline is noticed by whoever looks first', async t => {
  const runtime = testRuntime()
  for (const look of ['held', 'assertHeld', 'state', 'assertAlive', 'remainingMs'] as const) {
    const { session } = await sessionPlayer(t, server(), {}, { runtime })
    const hold = await session.mutex(`${nameOf(t)}-${look}`).lock()
    runtime.stall(15_000)
    switch (look) {
      case 'held':
        t.false(hold.held)
        break
      case 'assertHeld':
        t.throws(() => hold.assertHeld())
        break
      case 'state':
        t.is(session.state, 'lost')
        break
      case 'assertAlive':
        t.throws(() => session.assertAlive())
        break
      case 'remainingMs':
        t.is(session.remainingMs, 0)
    }
    t.true(EtcdError.is(session.signal.reason, 'SESSION_LOST'), `${look} did not end it`)
    t.true(EtcdError.is(hold.signal.reason, 'SESSION_LOST'))
  }
})

test('a lock is doubted while the machine may have slept past the deadline, and no signal aborts if it has not', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const hold = await session.mutex(nameOf(t)).lock()
  const renewals = net.stopMessages(methods.leaseKeepAlive)
  runtime.sleep(20_000)
  t.false(hold.held)
  t.is(session.state, 'suspended')
  t.throws(() => session.assertAlive(), { message: /SESSION_SUSPENDED/ })
  t.false(hold.signal.aborted)
  // Nothing is granted before it is known.
  const locking = session.mutex(`${nameOf(t)}-other`).lock()
  await quiet(net)
  t.is(await stateOf(locking), 'pending')
  const answer = await renewals.caught()
  renewals.off()
  answer()
  t.true((await locking).held)
  t.true(hold.held)
})

test('close revokes the lease: nothing of the session is left', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const { etcd: onlooker } = await player(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const disposed: string[] = []
  for (const resource of ['first', 'second']) {
    session.attach({
      async [Symbol.asyncDispose]() {
        disposed.push(`${resource}, held: ${hold.held}`)
      },
    })
  }
  await Promise.all([session.close(), session.close()])
  await session.close()
  t.deepEqual(disposed, ['second, held: true', 'first, held: true'])
  t.is(session.state, 'closed')
  t.true(EtcdError.is(session.signal.reason, 'SESSION_CLOSED'))
  t.false(hold.held)
  t.deepEqual(await keysOf(onlooker, name), [])
  t.false((await etcd.lease.list()).includes(session.leaseId))
  t.is(await etcd.lease.timeToLive(session.leaseId), undefined)
  t.throws(() => session.assertOpen(), { message: /SESSION_CLOSED/ })
  await t.throwsAsync(session.mutex(name).lock(), { message: /SESSION_CLOSED/ })
  await t.throwsAsync(session.orphan(), { message: /SESSION_CLOSED/ })
})

test('a resource that cannot be disposed of is told by close, after the lease is revoked', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  session.attach({
    async [Symbol.asyncDispose]() {
      throw new Error('of the resource')
    },
  })
  const error = await t.throwsAsync(session.close())
  t.true(error instanceof AggregateError && String(error.errors[0]).includes('of the resource'))
  t.false((await etcd.lease.list()).includes(session.leaseId))
})

test('an orphaned lease is resumed elsewhere with its lock and its token', async t => {
  const one = await sessionPlayer(t, server())
  const two = await player(t, server())
  const name = nameOf(t)
  const hold = await one.session.mutex(name).lock()
  const lease = await one.session.orphan()
  t.is(one.session.state, 'closed')
  t.false(hold.held)
  const session = await two.etcd.session({ resume: lease })
  t.is(session.leaseId, lease)
  t.is(session.ttl, one.session.ttl)
  const again = await session.mutex(name).lock()
  t.is(again.fencingToken, hold.fencingToken)
  await again.unlock()
  const tried = await session.mutex(name).tryLock()
  t.true(tried!.fencingToken > hold.fencingToken)
  const twice = await session.orphan()
  const third = await two.etcd.session({ resume: twice })
  t.is(
    (await third.mutex(name).tryLock())?.fencingToken,
    tried!.fencingToken,
    'in the same client, by tryLock',
  )
})

test('a lease that is gone cannot be resumed', async t => {
  const { etcd } = await player(t, server())
  await t.throwsAsync(etcd.session({ resume: 4711n }), { message: /LEASE_NOT_FOUND/ })
  await t.throwsAsync(etcd.session({ resume: 0n }), { instanceOf: RangeError })
  await t.throwsAsync(etcd.session({ resume: 1n, ttl: 5 }), { instanceOf: TypeError })
  await t.throwsAsync(etcd.session({ ttl: 0 }), { instanceOf: RangeError })
  await t.throwsAsync(etcd.session({ ttl: 1.5 }), { instanceOf: RangeError })
  await t.throwsAsync(etcd.session({ tll: 5 } as never), { instanceOf: TypeError })
})

test('a revoked lease is noticed at once by who waits, and soon by who holds', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), { ttl: 60 }, { runtime })
  const hold = await session.mutex(nameOf(t)).lock()
  runtime.fire(1000)
  await quiet(net)
  await etcd.lease.revoke(session.leaseId)
  await aborted(hold.signal)
  // Long before its next renewal would be due.
  t.true(EtcdError.is(await aborted(session.signal), 'SESSION_LOST'))
  t.is(session.state, 'lost')
  await session.close()
  t.is(session.state, 'lost')
})

test('a put refused because the lease is gone loses the session', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  await etcd.lease.revoke(session.leaseId)
  const error = await t.throwsAsync(session.mutex(nameOf(t)).lock())
  t.true(EtcdError.is(error, 'SESSION_LOST'))
  t.is(session.state, 'lost')
})

test('a lost session has its lease revoked as soon as the cluster can be told', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { session } = await sessionPlayer(t, server(), {}, { runtime })
  const { etcd: onlooker } = await player(t, server())
  const name = nameOf(t)
  await session.mutex(name).lock()
  runtime.stall(15_000)
  t.is(session.state, 'lost')
  await line(onlooker, name, 0)
  t.is(await onlooker.lease.timeToLive(session.leaseId), undefined)
})

test('closing while granting leaves no lease', async t => {
  for (const stop of ['stopRequests', 'stopAnswers'] as const) {
    const { etcd, net } = await player(t, server())
    const { etcd: onlooker } = await player(t, server())
    const grants = net[stop](methods.leaseGrant)
    const opening = t.throwsAsync(etcd.session())
    const grant = await grants.caught()
    const closing = etcd.close()
    await grant.deliver()
    await closing
    const error = await opening
    t.true(EtcdError.is(error, 'CLIENT_CLOSED'), String(error))
    t.false((await onlooker.lease.list()).includes(grant.request.id))
  }
})

test('a cancelled opening leaves no lease', async t => {
  t.timeout(30_000)
  const { etcd, net } = await player(t, server())
  const grants = net.stopAnswers(methods.leaseGrant)
  const leaving = new AbortController()
  const opening = t.throwsAsync(etcd.session({ signal: leaving.signal }), { message: 'leaves' })
  const grant = await grants.caught()
  leaving.abort(new Error('leaves'))
  await opening
  await grant.deliver()
  while ((await etcd.lease.list()).includes(grant.request.id)) await quiet(net)
  t.pass()
})

test('a repeated grant counts from its first attempt', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net } = await player(t, server(), { runtime })
  const grants = net.stopAnswers(methods.leaseGrant)
  const opening = etcd.session({ ttl: 10 })
  const first = await grants.caught()
  grants.off()
  const agoMs = 3000
  runtime.stall(agoMs)
  first.lose()
  const session = await opening
  t.true(session.remainingMs <= 10_000 * 0.99 - 50 - agoMs, `${session.remainingMs} ms`)
})

test('closing while locking and waiting settles everything and leaves no lease', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  await other.session.mutex(name).lock()
  const waiting = session.mutex(name).lock()
  await waits(net, name)
  const behind = session.mutex(name).lock()
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, `${name}2`)))
  const inFlight = session.mutex(`${name}2`).lock()
  const call = await stopped.caught()
  const pending = [waiting, behind, inFlight].map(locking => t.throwsAsync(locking))
  const closing = etcd.close()
  for (const error of await Promise.all(pending)) t.regex(error.message, /SESSION_CLOSED/)
  await call.deliver()
  await closing
  t.deepEqual(await keysOf(other.etcd, name), [keyIn(other.session, name)])
  t.deepEqual(await keysOf(other.etcd, `${name}2`), [])
  t.false((await other.etcd.lease.list()).includes(session.leaseId))
})

test('a namespace that is closed closes its sessions and nothing else', async t => {
  const { etcd } = await player(t, server())
  const view = etcd.namespace(uniquePrefix(t))
  const inside = await view.session()
  const outside = await etcd.session()
  await view.close()
  t.is(inside.state, 'closed')
  t.is(outside.state, 'active')
  await t.throwsAsync(view.session(), { message: /CLIENT_CLOSED/ })
})

test('a TTL the server raised is the TTL of the session', async t => {
  // The server grants no less than one and a half of its election timeout, in whole seconds.
  const { etcd, session } = await sessionPlayer(t, server(), { ttl: 1 })
  const granted = await etcd.lease.timeToLive(session.leaseId)
  t.true(session.ttl > 1)
  t.is(session.ttl, granted!.grantedTtl)
})

test('a short TTL is warned of, and a long one is not', async t => {
  const { etcd } = await player(t, server())
  const codes: string[] = []
  etcd.on('warning', ({ code }) => codes.push(code))
  await etcd.session({ ttl: 5 })
  t.deepEqual(codes, [])
  await etcd.session({ ttl: 4 })
  t.deepEqual(codes, ['SHORT_TTL'])
  t.throws(() => etcd.on('warnings' as never, () => {}), { instanceOf: TypeError })
})

test('a listener that throws harms neither the session nor other listeners', async t => {
  const thrown: unknown[] = []
  const runtime = {
    ...testRuntime(),
    defer: (action: () => void) => {
      try {
        action()
      } catch (error) {
        thrown.push(error)
      }
    },
  }
  const { etcd, session } = await sessionPlayer(t, server(), {}, { runtime })
  const states: SessionState[] = []
  session.on('state', () => {
    throw new Error('of the listener')
  })
  const off = session.on('state', state => states.push(state))
  const silent = session.on('state', () => t.fail('it stopped listening'))
  silent()
  await session.close()
  off()
  t.deepEqual(states, ['closed'])
  t.is(thrown.length, 1)
  t.is(await etcd.lease.timeToLive(session.leaseId), undefined)
  t.throws(() => session.on('status' as never, () => {}), { instanceOf: TypeError })
})

test('one signal for a thousand calls and sessions keeps no listener', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const { signal } = new AbortController()
  let most = 0
  let listeners = 0
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  Object.assign(signal, {
    addEventListener: (...args: Parameters<typeof add>) => {
      listeners += 1
      most = Math.max(most, listeners)
      add(...args)
    },
    removeEventListener: (...args: Parameters<typeof remove>) => {
      listeners -= 1
      remove(...args)
    },
  })
  await Promise.all(Array.from({ length: 1000 }, () => etcd.get(nameOf(t), { signal })))
  const more = await Promise.all(Array.from({ length: 20 }, () => etcd.session({ signal })))
  for (let n = 0; n < 20; n++) session.signal.addEventListener('abort', () => {})
  await Promise.all(more.map(each => each.close()))
  t.is(listeners, 0)
  t.true(most <= 2, `${most} at a time`)
})

function nameOf(t: ExecutionContext): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}lock`
  return context.name
}
