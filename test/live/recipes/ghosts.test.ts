import test, { type ExecutionContext } from 'ava'
import type { TxnRequest, TxnResponse } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import type { StoppedCall } from '../../support/meddling-transport.ts'
import {
  creates,
  deletes,
  keyIn,
  keysOf,
  line,
  player,
  quiet,
  sessionPlayer,
  stateOf,
  turns,
  watchOfKey,
} from '../../traits/arena.ts'

const server = useEtcd(test)

const REQUEST_MS = 1000

test('an attempt applied after its repeat was granted and released leaves no key behind', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopRequests(methods.txn, creates(key))
  const locking = session.mutex(name).lock()
  const ghost = await stopped.caught()
  stopped.off()
  ghost.lose()
  const hold = await locking
  await hold.unlock()
  await net.watching(watchOfKey(key))
  await appeared(ghost)
  await line(etcd, name, 0)
  const next = await session.mutex(name).lock()
  t.true(next.fencingToken > hold.fencingToken, 'no token is given twice')
})

test('an attempt applied while its repeat is held by nobody yet is adopted, not repeated', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const call = await stopped.caught()
  stopped.off()
  const { header } = (await call.apply()) as TxnResponse
  call.lose()
  const hold = await locking
  t.is(hold.fencingToken, header!.revision, 'the key of the unanswered attempt is the lock')
  await hold.unlock()
  await turns()
  t.deepEqual(net.watches, [], 'accounted for, so nothing is watched')
})

test('an attempt applied after its caller gave up leaves no key behind', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopRequests(methods.txn, creates(key))
  const leaving = new AbortController()
  const locking = session.mutex(name).lock({ signal: leaving.signal })
  const ghost = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(locking, { message: 'leaves' })
  ghost.lose()
  await net.watching(watchOfKey(key))
  await appeared(ghost)
  await line(etcd, name, 0)
  t.is(net.sent.filter(isCreate(key)).length, 1, 'nobody asked for it again')
})

test('a reader takes over nothing an earlier attempt has left: others have had the lock since', async t => {
  t.timeout(30_000)
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = `${keyIn(session, name)}-1`
  const stopped = net.stopRequests(methods.txn, creates(key))
  const leaving = new AbortController()
  const locking = session.rwMutex(name).readLock({ signal: leaving.signal })
  const ghost = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(locking, { message: 'leaves' })
  ghost.lose()
  await net.watching(watchOfKey(key))
  await quiet(net)
  // The session does not hear of it.
  const deaf = net.stopWatches(watchOfKey(key))
  await ghost.apply()
  t.deepEqual(await keysOf(other.etcd, name), [key])
  const between = await other.session.rwMutex(name).readLock()
  await between.unlock()
  for (const how of ['readLock', 'tryReadLock'] as const) {
    const hold = await session.rwMutex(name)[how]()
    t.true(hold === undefined || hold.fencingToken > between.fencingToken, how)
    await hold?.unlock()
  }
  deaf.release()
})

test('whoever resumes a lease takes over nothing that appears later: others have had the lock since', async t => {
  t.timeout(30_000)
  for (const how of ['readLock', 'tryReadLock'] as const) {
    const { net, session } = await sessionPlayer(t, server())
    const other = await sessionPlayer(t, server())
    const name = `${nameOf(t)}-${how}`
    const key = `${keyIn(session, name)}-1`
    const stopped = net.stopRequests(methods.txn, creates(key))
    const locking = t.throwsAsync(session.rwMutex(name).readLock(), { code: 'SESSION_CLOSED' })
    const ghost = await stopped.caught()
    stopped.off()
    const orphaning = session.orphan()
    await locking
    ghost.lose()
    const resumed = await other.etcd.session({ resume: await orphaning })
    await (await resumed.rwMutex(name).readLock()).unlock()
    await ghost.apply()
    t.deepEqual(await keysOf(other.etcd, name), [key])
    const between = await other.session.rwMutex(name).readLock()
    await between.unlock()
    const hold = await resumed.rwMutex(name)[how]()
    t.true(hold === undefined || hold.fencingToken > between.fencingToken, how)
    await hold?.unlock()
    await line(other.etcd, name, 0)
    await resumed.close()
  }
})

