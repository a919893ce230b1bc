import test, { type ExecutionContext } from 'ava'
import {
  compare,
  EtcdError,
  type JointHold,
  op,
  prefix,
  type ReadWriteHold,
  type Session,
} from '../../../src/index.ts'
import { CompareTarget, type TxnRequest, type TxnResponse } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  aborted,
  creates,
  keyIn,
  keysOf,
  line,
  quiet,
  type SessionPlayer,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
} from '../../traits/arena.ts'

const server = useEtcd(test)

test('readers share, also tasks of one session, and a writer is alone', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const readers = [
    await session.rwMutex(name).readLock(),
    await session.rwMutex(name).readLock(),
    await other.session.rwMutex(name).readLock(),
  ]
  t.true(readers.every(({ held, mode }) => held && mode === 'read'))
  const writing = session.rwMutex(name).writeLock()
  await line(etcd, name, 4)
  for (const [index, reader] of readers.entries()) {
    t.is(await stateOf(writing), 'pending', `with ${3 - index} readers`)
    await reader.unlock()
  }
  const writer = await writing
  t.is(writer.mode, 'write')
  t.true(readers.every(({ fencingToken }) => fencingToken < writer.fencingToken))
  t.is(await other.session.rwMutex(name).tryReadLock(), undefined)
  await writer.unlock()
  t.deepEqual(await keysOf(etcd, name), [])
})

test('first come, first served: no reader passes a writer that waits', async t => {
  t.timeout(20_000)
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const order: string[] = []
  const gate = await session.rwMutex(name).writeLock()
  const wanted = ['r1', 'r2', 'w3', 'r4', 'w5', 'w6', 'r7'] as const
  const holds: Promise<ReadWriteHold>[] = []
  for (const [index, who] of wanted.entries()) {
    const { session: own } = await sessionPlayer(t, server())
    const mutex = own.rwMutex(name)
    const locking = who.startsWith('r') ? mutex.readLock() : mutex.writeLock()
    await line(etcd, name, index + 2)
    holds.push(
      locking.then(hold => {
        order.push(who)
        return hold
      }),
    )
  }
  t.deepEqual(await namesOf(etcd.rwMutex(name).holders()), ['write'])
  t.is((await etcd.rwMutex(name).waiters()).length, 7)
  await gate.unlock()
  const groups = [['r1', 'r2'], ['w3'], ['r4'], ['w5'], ['w6'], ['r7']]
  for (const group of groups) {
    const granted = await Promise.all(group.map(who => holds[wanted.indexOf(who as never)]!))
    t.deepEqual(order.splice(0).sort(), group)
    t.is((await etcd.rwMutex(name).holders()).length, group.length)
    for (const hold of granted) await hold.unlock()
  }
})

test('a downgrade lets the readers behind go on and keeps its place before writers', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const reading = other.session.rwMutex(name).readLock()
  await line(etcd, name, 2)
  const writing = other.session.rwMutex(name).writeLock()
  await line(etcd, name, 3)
  const { fencingToken, key } = hold
  await hold.downgrade()
  t.is(hold.mode, 'read')
  t.true(hold.held)
  const reader = await reading
  await reader.unlock()
  await turns()
  t.is(await stateOf(writing), 'pending', 'we still read')
  t.deepEqual([hold.fencingToken, hold.key], [fencingToken, key])
  await hold.downgrade()
  await hold.unlock()
  await (await writing).unlock()
})

test('a downgrade seen while a reader is on its way counts against its answer', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const late = await etcd.session()
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const writer = await other.session.rwMutex(name).writeLock()
  const first = session.rwMutex(name).readLock()
  await net.watching(({ key }) => Buffer.from(key).toString() === `${name}/`)
  await quiet(net)
  const stopped = net.stopAnswers(methods.txn, creates(`${keyIn(late, name)}-1`))
  const second = late.rwMutex(name).readLock()
  const answer = await stopped.caught()
  await writer.downgrade()
  t.true((await first).held, 'the client has heard of it')
  await answer.deliver()
  await quiet(net)
  t.is(await stateOf(second), 'fulfilled')
})

