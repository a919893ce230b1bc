import test, { type ExecutionContext } from 'ava'
import { EtcdError, prefix } from '../../../src/index.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  creates,
  isDeletionOf,
  keyIn,
  keysOf,
  line,
  looksAt,
  player,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
  waits,
  watchOf,
  watchOfKey,
} from '../../traits/arena.ts'

const server = useEtcd(test)

const LINGER_MS = 3000
const CHECK_MS = 2 * 15_000
/** More than this are not followed one by one. */
const NEAR = 64
const REQUEST_MS = 1000

test('a free lock opens no watch', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await (await session.mutex(name).lock()).unlock()
  t.deepEqual(net.watches, [])
  t.is(net.openStreams(methods.watch), 0)
})

test('the watch of a line outlasts its linger while an acquisition is on its way, and serves it', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const { holder, mutex: theirs } = await held(t)
  const name = nameOf(t)
  const leaving = new AbortController()
  const left = t.throwsAsync(session.mutex(name).lock({ signal: leaving.signal }))
  await waits(net, name)
  leaving.abort(new Error('leaves'))
  await left
  await line(etcd, name, 1)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const call = await stopped.caught()
  runtime.fire(LINGER_MS)
  const deletion = heardOf(net, keyIn(theirs, name))
  await holder.unlock()
  await deletion()
  const before = net.sent.length
  await call.deliver()
  const hold = await locking
  t.true(hold.held)
  t.is(net.sent.length, before, 'no request from the answer to the grant')
  t.is(net.watches.filter(watchOf(name)).length, 1, 'it is the watch from before')
})

test('the watch of a line is closed some seconds after the last acquisition has settled', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const { holder } = await held(t)
  const name = nameOf(t)
  const locking = session.mutex(name).lock()
  await waits(net, name)
  await holder.unlock()
  await locking
  t.is(net.watches.filter(watchOf(name)).length, 1)
  t.is(runtime.fire(LINGER_MS), 1)
  t.deepEqual(net.watches.filter(watchOf(name)), [])
})

test('a watch that broke is opened from now and the line is read again', async t => {
  t.timeout(30_000)
  const { net, session } = await sessionPlayer(t, server())
  const { holder, mutex: theirs } = await held(t)
  const name = nameOf(t)
  const locking = session.mutex(name).lock()
  await waits(net, name)
  // Its deletion is missed: the connection breaks just before.
  const missed = net.dropEvents(isDeletionOf(keyIn(theirs, name)))
  await holder.unlock()
  await missed.caught()
  net.cutStreams(methods.watch)
  const again = await net.watching(watchOf(name), 2)
  t.is(again.startRevision, 0n, 'from now')
  t.true((await locking).held)
})

test('where the watch was open before the transaction the line is not read again', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await etcd.session()
  const { holder } = await held(t)
  const name = nameOf(t)
  const first = session.mutex(name).lock()
  await waits(net, name)
  await line(etcd, name, 2)
  await turns()
  const before = net.sent.length
  const second = other.mutex(name).lock()
  await line(await onlooker(t), name, 3)
  await turns()
  t.is(net.sent.length - before, 1, 'one request to stand in line')
  await holder.unlock()
  const hold = await first
  t.is(net.sent.length - before, 1, 'none from the release to the grant')
  await hold.unlock()
  await second
  t.is(net.sent.length - before, 2, 'only the unlock')
})

test('a release between the transaction and the watch is found by reading again', async t => {
  t.timeout(30_000)
  const { net, session } = await sessionPlayer(t, server())
  const { holder } = await held(t)
  const name = nameOf(t)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const call = await stopped.caught()
  await holder.unlock()
  await call.deliver()
  t.true((await locking).held)
})

test('a place deleted between the transaction and the watch is lost, and nobody owns twice', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const { holder } = await held(t)
  const behind = await sessionPlayer(t, server())
  const name = nameOf(t)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const call = await stopped.caught()
  await etcd.delete(keyIn(session, name))
  const next = behind.session.mutex(name).lock()
  await line(etcd, name, 2)
  const rejected = t.throwsAsync(locking)
  await call.deliver()
  const error = await rejected
  t.true(EtcdError.is(error, 'LOCK_LOST'), String(error))
  await holder.unlock()
  t.true((await next).held)
})

