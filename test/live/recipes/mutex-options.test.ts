import test, { type ExecutionContext } from 'ava'
import { EtcdError, type Hold, type RevocationRequest } from '../../../src/index.ts'
import { deferred } from '../../../src/support/deferred.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { line, player, quiet, sessionPlayer, testRuntime, turns } from '../../traits/arena.ts'

const server = useEtcd(test)

const DELAY_MS = 77_000
const MAX_HOLD_MS = 66_000

test('options nobody uses cost nothing', async t => {
  const { net, session } = await sessionPlayer(t, server())
  for (const options of [undefined, {}, { maxHoldMs: MAX_HOLD_MS }]) {
    const mutex = session.mutex(nameOf(t), options)
    const before = net.count(methods.txn)
    const hold = await mutex.lock()
    await hold.unlock()
    await quiet(net)
    t.is(net.count(methods.txn), before + 2)
    t.deepEqual(net.watches, [])
  }
  t.throws(() => session.mutex('a', { lockDelayMs: 0 }), { instanceOf: RangeError })
  t.throws(() => session.mutex('a', { maxHoldMs: 1.5 }), { instanceOf: RangeError })
  t.throws(() => session.mutex('a', { onRevocation: true as never }), { instanceOf: TypeError })
  t.throws(() => session.mutex('a', { lockDelay: 5 } as never), { instanceOf: TypeError })
})

test('bytes given as a name may be used for something else afterwards', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const bytes = Buffer.from(name)
  const told: RevocationRequest[] = []
  const mutex = session.mutex(bytes, { onRevocation: request => told.push(request) })
  const view = etcd.mutex(bytes)
  bytes.fill(0)
  const hold = await mutex.lock()
  t.is(hold.name, name)
  await view.requestRevocation({ reason: 'please' })
  await hold.txn({ then: [] })
  while (told.length === 0) await turns()
  t.is(told[0]!.reason, 'please')
})

test('what a mutex is asked wrongly is refused in clear words', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const mutex = session.mutex(nameOf(t))
  const said = async (call: Promise<unknown>) =>
    (await t.throwsAsync(call, { instanceOf: TypeError }))!.message
  t.regex(await said(mutex.lock(null as never)), /lock: options are an object/)
  t.regex(await said(mutex.tryLock(null as never)), /tryLock: options are an object/)
  t.regex(await said(etcd.mutex('a').breakLock(undefined as never)), /breakLock takes \{ token \}/)
})

test('after an unlock there is no delay, and nothing is left', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const mine = session.mutex(name, { lockDelayMs: DELAY_MS })
  const before = net.count(methods.txn)
  const first = await mine.lock()
  t.is(net.count(methods.txn), before + 2)
  const next = other.session.mutex(name, { lockDelayMs: DELAY_MS }).lock()
  await line(etcd, name, 2)
  const unlocking = net.count(methods.txn)
  await first.unlock()
  t.is(net.count(methods.txn), unlocking + 1)
  const second = await next
  t.truthy(await etcd.get(`${name}.delay`))
  await second.unlock()
  t.is(await etcd.get(`${name}.delay`), undefined)
  await (await mine.tryLock())?.unlock()
  t.is(await etcd.get(`${name}.delay`), undefined)
})

test('after a loss nobody is told that it has the lock before the delay is over', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const doomed = await sessionPlayer(t, server())
  const name = nameOf(t)
  const mutex = session.mutex(name, { lockDelayMs: DELAY_MS })
  await doomed.session.mutex(name, { lockDelayMs: DELAY_MS }).lock()
  let told = false
  const locking = mutex.lock().then(hold => {
    told = true
    return hold
  })
  await line(etcd, name, 2)
  await etcd.lease.revoke(doomed.session.leaseId)
  await delaying(runtime, net, false)
  t.false(told)
  t.is((await etcd.mutex(name).holder())?.leaseId, session.leaseId, 'its place stays')
  runtime.fire(DELAY_MS)
  const hold = await locking
  t.true(hold.held)
  await hold.unlock()
  t.is(await etcd.get(`${name}.delay`), undefined)
  await (await mutex.lock()).unlock()
})