test('the only reader becomes a writer, in its place', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).readLock()
  t.true(await hold.tryUpgrade())
  t.is(hold.mode, 'write')
  t.true(await hold.tryUpgrade(), 'it writes already')
  t.is(await other.session.rwMutex(name).tryReadLock(), undefined)
  await hold.downgrade()
  const writing = other.session.rwMutex(name).writeLock()
  await line(etcd, name, 2)
  t.true(await hold.tryUpgrade(), 'a writer behind us waits on')
  t.is(await stateOf(writing), 'pending')
  await hold.unlock()
  await (await writing).unlock()
})

test('two readers that both try to become writers do not wait for each other', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const one = await session.rwMutex(name).readLock()
  const two = await other.session.rwMutex(name).readLock()
  const before = (await etcd.range(prefix(`${name}/`))).kvs.map(({ modRevision }) => modRevision)
  t.deepEqual(await Promise.all([one.tryUpgrade(), two.tryUpgrade()]), [false, false])
  const after = (await etcd.range(prefix(`${name}/`))).kvs.map(({ modRevision }) => modRevision)
  t.deepEqual(after, before, 'nothing was written')
  t.deepEqual([one.mode, two.mode], ['read', 'read'])
  await two.unlock()
  t.true(await one.tryUpgrade())
})

test('an upgrade is refused beside readers on either side of its key, and while some wait', async t => {
  t.timeout(20_000)
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  // One task each, so keys lie on both sides of that in the middle.
  const holds = [
    await session.rwMutex(name).readLock(),
    await session.rwMutex(name).readLock(),
    await session.rwMutex(name).readLock(),
  ]
  const [first, middle, last] = holds
  t.false(await middle!.tryUpgrade())
  await first!.unlock()
  t.false(await middle!.tryUpgrade(), 'one behind')
  const again = await session.rwMutex(name).readLock()
  await last!.unlock()
  t.false(await middle!.tryUpgrade(), 'one before')
  const writing = session.rwMutex(name).writeLock()
  await line(etcd, name, 3)
  const reading = session.rwMutex(name).readLock()
  await line(etcd, name, 4)
  await again.unlock()
  t.false(await middle!.tryUpgrade(), 'one waits to read')
  await middle!.unlock()
  await (await writing).unlock()
  t.true(await (await reading).tryUpgrade())
})

test('a lock that was lost is neither upgraded nor downgraded', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const reader = await session.rwMutex(name).readLock()
  await etcd.delete(prefix(`${name}/`))
  t.true(EtcdError.is(await t.throwsAsync(reader.tryUpgrade()), 'LOCK_LOST'))
  t.true(EtcdError.is(reader.signal.reason, 'LOCK_LOST'))
  const writer = await session.rwMutex(name).writeLock()
  await etcd.delete(prefix(`${name}/`))
  t.true(EtcdError.is(await t.throwsAsync(writer.downgrade()), 'LOCK_LOST'))
  t.deepEqual(await keysOf(etcd, name), [], 'neither came back')
})

test('the guard of a writer fails once it only reads, and the lock is not lost by that', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const guard = hold.guard()
  const passes = async (what: typeof guard) => (await etcd.txn({ if: [what], then: [], else: [] })).succeeded
  t.true(await passes(guard))
  await hold.txn({ then: [op.put(`${name}-data`, '1')] })
  await hold.downgrade()
  t.false(await passes(guard))
  t.true(await passes(hold.guard()))
  t.true(hold.held)
  await hold.unlock()
  t.false(await passes(hold.guard()))
})

test('a transaction that meets a downgrade on its way is not applied, and the lock stays', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const stopped = net.stopRequests(methods.txn, txn => txn.compare.length === 2)
  const writing = hold.txn({ then: [op.put(`${name}-data`, '1')] })
  const call = await stopped.caught()
  stopped.off()
  await hold.downgrade()
  const rejected = t.throwsAsync(writing)
  await call.deliver()
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
  t.true(hold.held)
  t.is(await etcd.get(`${name}-data`), undefined)
})