test('whoever resumes a lease takes over what was left, and not what appears later under its name', async t => {
  t.timeout(30_000)
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = `${keyIn(session, name)}-1`
  const stopped = net.stopRequests(methods.txn, creates(key))
  const locking = session.rwMutex(name).readLock()
  const ghost = await stopped.caught()
  stopped.off()
  ghost.lose()
  const left = await locking
  const resumed = await other.etcd.session({ resume: await session.orphan() })
  const again = await resumed.rwMutex(name).readLock()
  t.is(again.fencingToken, left.fencingToken)
  await again.unlock()
  await ghost.apply()
  t.deepEqual(await keysOf(other.etcd, name), [key])
  const between = await other.session.rwMutex(name).readLock()
  await between.unlock()
  const hold = await resumed.rwMutex(name).readLock()
  t.true(hold.fencingToken > between.fencingToken)
  await hold.unlock()
  await line(other.etcd, name, 0)
})

test('what somebody wrote over before its repeat found it is no lock, and goes', async t => {
  t.timeout(30_000)
  const { net, session } = await sessionPlayer(t, server())
  const operator = await player(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopAnswers(methods.txn, creates(key))
  const trying = session.mutex(name).tryLock()
  const call = await stopped.caught()
  stopped.off()
  await call.apply()
  await operator.etcd.put(key, 'operator')
  call.lose()
  t.is(await trying, undefined)
  await line(operator.etcd, name, 0)
  t.true((await session.mutex(name).lock()).held)
})

test('what somebody wrote over before whoever resumes its lease found it is no lock, and goes', async t => {
  t.timeout(30_000)
  const { session } = await sessionPlayer(t, server())
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  await session.mutex(name).lock()
  const resumed = await etcd.session({ resume: await session.orphan() })
  await etcd.put(keyIn(session, name), 'operator')
  await t.throwsAsync(resumed.mutex(name).lock(), { code: 'LOCK_LOST' })
  await line(etcd, name, 0)
  t.true((await resumed.mutex(name).lock()).held)
})

test('a ghost that appears before its watch was created is found by reading after it', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopRequests(methods.txn, creates(key))
  const leaving = new AbortController()
  const locking = session.mutex(name).lock({ signal: leaving.signal })
  const ghost = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(locking)
  await appeared(ghost)
  ghost.lose()
  await line(etcd, name, 0)
})

test('a ghost goes although the look for it was refused once', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await player(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopRequests(methods.txn, creates(key))
  const leaving = new AbortController()
  const locking = session.mutex(name).lock({ signal: leaving.signal })
  const ghost = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(locking, { message: 'leaves' })
  ghost.lose()
  await net.watching(watchOfKey(key))
  await quiet(net)
  const looks = net.stopRequests(methods.range)
  await appeared(ghost)
  const look = await looks.caught()
  looks.off()
  look.deny()
  await line(other.etcd, name, 0)
  t.true((await etcd.lease.list()).includes(session.leaseId), 'not by the end of the session')
})

test('a late tryLock leaves no key behind, although it would own', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const theirs = await other.session.mutex(name).lock()
  const stopped = net.stopRequests(methods.txn, creates(key))
  const trying = session.mutex(name).tryLock()
  const ghost = await stopped.caught()
  stopped.off()
  ghost.lose()
  t.is(await trying, undefined)
  await theirs.unlock()
  await net.watching(watchOfKey(key))
  await appeared(ghost)
  await line(etcd, name, 0)
  t.true((await other.session.mutex(name).lock()).held)
})

test('two unanswered attempts are watched for until both are accounted for', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopRequests(methods.txn, creates(key))
  const locking = session.mutex(name).lock()
  const first = await stopped.caught(1)
  first.lose()
  const second = await stopped.caught(2)
  stopped.off()
  second.lose()
  await (await locking).unlock()
  await net.watching(watchOfKey(key))
  for (const ghost of [first, second]) {
    await appeared(ghost)
    await line(etcd, name, 0)
  }
  while (net.watches.some(watchOfKey(key))) await turns()
  t.deepEqual(net.watches, [])
})

test('a ghost waits for the lock held in its name and goes after it', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopRequests(methods.txn, creates(key))
  const locking = session.mutex(name).lock()
  const ghost = await stopped.caught()
  stopped.off()
  ghost.lose()
  const hold = await locking
  await net.watching(watchOfKey(key))
  const answer = (await ghost.apply()) as TxnResponse
  t.false(answer.succeeded, 'the key is there already')
  await turns()
  t.true(hold.held)
  t.deepEqual(await keysOf(etcd, name), [key])
  await hold.unlock()
  await line(etcd, name, 0)
})