test('whoever has waited for a lock with a delay does not lose it to trouble that passes; whoever tries is told', async t => {
  const { net, session } = await sessionPlayer(t, server(), {}, { requestTimeoutMs: 1500 })
  const name = nameOf(t)
  const mutex = session.mutex(name, { lockDelayMs: DELAY_MS })
  const trap = net.stopAnswers(methods.txn, writes(`${name}.delay`))
  const locking = mutex.lock()
  await trap.caught()
  // Only when the time of the first is over it asks again.
  const again = await Promise.race([trap.caught(2), locking])
  if (!('deliver' in again)) return t.fail('it was told without an answer')
  trap.off()
  await again.deliver()
  const hold = await locking
  t.true(hold.held)
  await hold.unlock()
  const tried = net.stopAnswers(methods.txn, writes(`${name}.delay`))
  await t.throwsAsync(mutex.tryLock(), { code: 'TIMEOUT' } as object)
  tried.off()
})

test('whoever gives up while it waits out the delay leaves the delay to the next', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const doomed = await sessionPlayer(t, server())
  const name = nameOf(t)
  const mutex = session.mutex(name, { lockDelayMs: DELAY_MS })
  await doomed.session.mutex(name, { lockDelayMs: DELAY_MS }).lock()
  await etcd.lease.revoke(doomed.session.leaseId)
  const leaving = new AbortController()
  const locking = t.throwsAsync(mutex.lock({ signal: leaving.signal }), { message: 'leaves' })
  await delaying(runtime, net, false)
  leaving.abort(new Error('leaves'))
  await locking
  await line(etcd, name, 0)
  const next = mutex.lock()
  await delaying(runtime, net, true)
  t.true((await next).held)
})

test('a place that goes while the delay is waited out is no lock', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const doomed = await sessionPlayer(t, server())
  const name = nameOf(t)
  await doomed.session.mutex(name, { lockDelayMs: DELAY_MS }).lock()
  await etcd.lease.revoke(doomed.session.leaseId)
  const locking = t.throwsAsync(session.mutex(name, { lockDelayMs: DELAY_MS }).lock())
  await delaying(runtime, net, false)
  const [key] = await line(etcd, name, 1)
  await etcd.delete(key!)
  runtime.fire(DELAY_MS)
  t.true(EtcdError.is(await locking, 'LOCK_LOST'))
})

test('the session still ends the wait for the delay', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const doomed = await sessionPlayer(t, server())
  const name = nameOf(t)
  await doomed.session.mutex(name, { lockDelayMs: DELAY_MS }).lock()
  await etcd.lease.revoke(doomed.session.leaseId)
  const locking = t.throwsAsync(session.mutex(name, { lockDelayMs: DELAY_MS }).lock())
  await delaying(runtime, net, false)
  await session.close()
  t.true(EtcdError.is(await locking, 'SESSION_CLOSED'))
})

test('a mark whose answer was lost is not taken for that of somebody who vanished', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const trap = net.stopAnswers(methods.txn, writes(`${name}.delay`))
  const locking = session.mutex(name, { lockDelayMs: DELAY_MS }).lock()
  const mark = await trap.caught()
  trap.off()
  mark.lose()
  const hold = await locking
  t.true(hold.held)
  await hold.unlock()
})