test('an upgrade whose answer was lost is found by its repeat', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).readLock()
  const stopped = net.stopAnswers(methods.txn, creates(Buffer.from(hold.key).toString()))
  const upgrading = hold.tryUpgrade()
  const call = await stopped.caught()
  stopped.off()
  t.true(((await call.apply()) as TxnResponse).header !== undefined)
  const reading = other.session.rwMutex(name).readLock()
  await line(other.etcd, name, 2)
  call.lose()
  t.true(await upgrading, 'although a reader has come since')
  t.is(await stateOf(reading), 'pending')
  await hold.unlock()
  await (await reading).unlock()
})

test('the time given to a change of mode is that of waiting for another one, too', async t => {
  const { runtime, net, hold, upgrading, upgrade } = await upgradeUnderWay(t)
  const downgrading = t.throwsAsync<EtcdError>(hold.downgrade({ timeoutMs: HOUR_MS }))
  await upgrade.apply()
  net.vanish()
  runtime.stall(HOUR_MS)
  await upgrade.deliver()
  t.true(await upgrading)
  t.is((await downgrading)?.code, 'TIMEOUT')
  t.is(hold.mode, 'read')
})

test('a change of mode whose time is over while it waits for another one is told so, and not made', async t => {
  const { runtime, net, hold, upgrading, upgrade } = await upgradeUnderWay(t)
  const downgrading = t.throwsAsync<EtcdError>(hold.downgrade({ timeoutMs: HOUR_MS }))
  t.is(runtime.fire(HOUR_MS), 1)
  const { code, outcome } = (await downgrading)!
  t.deepEqual({ code, outcome }, { code: 'TIMEOUT', outcome: 'not-sent' })
  const before = net.count(methods.txn)
  await upgrade.deliver()
  t.true(await upgrading)
  await quiet(net)
  t.is(net.count(methods.txn), before + 1)
  t.is(hold.mode, 'read', 'as from the call on')
  await hold.downgrade()
  await hold.unlock()
})

const HOUR_MS = 3_600_000

async function upgradeUnderWay(t: ExecutionContext<unknown>) {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), { ttl: 9_000_000 }, { runtime })
  const hold = await session.rwMutex(nameOf(t)).readLock()
  const stopped = net.stopRequests(methods.txn, creates(Buffer.from(hold.key).toString()))
  const upgrading = hold.tryUpgrade()
  const upgrade = await stopped.caught()
  stopped.off()
  return { runtime, net, hold, upgrading, upgrade }
}

test('a downgrade asked for while an upgrade is under way comes after it, and ends in reading', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).readLock()
  const stopped = net.stopRequests(methods.txn, creates(Buffer.from(hold.key).toString()))
  const upgrading = hold.tryUpgrade()
  const call = await stopped.caught()
  stopped.off()
  const downgrading = hold.downgrade()
  await call.deliver()
  t.true(await upgrading)
  await downgrading
  t.is(hold.mode, 'read')
  const reader = await other.session.rwMutex(name).readLock()
  t.is(
    (await hold.txn({ then: [op.put(`${name}-data`, '1')] })).succeeded,
    true,
    'its guard is that of a reader',
  )
  await reader.unlock()
})

test('a downgrade that is applied after its repeat does not undo the upgrade after it', async t => {
  t.timeout(30_000)
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const stopped = net.stopRequests(methods.txn, creates(Buffer.from(hold.key).toString()))
  const downgrading = hold.downgrade()
  const late = await stopped.caught()
  stopped.off()
  late.lose()
  await downgrading
  t.true(await hold.tryUpgrade())
  await late.apply()
  t.true(hold.held)
  t.is(await other.session.rwMutex(name).tryReadLock(), undefined, 'we write')
  await hold.txn({ then: [op.put(`${name}-data`, '1')] })
})

test('a downgrade that is applied after it was given up does not undo the upgrade after it, also while readers wait', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const reading = other.session.rwMutex(name).readLock()
  await line(other.etcd, name, 2)
  const leaving = new AbortController()
  const stopped = net.stopRequests(methods.txn, creates(Buffer.from(hold.key).toString()))
  const downgrading = t.throwsAsync(hold.downgrade({ signal: leaving.signal }), { message: 'leaves' })
  const late = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await downgrading
  t.true(await hold.tryUpgrade(), 'nobody was told to read')
  t.is(hold.mode, 'write')
  await late.apply()
  await quiet(other.net)
  t.is(await stateOf(reading), 'pending', 'we write')
  await hold.txn({ then: [op.put(`${name}-data`, '1')] })
  await hold.downgrade()
  await (await reading).unlock()
})