test('an attempt applied after a lock that was left with the lease was taken up and released leaves no key behind', async t => {
  t.timeout(30_000)
  const left = await sessionPlayer(t, server())
  const { etcd, net } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await left.session.mutex(name).lock()
  const session = await etcd.session({ resume: await left.session.orphan() })
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const ghost = await stopped.caught()
  stopped.off()
  ghost.lose()
  const again = await locking
  t.is(again.fencingToken, hold.fencingToken)
  await again.unlock()
  await net.watching(watchOfKey(keyIn(session, name)))
  await quiet(net)
  await appeared(ghost)
  await line(etcd, name, 0)
})

test('orphan waits until an attempt under way is answered and undone', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { requestTimeoutMs: REQUEST_MS })
  const other = await player(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopAnswers(methods.txn, creates(key))
  const locking = session.mutex(name).lock()
  const call = await stopped.caught()
  const rejected = t.throwsAsync(locking)
  const orphaning = session.orphan()
  await rejected
  const removal = net.stopRequests(methods.txn, deletes(key))
  await call.deliver()
  const outage = new AbortController()
  const losing = (async () => {
    for (let n = 1; !outage.signal.aborted; n++) (await removal.caught(n)).lose()
  })()
  // Longer than one request may take.
  const startedAtMs = performance.now()
  while (performance.now() - startedAtMs < 2 * REQUEST_MS) await turns()
  t.is(await stateOf(orphaning), 'pending', 'a place nobody stands behind must not stay on the lease')
  outage.abort()
  await losing
  removal.off()
  const lease = await orphaning
  t.deepEqual(await keysOf(other.etcd, name), [])
  await etcd.lease.revoke(lease)
})

test('orphan gives up undoing in its time, and leaves the lease all the same', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopAnswers(methods.txn, creates(key))
  const locking = session.mutex(name).lock()
  const call = await stopped.caught()
  const rejected = t.throwsAsync(locking)
  const removal = net.stopRequests(methods.txn, deletes(key))
  const orphaning = session.orphan({ timeoutMs: 100 })
  await rejected
  await call.deliver()
  await removal.caught()
  await t.throwsAsync(orphaning, { code: 'TIMEOUT' })
  t.is(removal.count, 1, 'long before it is asked for again')
  t.is(session.state, 'closed')
  t.true((await etcd.lease.list()).includes(session.leaseId))
  removal.off()
  await etcd.lease.revoke(session.leaseId)
})

test('orphan deletes a ghost that has appeared and does not wait for one that has not', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const [seen, unseen] = [`${nameOf(t)}-seen`, `${nameOf(t)}-unseen`]
  const ghosts: StoppedCall<TxnRequest, TxnResponse>[] = []
  for (const name of [seen, unseen]) {
    const stopped = net.stopRequests(methods.txn, creates(keyIn(session, name)))
    const leaving = new AbortController()
    const locking = session.mutex(name).lock({ signal: leaving.signal })
    const ghost = await stopped.caught()
    stopped.off()
    leaving.abort(new Error('leaves'))
    await t.throwsAsync(locking)
    ghosts.push(ghost)
  }
  await appeared(ghosts[0]!)
  const orphaning = session.orphan()
  for (const ghost of ghosts) ghost.lose()
  const lease = await orphaning
  t.deepEqual(await keysOf(etcd, seen), [])
  await etcd.lease.revoke(lease)
})

test('orphan does not wait for a ghost of a lock that is held', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const key = keyIn(session, name)
  const stopped = net.stopRequests(methods.txn, creates(key))
  const locking = session.mutex(name).lock()
  const ghost = await stopped.caught()
  stopped.off()
  ghost.lose()
  const hold = await locking
  await net.watching(watchOfKey(key))
  await turns()
  const lease = await session.orphan()
  t.false(hold.held)
  t.deepEqual(await keysOf(etcd, name), [key], 'left for whoever resumes')
  await etcd.lease.revoke(lease)
})

test('what a closed session left unanswered is refused by the server', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, name)))
  const locking = session.mutex(name).lock()
  const ghost = await stopped.caught()
  stopped.off()
  const rejected = t.throwsAsync(locking)
  const closing = session.close()
  await rejected
  ghost.lose()
  await closing
  await ghost.apply()
  t.deepEqual(await keysOf(etcd, name), [])
})

function nameOf(t: ExecutionContext): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}lock`
  return context.name
}

/** Has the server take what was given up, and sees that it created the key. */
async function appeared(ghost: StoppedCall<TxnRequest, TxnResponse>): Promise<void> {
  const answer = await ghost.apply()
  if (!answer.succeeded) throw new Error('the key was there: this is no ghost')
}

function isCreate(key: string): (call: { readonly request: unknown }) => boolean {
  return ({ request }) => {
    const txn = request as Partial<TxnRequest>
    return txn.success !== undefined && creates(key)(txn as TxnRequest)
  }
}