test('a reading older than the watch is asked for again', async t => {
  t.timeout(30_000)
  const { net, session } = await sessionPlayer(t, server())
  const { holder, etcd } = await held(t)
  const name = nameOf(t)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const call = await stopped.caught()
  const standing = (await etcd.range(prefix(`${name}/`))).kvs
  await holder.unlock()
  const reads = net.stopAnswers(methods.range)
  await call.deliver()
  const read = await reads.caught()
  const { header } = (await call.apply()) as { header: { revision: bigint } }
  reads.off()
  // What a member that lags behind would say: the line as it stood at the transaction.
  const { header: now } = (await read.apply()) as { header: NonNullable<unknown> }
  await read.deliver({
    header: { ...now, revision: header.revision },
    kvs: standing.map(({ key, createRevision, lease }) => ({ key, createRevision, lease })),
    count: 2n,
  })
  t.true((await locking).held)
})

test('deletions seen while an acquisition is on its way are remembered until its answer', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const late = await etcd.session()
  const { holder, mutex: theirs } = await held(t)
  const name = nameOf(t)
  const first = session.mutex(name).lock()
  await waits(net, name)
  await line(etcd, name, 2)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(late, name)))
  const second = late.mutex(name).lock()
  const call = await stopped.caught()
  await holder.unlock()
  const hold = await first
  const deletion = heardOf(net, keyIn(session, name))
  await hold.unlock()
  await deletion()
  t.deepEqual(await keysOf(etcd, name), [keyIn(late, name)])
  await call.deliver()
  t.true((await second).held)
  t.not(theirs, late)
})

test('a place whose deletion is told before the answer that created it is no lock', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const late = await etcd.session()
  const { holder } = await held(t)
  const name = nameOf(t)
  const first = session.mutex(name).lock()
  await waits(net, name)
  await line(etcd, name, 2)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(late, name)))
  const second = late.mutex(name).lock()
  const call = await stopped.caught()
  const deletion = heardOf(net, keyIn(late, name))
  await etcd.delete(keyIn(late, name))
  await deletion()
  const refused = t.throwsAsync(second, { code: 'LOCK_LOST' })
  await call.deliver()
  await turns()
  t.is(await stateOf(refused), 'fulfilled', 'it need not be looked for')
  await refused
  await holder.unlock()
  await (await first).unlock()
  t.deepEqual(await keysOf(etcd, name), [])
})

test('a deletion that comes late does not count against who came back since', async t => {
  t.timeout(30_000)
  const { etcd, net, session: middle } = await sessionPlayer(t, server())
  const last = await etcd.session()
  const { holder, mutex: front, etcd: others } = await held(t)
  const name = nameOf(t)
  const second = middle.mutex(name).lock()
  await waits(net, name)
  await line(etcd, name, 2)
  const watch = net.stopWatches(watchOf(name))
  await holder.unlock()
  const stopped = await watch.caught()
  const again = front.mutex(name).lock()
  await line(others, name, 2)
  const third = last.mutex(name).lock()
  await line(others, name, 3)
  t.is(stopped.kept.length, 1, 'the deletion of the first hold is kept back')
  watch.release()
  const middles = await second
  const gone = heardOf(net, keyIn(middle, name))
  await middles.unlock()
  const fronts = await again
  await gone()
  await turns()
  t.is(await stateOf(third), 'pending', 'who came back stands before it')
  await fronts.unlock()
  t.true((await third).held)
})

test('the late deletion of an own earlier key is not the loss of the place taken since', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await etcd.session()
  const name = nameOf(t)
  const first = await session.mutex(name).lock()
  const second = other.mutex(name).lock()
  await waits(net, name)
  await line(etcd, name, 2)
  const watch = net.stopWatches(watchOf(name))
  await first.unlock()
  await watch.caught()
  const again = session.mutex(name).lock()
  await line(etcd, name, 2)
  await turns()
  watch.release()
  await (await second).unlock()
  t.true((await again).held)
})

test('one revision that deletes the predecessor and the place rejects, whatever the order of keys', async t => {
  const one = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  // The predecessor's key comes first in the answer.
  const inOrder = keyIn(one.session, name) < keyIn(other.session, name)
  const [front, back] = inOrder ? [one, other] : [other, one]
  await front.session.mutex(name).lock()
  const locking = back.session.mutex(name).lock()
  await back.net.watching(watchOf(name))
  await line(back.etcd, name, 2)
  await turns()
  const rejected = t.throwsAsync(locking)
  await front.etcd.delete(prefix(`${name}/`))
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
})