test('a downgrade that was given up and is applied before an upgrade counts: who reads since then is waited for by nobody', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const reading = other.session.rwMutex(name).readLock()
  await line(other.etcd, name, 2)
  const key = Buffer.from(hold.key).toString()
  const leaving = new AbortController()
  const stopped = net.stopRequests(methods.txn, creates(key))
  const downgrading = t.throwsAsync(hold.downgrade({ signal: leaving.signal }), { message: 'leaves' })
  const late = await stopped.caught(1)
  leaving.abort(new Error('leaves'))
  await downgrading
  const upgrading = hold.tryUpgrade()
  // It finds itself writing, and is about to write that again.
  await (await stopped.caught(2)).deliver()
  const again = await stopped.caught(3)
  stopped.off()
  await late.apply()
  await reading
  await again.deliver()
  t.false(await upgrading)
  t.is(hold.mode, 'read')
  t.true(hold.held)
})

test('whoever gives up a change of mode hears of it at once, also behind another change', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const hold = await session.rwMutex(nameOf(t)).writeLock()
  const stopped = net.stopRequests(methods.txn, creates(Buffer.from(hold.key).toString()))
  const downgrading = hold.downgrade()
  const first = await stopped.caught()
  stopped.off()
  for (const how of ['downgrade', 'tryUpgrade'] as const) {
    const leaving = new AbortController()
    const changing = hold[how]({ signal: leaving.signal })
    leaving.abort(new Error('leaves'))
    const outcome = t.throwsAsync(changing, { message: 'leaves' })
    t.is(await stateOf(outcome), 'fulfilled', how)
  }
  await first.deliver()
  await downgrading
  t.is(hold.mode, 'read')
  t.true(await hold.tryUpgrade())
})

test('an upgrade that is applied after it was given up does not undo the downgrade after it', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).readLock()
  const leaving = new AbortController()
  const stopped = net.stopRequests(methods.txn, creates(Buffer.from(hold.key).toString()))
  const upgrading = t.throwsAsync(hold.tryUpgrade({ signal: leaving.signal }), { message: 'leaves' })
  const late = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await upgrading
  await hold.downgrade()
  await late.apply()
  await (await other.session.rwMutex(name).tryReadLock())!.unlock()
})

test('a change of mode that was given up half-way is found by the next, whatever became of it', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).readLock()
  const leaving = new AbortController()
  const stopped = net.stopAnswers(methods.txn, creates(Buffer.from(hold.key).toString()))
  const upgrading = t.throwsAsync(hold.tryUpgrade({ signal: leaving.signal }), { message: 'leaves' })
  await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await upgrading
  t.is(hold.mode, 'read')
  t.true(await hold.tryUpgrade(), 'it writes since then')
  t.is(hold.mode, 'write')
  await hold.downgrade()
  const reader = await other.session.rwMutex(name).readLock()
  t.false(await hold.tryUpgrade())
  await reader.unlock()
  t.true(await hold.tryUpgrade())
})

test('a change of mode that meets the unlocking tells that the lock was unlocked', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const hold = await session.rwMutex(nameOf(t)).writeLock()
  const stopped = net.stopRequests(methods.txn, creates(Buffer.from(hold.key).toString()))
  const downgrading = t.throwsAsync(hold.downgrade())
  const call = await stopped.caught()
  stopped.off()
  await hold.unlock()
  await call.deliver()
  t.true(EtcdError.is(await downgrading, 'LOCK_RELEASED'))
})