test('a hold that lasts too long is given up, and its signal says why', async t => {
  const runtime = testRuntime()
  const { etcd, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const mutex = session.mutex(name, { maxHoldMs: MAX_HOLD_MS })
  const short = await mutex.lock()
  await short.unlock()
  t.is(runtime.fire(MAX_HOLD_MS), 0)
  const long = await mutex.lock()
  runtime.fire(MAX_HOLD_MS)
  t.false(long.held)
  t.true(EtcdError.is(long.signal.reason, 'LOCK_LOST'))
  t.regex((long.signal.reason as Error).message, /maxHoldMs/)
  await line(etcd, name, 0)
  await long.unlock()
  const error = await t.throwsAsync(mutex.run(() => void runtime.fire(MAX_HOLD_MS)))
  t.regex(error?.message ?? '', /was lost before .*maxHoldMs/)
  t.true(EtcdError.is(error, 'LOCK_LOST'))
})

test('a hold is over in time although no timer has run', async t => {
  const runtime = testRuntime()
  const { etcd, session } = await sessionPlayer(t, server(), { ttl: 600 }, { runtime })
  const name = nameOf(t)
  const hold = await session.mutex(name, { maxHoldMs: MAX_HOLD_MS }).lock()
  t.true(hold.held)
  runtime.stall(MAX_HOLD_MS)
  t.false(hold.held)
  t.throws(() => hold.assertHeld(), { message: /maxHoldMs/ })
  await line(etcd, name, 0)
})

test('a holder that wants to know is asked to unlock, with the reason, and only that holder', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  t.is(await etcd.mutex(name).requestRevocation(), undefined)
  const asked: RevocationRequest[] = []
  let hear: (hold: Hold) => void = () => {}
  const mutex = session.mutex(name, {
    onRevocation: (request, hold) => {
      asked.push(request)
      hear(hold)
    },
  })
  const first = await mutex.lock()
  const heard = new Promise<Hold>(resolve => {
    hear = resolve
  })
  const whom = await etcd.mutex(name).requestRevocation({ reason: 'maintenance', ttl: 60 })
  t.is(whom?.createRevision, first.fencingToken)
  t.is(await heard, first)
  t.is(asked[0]?.reason, 'maintenance')
  t.is(typeof asked[0]?.pid, 'number')
  t.true(first.held, 'whether to unlock is up to the holder')
  await first.unlock()
  const second = await mutex.lock()
  await turns(20)
  t.is(asked.length, 1)
  const again = new Promise<Hold>(resolve => {
    hear = resolve
  })
  await etcd.mutex(name).requestRevocation()
  t.is(await again, second)
})

test('a request that came too late leaves no lease behind', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.mutex(name).lock()
  const stopped = net.stopRequests(methods.txn, writes(`${name}.revoke/${hold.fencingToken.toString(16)}`))
  const asking = etcd.mutex(name).requestRevocation({ ttl: 600 })
  const call = await stopped.caught()
  stopped.off()
  await hold.unlock()
  await call.deliver()
  t.is(await asking, undefined)
  await quiet(net)
  const put = (call.request as TxnRequest).success[0]?.request
  const lease = put?.kind === 'put' ? put.value.lease : 0n
  t.true(EtcdError.is(await t.throwsAsync(etcd.lease.revoke(lease)), 'LEASE_NOT_FOUND'))
})

test('a request that was heard, and whose answer was lost, has asked somebody', async t => {
  t.timeout(30_000)
  const { session } = await sessionPlayer(t, server())
  const asker = await player(t, server())
  const name = nameOf(t)
  const unlocked = deferred<void>()
  const onRevocation = (_: RevocationRequest, hold: Hold) => {
    hold.unlock().then(unlocked.resolve, unlocked.reject)
  }
  const hold = await session.mutex(name, { onRevocation }).lock()
  const stopped = asker.net.stopRequests(
    methods.txn,
    writes(`${name}.revoke/${hold.fencingToken.toString(16)}`),
  )
  const asking = asker.etcd.mutex(name).requestRevocation({ ttl: 600 })
  const call = await stopped.caught()
  stopped.off()
  await call.apply()
  await unlocked.promise
  call.lose()
  t.is((await asking)?.createRevision, hold.fencingToken)
  await quiet(asker.net)
  const put = (call.request as TxnRequest).success[0]?.request
  const lease = put?.kind === 'put' ? put.value.lease : 0n
  t.true(EtcdError.is(await t.throwsAsync(asker.etcd.lease.revoke(lease)), 'LEASE_NOT_FOUND'))
})

const HOUR_MS = 3_600_000