test('two revisions that arrive at once are both applied before a grant is decided', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const { holder } = await held(t)
  const name = nameOf(t)
  const locking = session.mutex(name).lock()
  await waits(net, name)
  const watch = net.stopWatches(watchOf(name))
  await holder.unlock()
  await etcd.delete(keyIn(session, name))
  const stopped = await watch.caught()
  while (stopped.kept.flatMap(({ events }) => events).length < 2) await turns()
  const rejected = t.throwsAsync(locking)
  watch.release()
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
})

test('a grant that comes after the event loop stood still past the deadline is not reported', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const { holder } = await held(t)
  const name = nameOf(t)
  const locking = session.mutex(name).lock()
  await waits(net, name)
  const watch = net.stopWatches(watchOf(name))
  await holder.unlock()
  await watch.caught()
  const rejected = t.throwsAsync(locking)
  runtime.stall(15_000)
  watch.release()
  t.true(EtcdError.is(await rejected, 'SESSION_LOST'))
})

test('the answer to a free lock that comes after the deadline is not reported as a grant', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const stopped = net.stopAnswers(methods.txn)
  const locking = t.throwsAsync(session.mutex(nameOf(t)).lock())
  const call = await stopped.caught()
  runtime.stall(15_000)
  await call.deliver()
  t.true(EtcdError.is(await locking, 'SESSION_LOST'))
})

test('the answer to a tryLock that comes after the deadline is not reported as a grant', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const stopped = net.stopAnswers(methods.txn)
  const trying = t.throwsAsync(session.mutex(nameOf(t)).tryLock())
  const call = await stopped.caught()
  runtime.stall(15_000)
  await call.deliver()
  t.true(EtcdError.is(await trying, 'SESSION_LOST'))
})

test('a lost deletion is found by the reading every two TTLs', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const { holder, mutex: theirs } = await held(t)
  const name = nameOf(t)
  const locking = session.mutex(name).lock()
  await waits(net, name)
  const lost = net.dropEvents(isDeletionOf(keyIn(theirs, name)))
  await holder.unlock()
  await lost.caught()
  await turns()
  t.is(await stateOf(locking), 'pending')
  t.is(runtime.fire(CHECK_MS), 1)
  t.true((await locking).held)
})

test('a watch that is never created keeps nobody waiting for ever', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const { holder } = await held(t)
  const name = nameOf(t)
  const watch = net.stopWatches(watchOf(name))
  const locking = session.mutex(name).lock()
  await watch.caught()
  await holder.unlock()
  runtime.fire(CHECK_MS)
  t.true((await locking).held)
})

test('a place that lost its lease to a foreign write is given up at the next reading', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  await held(t)
  const name = nameOf(t)
  const locking = session.mutex(name).lock()
  await waits(net, name)
  await line(etcd, name, 2)
  await etcd.put(keyIn(session, name), 'mine now')
  const rejected = t.throwsAsync(locking)
  await turns()
  runtime.fire(CHECK_MS)
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
  await line(etcd, name, 1)
})

test('writes to keys of the line are kept from its watch', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const { holder, mutex: theirs } = await held(t)
  const name = nameOf(t)
  const locking = session.mutex(name).lock()
  await waits(net, name)
  const theirKey = keyIn(theirs, name)
  const kept = await etcd.get(theirKey)
  for (let n = 0; n < 5; n++) await etcd.put(theirKey, `${n}`, { lease: kept!.lease })
  await holder.unlock()
  await locking
  t.is(net.deliveries, 1, 'the deletion alone')
})

test(`behind more than ${NEAR} places a release costs nothing, and the departure of the predecessor one look`, async t => {
  t.timeout(20_000)
  const { etcd: crowd } = await player(t, server())
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const fillers = await fill(crowd, name, NEAR + 4)
  const locking = session.mutex(name).lock()
  const mine = keyIn(session, name)
  await net.watching(watchOfKey(mine))
  await net.watching(watchOfKey(fillers.at(-1)!))
  t.deepEqual(net.watches.filter(watchOf(name)), [], 'the line is not watched')
  // One to stand in line, one to look around, one after the watches began.
  while (net.count(methods.txn) < 3) await turns()
  await turns()
  for (const filler of fillers.slice(0, 2)) await crowd.delete(filler)
  // Whatever those releases brought has come before this.
  await etcd.put(`${name}-told`, '')
  t.is(net.deliveries, 0)
  t.is(net.count(methods.txn), 3)
  // The predecessor gives up: one look, then the one before it is followed.
  await crowd.delete(fillers.at(-1)!)
  await net.watching(watchOfKey(fillers.at(-2)!))
  t.is(net.deliveries, 1)
  await crowd.delete(fillers.at(-2)!)
  for (const filler of fillers.slice(2, -2)) await crowd.delete(filler)
  t.true((await locking).held)
  t.deepEqual(await keysOf(etcd, name), [mine])
})