test('the round trips: lock, try, change and unlock one each, and the hand-off none', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const cost = async <Result>(work: () => Promise<Result>) => {
    // Whoever holds for more than a second reads its own key, which is no transaction.
    const before = net.count(methods.txn)
    const result = await work()
    await quiet(net)
    return { result, trips: net.count(methods.txn) - before }
  }
  const mutex = session.rwMutex(name)
  const first = await cost(() => mutex.readLock())
  const second = await cost(() => mutex.readLock())
  const third = await cost(() => mutex.tryReadLock())
  t.deepEqual([first.trips, second.trips, third.trips], [1, 1, 1])
  t.is((await cost(() => mutex.tryWriteLock())).trips, 1)
  t.is((await cost(() => first.result.tryUpgrade())).trips, 1)
  for (const { result } of [second, third]) t.is((await cost(() => result!.unlock())).trips, 1)
  t.is((await cost(() => first.result.tryUpgrade())).trips, 1)
  t.is((await cost(() => first.result.downgrade())).trips, 1)
  const writing = other.session.rwMutex(name).writeLock()
  await other.net.watching(() => true)
  await quiet(other.net)
  const before = other.net.sent.length
  await first.result.unlock()
  await writing
  t.is(other.net.sent.length, before)
})

test('the loss of one reader is nobody else’s', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const runtime = testRuntime()
  const gone = await sessionPlayer(t, server(), {}, { runtime })
  const one = await session.rwMutex(name).readLock()
  const two = await gone.session.rwMutex(name).readLock()
  runtime.stall(gone.session.ttl * 1000)
  t.false(two.held)
  t.true(EtcdError.is(await aborted(two.signal), 'SESSION_LOST'))
  await line(etcd, name, 1)
  t.true(one.held)
})

test('a hundred readers hold at once, and a writer in front of a hundred more is waited for', async t => {
  t.timeout(60_000)
  const front = await sessionPlayer(t, server(), { ttl: 60 })
  const { etcd, net, session } = await sessionPlayer(t, server(), { ttl: 60 })
  const name = nameOf(t)
  const mutex = session.rwMutex(name)
  const readers = await Promise.all(Array.from({ length: 100 }, () => mutex.readLock()))
  t.is((await etcd.rwMutex(name).holders()).length, 100)
  const writing = front.session.rwMutex(name).writeLock()
  await line(etcd, name, 101)
  const behind = Array.from({ length: 100 }, () => mutex.readLock())
  await line(etcd, name, 201)
  await quiet(net)
  for (const reader of readers) await reader.unlock()
  const writer = await writing
  for (const reading of behind) t.is(await stateOf(reading), 'pending')
  await writer.unlock()
  const later = await Promise.all(behind)
  t.true(
    later.every(({ held }) => held),
    'whoever is far back need not wait for readers before it',
  )
  await Promise.all(later.map(hold => hold.unlock()))
})

test('tryReadLock whose answer was lost finds itself, also behind a hundred readers', async t => {
  t.timeout(60_000)
  const { net, session } = await sessionPlayer(t, server())
  const { session: crowd } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await Promise.all(Array.from({ length: 101 }, () => crowd.rwMutex(name).readLock()))
  const tries = {
    tryReadLock: () => session.rwMutex(name).tryReadLock(),
    tryLockAll: () => session.tryLockAll([`${name}-2`, { name, mode: 'read' }]),
  }
  for (const [how, locks] of Object.entries(tries)) {
    const stopped = net.stopAnswers(methods.txn)
    const trying = locks()
    const call = await stopped.caught()
    stopped.off()
    const { header } = (await call.apply()) as TxnResponse
    call.lose()
    const hold = await trying
    t.is(hold?.fencingToken, header!.revision, how)
    t.true(hold?.held, how)
    await hold?.unlock()
  }
  await turns()
  t.deepEqual(net.watches, [], 'accounted for, so nothing is watched')
})

test('what was left to read is taken up by tryReadLock behind any number of readers, and not behind a writer', async t => {
  t.timeout(60_000)
  const { etcd } = await sessionPlayer(t, server())
  const crowd = await etcd.lease.grant(60)
  const [free, waiting] = [`${nameOf(t)}-free`, `${nameOf(t)}-waiting`]
  const left = await etcd.lease.grant(60)
  let number = 0
  const stand = (name: string, { id }: { readonly id: bigint }, mode: 'read' | 'write') =>
    etcd.put(`${name}/${id.toString(16)}-${++number}`, `{"mode":"${mode}"}`, { lease: id })
  const readers = (name: string, length: number) =>
    Promise.all(Array.from({ length }, () => stand(name, crowd, 'read')))
  await readers(free, 66)
  const { revision } = await stand(free, left, 'read')
  await readers(waiting, 66)
  await stand(waiting, crowd, 'write')
  await readers(waiting, 101)
  await stand(waiting, left, 'read')
  const resumed = await etcd.session({ resume: left.id })
  t.is((await resumed.rwMutex(free).tryReadLock())?.fencingToken, revision)
  t.is(await resumed.rwMutex(waiting).tryReadLock(), undefined, 'a writer among those behind the first')
  await resumed.close()
})