for (const [call, method] of [
  ['requestRevocation', methods.range],
  ['requestRevocation', methods.leaseGrant],
  ['breakLock', methods.range],
] as const) {
  const name = method.path.slice(method.path.lastIndexOf('/') + 1)
  test(`the time given to ${call} is that of all its requests together: after its ${name}`, async t => {
    const runtime = testRuntime()
    const { session } = await sessionPlayer(t, server())
    const { etcd, net } = await player(t, server(), { runtime })
    const lock = nameOf(t)
    const { fencingToken: token } = await session.mutex(lock).lock()
    const answers = net.stopAnswers<unknown, unknown>(method)
    const mutex = etcd.mutex(lock)
    const options = { timeoutMs: HOUR_MS }
    const calling = t.throwsAsync<Error>(
      call === 'breakLock' ? mutex.breakLock({ ...options, token }) : mutex.requestRevocation(options),
      { instanceOf: EtcdError },
    )
    const answer = await answers.caught()
    net.vanish()
    runtime.stall(HOUR_MS)
    await answer.deliver()
    await calling
  })
}

test('a request made before the holder listens is heard', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const streams = net.stopMessages(methods.watch)
  let hear: (request: RevocationRequest) => void = () => {}
  const heard = new Promise<RevocationRequest>(resolve => {
    hear = resolve
  })
  const hold = await session.mutex(name, { onRevocation: request => hear(request) }).lock()
  await etcd.mutex(name).requestRevocation({ reason: 'early' })
  const opened = await streams.caught()
  streams.off()
  opened()
  t.is((await heard).reason, 'early')
  await hold.unlock()
  await quiet(net)
  t.deepEqual(net.watches, [])
})

test('a lock is broken by its token, and by no older one', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.mutex(name).lock()
  runtime.fire(1000)
  await net.watching(watch => mapKey(watch.key) === mapKey(first.key))
  await quiet(net)
  const next = other.session.mutex(name).lock()
  const [, waiting] = await line(etcd, name, 2)
  const later = (await etcd.get(waiting!))!.createRevision
  t.false(await etcd.mutex(name).breakLock({ token: later }), 'a waiter is no holder')
  t.true(await etcd.mutex(name).breakLock({ token: first.fencingToken }))
  const second = await next
  t.true(second.held)
  await new Promise(resolve => {
    if (first.signal.aborted) resolve(undefined)
    else first.signal.addEventListener('abort', resolve, { once: true })
  })
  t.true(EtcdError.is(first.signal.reason, 'LOCK_LOST'))
  t.false(await etcd.mutex(name).breakLock({ token: first.fencingToken }))
  t.is((await etcd.mutex(name).holder())?.createRevision, second.fencingToken)
  await t.throwsAsync(etcd.mutex(name).breakLock({ token: 5 as never }), { instanceOf: TypeError })
  await t.throwsAsync(etcd.mutex(name).breakLock(undefined as never), { message: /takes \{ token \}/ })
  await second.unlock()
  t.false(await etcd.mutex(name).breakLock({ token: second.fencingToken }))
})

test('a holder that is replaced between the look and the deed is not hit', async t => {
  const { session } = await sessionPlayer(t, server())
  const breaker = await sessionPlayer(t, server())
  const name = nameOf(t)
  const mutex = session.mutex(name)
  const first = await mutex.lock()
  const trap = breaker.net.stopRequests(methods.txn)
  const breaking = breaker.etcd.mutex(name).breakLock({ token: first.fencingToken })
  const deed = await trap.caught()
  trap.off()
  await first.unlock()
  const second = await mutex.lock()
  await deed.deliver()
  t.false(await breaking)
  t.is((await breaker.etcd.mutex(name).holder())?.createRevision, second.fencingToken)
})

/** Resolves when somebody waits out the delay; with `end`, ends that. */
async function delaying(
  runtime: ReturnType<typeof testRuntime>,
  net: { readonly unanswered: number },
  end: boolean,
): Promise<void> {
  while (runtime.pending(DELAY_MS) === 0 || net.unanswered > 0) await turns(1)
  if (end) runtime.fire(DELAY_MS)
}

/** Is this a transaction that writes that key? */
function writes(key: string): (txn: TxnRequest) => boolean {
  return ({ success }) =>
    success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === key)
}

function nameOf(t: ExecutionContext<unknown>): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}lock`
  return context.name
}