test('a place far back that is deleted rejects at once', async t => {
  t.timeout(20_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await fill(etcd, name, NEAR + 2)
  const locking = session.mutex(name).lock()
  const mine = keyIn(session, name)
  await net.watching(watchOfKey(mine))
  await turns()
  const rejected = t.throwsAsync(locking)
  await etcd.delete(mine)
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
})

test('a predecessor far back that left before the watches began is missed by nobody', async t => {
  t.timeout(20_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const fillers = await fill(etcd, name, NEAR + 2)
  const looks = net.stopAnswers(methods.txn, looksAt(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const look = await looks.caught()
  looks.off()
  for (const filler of fillers) await etcd.delete(filler)
  await look.deliver()
  t.true((await locking).held)
})

test('a place far back goes on through an outage that its session outlives', async t => {
  t.timeout(20_000)
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { requestTimeoutMs: REQUEST_MS })
  const other = await player(t, server())
  const name = nameOf(t)
  const fillers = await fill(etcd, name, NEAR + 2)
  const looks = net.stopRequests(methods.txn, looksAt(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  // Nothing is answered for longer than one request may take.
  const outage = new AbortController()
  const losing = (async () => {
    for (let n = 1; !outage.signal.aborted; n++) (await looks.caught(n)).lose()
  })()
  const startedAtMs = performance.now()
  while (performance.now() - startedAtMs < 3 * REQUEST_MS) await turns()
  t.is(await stateOf(locking), 'pending')
  outage.abort()
  await losing
  looks.off()
  for (const filler of fillers) await other.etcd.delete(filler)
  t.true((await locking).held)
})

test('nobody waits for itself: a name below one of the own session is refused at once', async t => {
  t.timeout(30_000)
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const below = await session.mutex(`${name}/below`).lock()
  t.true(EtcdError.is(await t.throwsAsync(session.mutex(name).tryLock()), 'NAME_CLASH'))
  t.true(EtcdError.is(await t.throwsAsync(session.mutex(name).lock()), 'NAME_CLASH'))
  await line(etcd, name, 1)
  await below.unlock()
  t.true((await session.mutex(name).lock()).held)
})

test('a foreign key is waited for, named once, and told apart from places', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const warnings: string[] = []
  etcd.on('warning', ({ code, message }) => {
    if (code === 'FOREIGN_KEY') warnings.push(message)
  })
  const below = await other.session.mutex(`${name}/below`).lock()
  await other.etcd.put(`${name}/plain`, 'in the way')
  const locking = session.mutex(name).lock()
  await waits(net, name)
  await line(etcd, name, 3)
  const [first, second] = [await session.mutex(name).holder(), ...(await session.mutex(name).waiters())]
  t.true(first?.foreign)
  t.true(second?.foreign)
  t.is(second?.leaseId, 0n)
  await below.unlock()
  await turns()
  t.is(await stateOf(locking), 'pending')
  await other.etcd.delete(`${name}/plain`)
  t.true((await locking).held)
  t.is(warnings.length, 2)
  t.true(warnings.some(message => message.includes('plain') && message.includes('no lease')))
})

function nameOf(t: ExecutionContext): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}lock`
  return context.name
}

/** Another client's session that holds the lock of this test. */
async function held(t: ExecutionContext) {
  const other = await sessionPlayer(t, server())
  const holder = await other.session.mutex(nameOf(t)).lock()
  return { ...other, holder, mutex: other.session }
}

async function onlooker(t: ExecutionContext) {
  return (await player(t, server())).etcd
}

/** Resolves once the client has been told of the deletion of this key. */
function heardOf(net: { dropEvents: Awaited<ReturnType<typeof player>>['net']['dropEvents'] }, key: string) {
  let tell = () => {}
  const heard = new Promise<void>(resolve => {
    tell = resolve
  })
  const trap = net.dropEvents(event => {
    if (isDeletionOf(key)(event)) {
      trap.off()
      setImmediate(tell)
    }
    return false
  })
  return () => heard
}

/** Places of nobody in particular, in order. */
async function fill(etcd: Awaited<ReturnType<typeof player>>['etcd'], name: string, count: number) {
  const { id } = await etcd.lease.grant(60)
  const keys = Array.from({ length: count }, (_, n) => `${name}/filler-${n}`)
  for (const key of keys) await etcd.put(key, '', { lease: id })
  return keys
}