test('keys of a mutex of the same name are waited for, either way', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const lock = await session.mutex(name).lock()
  const reading = other.session.rwMutex(name).readLock()
  await line(etcd, name, 2)
  await turns()
  t.is(await stateOf(reading), 'pending')
  t.is(await other.session.rwMutex(name).tryReadLock(), undefined)
  t.true(EtcdError.is(await t.throwsAsync(session.rwMutex(name).readLock()), 'NAME_CLASH'))
  await lock.unlock()
  const reader = await reading
  const locking = session.mutex(name).lock()
  await line(etcd, name, 2)
  t.is(await stateOf(locking), 'pending')
  await reader.unlock()
  await (await locking).unlock()
})

test('a key that is neither of a reader nor of a writer keeps readers out', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  for (const [index, value] of [
    '',
    'read',
    '{"mode":"rea',
    '{"mode":"read"',
    '{"mode":"read!"}',
    '{"mode":"read#',
    '{"mode":"zzz"}',
    '{}',
  ].entries()) {
    const name = `${nameOf(t)}${index}`
    await etcd.put(`${name}/plain`, value)
    t.is(await session.rwMutex(name).tryReadLock(), undefined, value)
    const reading = session.rwMutex(name).readLock()
    await line(etcd, name, 2)
    await turns()
    t.is(await stateOf(reading), 'pending', value)
    await etcd.delete(`${name}/plain`)
    await (await reading).unlock()
  }
})

test('read and write run a body under the lock', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  t.is(await session.rwMutex(name).read(hold => hold.mode), 'read')
  t.is(await session.rwMutex(name).write(hold => hold.mode), 'write')
  await t.throwsAsync(session.rwMutex(name).read(1 as never), { instanceOf: TypeError })
  await t.throwsAsync(session.rwMutex(name).writeLock({ timeoutMs: 1 } as never), { instanceOf: TypeError })
  t.throws(() => session.rwMutex(''), { instanceOf: RangeError })
  t.deepEqual(await keysOf(etcd, name), [])
})

test('without metadata the mode is still told', async t => {
  const { etcd } = await sessionPlayer(t, server())
  const session = await etcd.session({ metadata: 'none' })
  const name = nameOf(t)
  const reader = await session.rwMutex(name).readLock()
  t.is((await etcd.get(reader.key))?.text(), '{"mode":"read"}')
  t.true(await reader.tryUpgrade())
  t.is((await etcd.get(reader.key))?.text(), '{"mode":"write"}')
  t.true((await etcd.txn({ if: [compare(reader.key).lease.equals(session.leaseId)], then: [] })).succeeded)
})

test('a change of mode keeps what the place says about its owner', async t => {
  const { etcd } = await sessionPlayer(t, server())
  let asked = 0
  const session = await etcd.session({
    describe: ({ host }) => {
      asked += 1
      return { host, owner: `as asked for the ${asked}. time` }
    },
  })
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const said = async () => (await etcd.get(hold.key))!.text()
  const before = await said()
  await hold.downgrade()
  t.is(await said(), before.replace('write', 'read'))
  t.true(await hold.tryUpgrade())
  t.is(await said(), before)
  t.is(asked, 1)
})

async function namesOf(holders: ReturnType<ReturnType<SessionPlayer['etcd']['rwMutex']>['holders']>) {
  return (await holders).map(({ mode }) => mode)
}

function nameOf(t: ExecutionContext<unknown>): string {
  return `${uniquePrefix(t)}rw`
}

test('a lease is left to others only when it is known what became of a change of mode', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const hold = await session.rwMutex(name).writeLock()
  const stopped = net.stopAnswers(methods.txn)
  const changing = hold.downgrade()
  const call = await stopped.caught()
  stopped.off()
  const orphaning = session.orphan()
  await turns()
  t.is(await stateOf(orphaning), 'pending')
  await call.deliver()
  await changing
  const resumed = await etcd.session({ resume: await orphaning })
  t.is((await resumed.rwMutex(name).readLock()).fencingToken, hold.fencingToken)
})

const writing = {
  writeLock: (session, name) => session.rwMutex(name).writeLock(),
  tryWriteLock: (session, name) => session.rwMutex(name).tryWriteLock(),
  lockAll: (session, name) => session.lockAll([{ name, mode: 'write' }]),
  tryLockAll: (session, name) => session.tryLockAll([{ name, mode: 'write' }]),
} satisfies Record<string, (session: Session, name: string) => Promise<ReadWriteHold | JointHold | undefined>>

for (const [call, lock] of Object.entries(writing)) {
  test(`a downgrade given up before the lease was left, and applied after somebody took the lock up to write, changes nothing: ${call}`, async t => {
    const name = nameOf(t)
    const { late, lease, token } = await leftWithLateDowngrade(t, name)
    const writer = await sessionPlayer(t, server())
    const reader = await sessionPlayer(t, server())
    const resumed = await writer.etcd.session({ resume: lease })
    const hold = await lock(resumed, name)
    t.is(hold?.fencingToken, token)
    const reading = reader.session.rwMutex(name).readLock()
    await line(reader.etcd, name, 2)
    await late.apply()
    await quiet(reader.net)
    t.is(await stateOf(reading), 'pending', 'we write')
    t.deepEqual(await namesOf(reader.etcd.rwMutex(name).holders()), ['write'])
    await hold!.txn({ then: [op.put(`${name}-data`, '1')] })
    await hold!.unlock()
    await (await reading).unlock()
  })

  test(`a downgrade applied while somebody takes the lock up to write counts: ${call}`, async t => {
    const name = nameOf(t)
    const { late, lease } = await leftWithLateDowngrade(t, name)
    const writer = await sessionPlayer(t, server())
    const reader = await sessionPlayer(t, server())
    const resumed = await writer.etcd.session({ resume: lease })
    const stopped = writer.net.stopRequests(methods.txn, asksIfUnchanged)
    const locking = lock(resumed, name)
    const takingUp = await stopped.caught()
    stopped.off()
    await late.apply()
    const reading = await reader.session.rwMutex(name).readLock()
    await takingUp.deliver()
    if (call.startsWith('try')) {
      t.is(await locking, undefined)
      t.deepEqual(await namesOf(reader.etcd.rwMutex(name).holders()), ['read', 'read'])
    } else {
      await quiet(writer.net)
      t.is(await stateOf(locking), 'pending', 'somebody reads')
      await reading.unlock()
      t.true((await locking)!.fencingToken > reading.fencingToken)
    }
  })

  test(`a lock is taken up once, though the answer to that was lost: ${call}`, async t => {
    const name = nameOf(t)
    const { etcd, net, session } = await sessionPlayer(t, server())
    const { fencingToken: token } = await session.rwMutex(name).writeLock()
    const resumed = await etcd.session({ resume: await session.orphan() })
    const stopped = net.stopRequests(methods.txn, asksIfUnchanged)
    const locking = lock(resumed, name)
    const takingUp = await stopped.caught()
    stopped.off()
    await takingUp.apply()
    takingUp.lose()
    const hold = await locking
    t.is(hold?.fencingToken, token)
    await hold!.unlock()
    t.deepEqual(await keysOf(etcd, name), [])
  })
}

test('a change of mode is not made again once its lease was left without waiting for it', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const writer = await sessionPlayer(t, server())
  const reader = await sessionPlayer(t, server())
  const name = nameOf(t)
  const left = await session.rwMutex(name).writeLock()
  const stopped = net.stopRequests(methods.txn, asksIfUnchanged)
  const changing = t.throwsAsync(left.downgrade())
  const call = await stopped.caught()
  stopped.off()
  await t.throwsAsync(session.orphan({ timeoutMs: 1 }), { code: 'TIMEOUT' })
  const resumed = await writer.etcd.session({ resume: session.leaseId })
  const hold = await resumed.rwMutex(name).writeLock()
  t.is(hold.fencingToken, left.fencingToken)
  const reading = reader.session.rwMutex(name).readLock()
  await line(reader.etcd, name, 2)
  await call.deliver()
  t.true(EtcdError.is(await changing, 'SESSION_CLOSED'))
  await quiet(reader.net)
  t.is(await stateOf(reading), 'pending', 'we write')
  await hold.unlock()
  await (await reading).unlock()
})

/** The lease of a writer whose downgrade, given up, is still on its way. */
async function leftWithLateDowngrade(t: ExecutionContext<unknown>, name: string) {
  const { net, session } = await sessionPlayer(t, server())
  const hold = await session.rwMutex(name).writeLock()
  const leaving = new AbortController()
  const stopped = net.stopRequests(methods.txn, asksIfUnchanged)
  const downgrading = t.throwsAsync(hold.downgrade({ signal: leaving.signal }), { message: 'leaves' })
  const late = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await downgrading
  return { late, lease: await session.orphan(), token: hold.fencingToken }
}

/** Does this transaction ask whether a key is as it was written at last? */
function asksIfUnchanged({ compare }: TxnRequest): boolean {
  return compare.some(({ target }) => target === CompareTarget.modRevision)
}

test('locks left with a lease are taken up by whoever resumes it, each by who wants it that way', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const elsewhere = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.rwMutex(name).readLock()
  const second = await session.rwMutex(name).readLock()
  const third = await session.rwMutex(name).readLock()
  await second.unlock()
  const resumed = await elsewhere.etcd.session({ resume: await session.orphan() })
  t.false(first.held)
  const mutex = resumed.rwMutex(name)
  const leaving = new AbortController()
  const writing = t.throwsAsync(mutex.writeLock({ signal: leaving.signal }), { message: 'leaves' })
  await line(etcd, name, 3)
  const again = [await mutex.readLock(), await mutex.tryReadLock()]
  t.deepEqual(
    again.map(hold => hold?.fencingToken),
    [first.fencingToken, third.fencingToken],
    'the oldest first, although another task came to write before',
  )
  leaving.abort(new Error('leaves'))
  await writing
  await line(etcd, name, 2)
  await again[1]!.unlock()
  t.true(await again[0]!.tryUpgrade())
  t.is(await elsewhere.session.rwMutex(name).tryReadLock(), undefined)
  await again[0]!.unlock()
  const later = await mutex.readLock()
  t.true(later.fencingToken > third.fencingToken, 'no token is given twice')
  await later.unlock()
  t.deepEqual(await keysOf(etcd, name), [])
})

test('a place in the line that a crash left is taken up by whoever resumes the lease', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const { net, session: crashing } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await session.rwMutex(name).writeLock()
  for (const count of [2, 3]) {
    void crashing
      .rwMutex(name)
      .writeLock()
      .catch(() => {})
    await line(etcd, name, count)
  }
  const [, first, second] = await keysOf(etcd, name)
  net.vanish()
  const { etcd: other } = await sessionPlayer(t, server())
  const resumed = await other.session({ resume: crashing.leaseId })
  const waiting = [resumed.rwMutex(name).writeLock(), resumed.rwMutex(name).writeLock()]
  await gate.unlock()
  const hold = await waiting[0]!
  t.is(Buffer.from(hold.key).toString(), first!)
  await hold.unlock()
  t.is(Buffer.from((await waiting[1]!).key).toString(), second!)
})

test('who waits to see what was left hears at once that it need not wait any longer', async t => {
  const { net, etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const resumed = await etcd.session({ resume: await session.orphan() })
  const stopped = net.stopRequests(methods.range)
  const leaving = new AbortController()
  const one = t.throwsAsync(resumed.rwMutex(name).readLock({ signal: leaving.signal }), { message: 'leaves' })
  const two = t.throwsAsync(resumed.rwMutex(name).tryReadLock())
  const look = await stopped.caught()
  stopped.off()
  t.is(stopped.count, 1, 'they look once')
  leaving.abort(new Error('leaves'))
  await one
  const closing = resumed.close()
  t.true(EtcdError.is(await two, 'SESSION_CLOSED'))
  await closing
  look.lose()
})
