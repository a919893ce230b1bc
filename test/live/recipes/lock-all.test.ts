import test, { type ExecutionContext } from 'ava'
import { EtcdError, op, type Session } from '../../../src/index.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  aborted,
  creates,
  keyIn,
  keysOf,
  line,
  quiet,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
} from '../../traits/arena.ts'

const server = useEtcd(test)

test('all locks or none, under one token', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const [a, b, c] = namesOf(t)
  const hold = await session.lockAll([a, b])
  t.deepEqual(hold.names, [a, b])
  t.is(await other.session.mutex(a).tryLock(), undefined)
  t.is(await other.session.tryLockAll([b, c]), undefined)
  t.deepEqual(await keysOf(etcd, c), [], 'nothing was written')
  for (const name of [a, b]) t.is((await etcd.mutex(name).holder())?.createRevision, hold.fencingToken)
  t.true((await hold.txn({ then: [op.put(`${a}-data`, '1')] })).succeeded)
  await hold.unlock()
  const next = await other.session.tryLockAll([b, c])
  t.true(next!.fencingToken > hold.fencingToken)
})

test('a lock, a try and an unlock of many take one round trip each, the hand-off none', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const names = Array.from({ length: 64 }, (_, index) => `${namesOf(t)[0]}${index}`)
  const trips = async <Result>(work: () => Promise<Result>) => {
    // Whoever holds for more than a second reads its own key, which is no transaction.
    const before = net.count(methods.txn)
    const result = await work()
    await quiet(net)
    return { result, trips: net.count(methods.txn) - before }
  }
  const first = await trips(() => session.lockAll(names))
  t.is(first.trips, 1)
  t.is((await trips(() => first.result.unlock())).trips, 1)
  const second = await trips(() => session.tryLockAll(names))
  t.is(second.trips, 1)
  await second.result!.unlock()
  const theirs = await other.session.lockAll(names.slice(0, 3))
  const waiting = session.lockAll(names.slice(0, 3))
  await line(other.etcd, names[0]!, 2)
  await quiet(net)
  t.is((await trips(() => theirs.unlock().then(() => waiting))).trips, 0)
})

test('whatever sets overlap, nobody waits in a circle, and no lock has two owners', async t => {
  t.timeout(60_000)
  const players = await Promise.all(Array.from({ length: 5 }, () => sessionPlayer(t, server(), { ttl: 60 })))
  const names = namesOf(t)
  const owners = new Map<string, Session>()
  let rounds = 0
  const work = async (session: Session, seed: number) => {
    let random = seed
    for (let round = 0; round < 12; round++) {
      random = (random * 48271) % 2147483647
      const wanted = names.filter((_, index) => (random >> index) & 1)
      if (wanted.length === 0) continue
      const hold = await session.lockAll(random % 2 === 0 ? wanted : wanted.toReversed())
      for (const name of wanted) {
        t.is(owners.get(name), undefined)
        owners.set(name, session)
      }
      await turns(1)
      for (const name of wanted) owners.delete(name)
      await hold.unlock()
      rounds += 1
    }
  }
  await Promise.all(players.flatMap(({ session }, n) => [work(session, 17 + n), work(session, 1017 + n)]))
  t.true(rounds > 50)
})

test('a set stands in line with those who want one lock, first come, first served', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const third = await sessionPlayer(t, server())
  const [a, b] = namesOf(t)
  const first = await session.mutex(a).lock()
  const both = other.session.lockAll([a, b])
  await line(etcd, a, 2)
  const second = third.session.mutex(b).lock()
  await line(etcd, b, 2)
  await turns()
  t.is(await stateOf(both), 'pending')
  t.is(
    await stateOf(second),
    'pending',
    'who came later waits behind the set, also for the lock that is free',
  )
  await first.unlock()
  const joint = await both
  t.is(await stateOf(second), 'pending')
  await joint.unlock()
  await (await second).unlock()
})

test('giving up leaves no key in any line', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const [a, b] = namesOf(t)
  const theirs = await other.session.mutex(a).lock()
  const leaving = new AbortController()
  const waiting = session.lockAll([a, b], { signal: leaving.signal })
  await line(etcd, a, 2)
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(waiting, { message: 'leaves' })
  await line(etcd, a, 1)
  await line(etcd, b, 0)
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, b)))
  const again = new AbortController()
  const unanswered = session.lockAll([a, b], { signal: again.signal })
  const call = await stopped.caught()
  stopped.off()
  again.abort(new Error('leaves'))
  await t.throwsAsync(unanswered)
  call.lose()
  await quiet(net)
  await call.apply()
  await line(etcd, a, 1)
  await line(etcd, b, 0)
  await theirs.unlock()
})

test('whoever waits for another task of its session keeps no ghost in the line: nobody waits in a circle', async t => {
  t.timeout(30_000)
  const { etcd, net, session } = await sessionPlayer(t, server())
  const [a, b, c] = namesOf(t)
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, b)))
  const leaving = new AbortController()
  const unanswered = session.lockAll([a, b], { signal: leaving.signal })
  const ghost = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(unanswered, { message: 'leaves' })
  ghost.lose()
  const last = await session.mutex(c).lock()
  const waiting = session.lockAll([a, c])
  await quiet(net)
  await ghost.apply()
  await line(etcd, a, 0)
  await line(etcd, b, 0)
  t.is(await stateOf(waiting), 'pending')
  await last.unlock()
  await (await waiting).unlock()
})

test('the loss of one is the loss of all, also while another is waited for', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const other = await sessionPlayer(t, server())
  const [a, b] = namesOf(t)
  const hold = await session.lockAll([a, b])
  runtime.fire(1000)
  await net.watching(({ key }) => Buffer.from(key).toString() === keyIn(session, b))
  await quiet(net)
  await etcd.delete(keyIn(session, b))
  t.true(EtcdError.is(await aborted(hold.signal), 'LOCK_LOST'))
  await line(etcd, a, 0)
  const theirs = await other.session.mutex(a).lock()
  const waiting = session.lockAll([a, b])
  await line(etcd, a, 2)
  await net.watching(({ key }) => Buffer.from(key).toString() === `${b}/`)
  await quiet(net)
  const rejected = t.throwsAsync(waiting)
  await etcd.delete(keyIn(session, b))
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
  await line(etcd, a, 1)
  await theirs.unlock()
})

test('what an unanswered attempt left of a single lock goes first', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const [a, b] = namesOf(t)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, a)))
  const leaving = new AbortController()
  const single = session.mutex(a).lock({ signal: leaving.signal })
  const call = await stopped.caught()
  stopped.off()
  await call.apply()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(single)
  call.lose()
  const joint = await session.lockAll([a, b])
  t.is((await etcd.mutex(a).holder())?.createRevision, joint.fencingToken)
  await joint.unlock()
  await line(etcd, a, 0)
})

test('some may be locked to read', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const [a, b, c, d] = namesOf(t)
  const read = (name: string) => ({ name, mode: 'read' }) as const
  const write = (name: string) => ({ name, mode: 'write' }) as const
  const one = await session.lockAll([read(a), write(b)])
  const two = await other.session.tryLockAll([read(a), write(c)])
  t.truthy(two)
  t.is(await other.session.tryLockAll([write(a), write(d)]), undefined)
  t.is(await other.session.tryLockAll([read(b)]), undefined)
  // More than are asked for at once: some empty, some shared.
  const many = await other.session.tryLockAll([read(a), read(d), read(`${d}1`), read(`${d}2`)])
  t.truthy(many)
  t.is(await other.session.tryLockAll([read(a), read(b), read(`${d}1`), read(`${d}2`)]), undefined)
  t.is((await etcd.rwMutex(a).holders()).length, 3)
  for (const hold of [one, two!, many!]) await hold.unlock()
  t.deepEqual(await keysOf(etcd, a), [])
})

test('a crowd that only reads, however many, keeps nobody out who wants to read many', async t => {
  t.timeout(30_000)
  const { session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const [a] = namesOf(t)
  const crowd = await Promise.all(Array.from({ length: 66 }, () => other.session.rwMutex(a).readLock()))
  const setOf = (size: number) => toRead([a, ...Array.from({ length: size - 1 }, (_, n) => `${a}-${n}`)])
  for (const size of [1, 2, 3, 64]) {
    const hold = await session.tryLockAll(setOf(size))
    t.true(hold?.held, `${size} beside a crowd`)
    await hold?.unlock()
  }
  const writing = other.session.rwMutex(a).writeLock()
  await line(other.etcd, a, 67)
  for (const size of [1, 2, 3, 64]) {
    t.is(await session.tryLockAll(setOf(size)), undefined, `${size} with a writer behind the crowd`)
  }
  await Promise.all(crowd.map(hold => hold.unlock()))
  await (await writing).unlock()
})

test('the loss of a place behind a crowd that reads is told while another lock is waited for', async t => {
  t.timeout(30_000)
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const other = await sessionPlayer(t, server())
  const [a, b] = namesOf(t)
  const crowd = await Promise.all(Array.from({ length: 70 }, () => other.session.rwMutex(b).readLock()))
  const gate = await other.session.mutex(a).lock()
  const names = [a, { name: b, mode: 'read' }] as const
  const key = `${keyIn(session, b)}-1`
  const watched = ({ key: one }: { readonly key: Uint8Array }) => Buffer.from(one).toString() === key
  const waiting = session.lockAll(names)
  await line(etcd, b, 71)
  await quiet(net)
  runtime.fire(1000)
  await net.watching(watched)
  await quiet(net)
  const rejected = t.throwsAsync(waiting)
  await etcd.delete(key)
  t.true(EtcdError.is(await rejected, 'LOCK_LOST'))
  await line(etcd, a, 1)
  await quiet(net)
  t.false(net.watches.some(watched))
  const again = session.lockAll(names)
  await line(etcd, b, 71)
  await quiet(net)
  await gate.unlock()
  await (await again).unlock()
  await quiet(net)
  t.is(runtime.pending(1000), 0, 'nothing waits to watch the place')
  await Promise.all(crowd.map(hold => hold.unlock()))
})

test('a wrong list is refused before any request', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const before = net.sent.length
  const wrong: [unknown, unknown][] = [
    [[], TypeError],
    ['name', TypeError],
    [undefined, TypeError],
    [[''], RangeError],
    [['a', 'a'], RangeError],
    [['a', Buffer.from('a')], RangeError],
    [[{ name: 'a' }], TypeError],
    [[{ name: 'a', mode: 'both' }], TypeError],
    [[undefined], TypeError],
    [Array.from({ length: 65 }, (_, index) => `n${index}`), RangeError],
  ]
  for (const [names, instanceOf] of wrong)
    await t.throwsAsync(session.lockAll(names as never), { instanceOf } as never, JSON.stringify(names))
  t.is(net.sent.length, before)
})

function namesOf(t: ExecutionContext<unknown>): [string, string, string, string] {
  const root = uniquePrefix(t)
  return [`${root}a`, `${root}b`, `${root}c`, `${root}d`]
}

test('as many as can be locked can be tried, read or written, beside whoever reads', async t => {
  const { session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const [first] = namesOf(t)
  const all = Array.from({ length: 64 }, (_, index) => `${first}-${index}`)
  for (const reads of [0, 1, 2, 3, 33, 64]) {
    const wanted = all.map((name, index) => (index < reads ? ({ name, mode: 'read' } as const) : name))
    const alone = await session.tryLockAll(wanted)
    t.true(alone!.held, `${reads} to read, in empty lines`)
    const beside = await other.session.tryLockAll(wanted)
    t.is(beside === undefined, reads < 64, `${reads} to read, beside another`)
    await alone!.unlock()
    await beside?.unlock()
  }
})

test('whoever comes to write while many locks are tried is not passed', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const [first] = namesOf(t)
  const wanted = Array.from({ length: 64 }, (_, index) => ({
    name: `${first}-${index}`,
    mode: 'read' as const,
  }))
  const reading = await other.session.lockAll(wanted)
  const stopped = net.stopRequests(methods.txn, ({ compare }) => compare.length > 0)
  const trying = session.tryLockAll(wanted)
  const second = await stopped.caught()
  stopped.off()
  const writing = other.session.rwMutex(wanted[7]!.name).writeLock()
  await line(other.etcd, wanted[7]!.name, 2)
  await second.deliver()
  t.is(await trying, undefined)
  await reading.unlock()
  await (await writing).unlock()
})

test('as many names below one another as can be locked are waited for like any others', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const [a] = namesOf(t)
  const ahead: Promise<{ unlock(): Promise<void> }>[] = []
  for (const length of [1, 2, 3]) {
    const { session: own } = await sessionPlayer(t, server())
    ahead.push(own.mutex(a).lock())
    await line(etcd, a, length)
  }
  const names = [a, ...Array.from({ length: 63 }, (_, n) => `${a}/${n % 2 === 0 ? '!' : '~'}${n}`)]
  const waiting = session.lockAll(names)
  await line(etcd, a, 67)
  for (const other of ahead) {
    t.is(await stateOf(waiting), 'pending')
    await (await other).unlock()
  }
  const hold = await waiting
  t.true(hold.held)
  await hold.unlock()
  t.deepEqual(await keysOf(etcd, a), [])
})

test('the keys of what was tried are in the order of their bytes, and its names as they were asked for', async t => {
  const { session } = await sessionPlayer(t, server())
  const [a, b, c] = namesOf(t)
  const names = [c, a, b]
  const trying = session.tryLockAll(names)
  names.splice(0)
  const hold = await trying
  t.deepEqual(hold!.names, [c, a, b])
  t.deepEqual(
    hold!.keys.map(key => Buffer.from(key).toString()),
    [a, b, c].map(name => keyIn(session, name)),
  )
})

test('what is no list of names is refused in the words of the call', async t => {
  const { session } = await sessionPlayer(t, server())
  const bad = (names: unknown) => t.throwsAsync(session.tryLockAll(names as never))
  t.regex((await bad('ab'))!.message, /^tryLockAll takes a list/)
  t.regex((await bad(['a', 'a']))!.message, /^tryLockAll was given a name twice/)
  for (const names of [[5], [null], [undefined], [{ name: 'a' }]])
    t.regex((await bad(names))!.message, /^tryLockAll takes names, or/)
  t.regex((await bad([{ name: 'a', mode: 'read', modes: 1 }]))!.message, /unknown option 'modes'/)
  t.regex((await t.throwsAsync(session.lockAll(['a'], null as never)))!.message, /options are an object/)
})

test('a machine that sleeps while it looks whether locks are free goes on when it is awake', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), { ttl: 60 }, { runtime })
  const names = namesOf(t).map(name => ({ name, mode: 'read' as const }))
  const stopped = net.stopRequests(methods.txn)
  const trying = session.tryLockAll(names)
  const look = await stopped.caught()
  stopped.off()
  runtime.sleep(120_000)
  await look.deliver()
  t.true((await trying)!.held)
})

test('a look at many locks is not believed from before what its client was told: no token is given twice', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const wanted = toRead(namesOf(t).slice(0, 3))
  const first = net.stopRequests(methods.txn, isLook)
  const trying = session.tryLockAll(wanted)
  const look = await first.caught()
  first.off()
  look.refuse()
  const hold = await trying
  const past = await look.apply()
  await hold!.unlock()
  const writing = await other.session.rwMutex(wanted[0]!.name).writeLock()
  const second = net.stopRequests(methods.txn, isLook)
  const again = session.tryLockAll(wanted)
  const lagging = await second.caught()
  second.off()
  await lagging.deliver(past)
  t.is(await again, undefined)
  t.true(writing.held)
})

test('a look at many locks that gets no answer leaves no ghost to be waited for', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const looks = net.stopAnswers(methods.txn, isLook)
  const trying = session.tryLockAll(toRead(namesOf(t)))
  const look = await looks.caught()
  looks.off()
  look.lose()
  await (await trying)!.unlock()
  await quiet(net)
  t.is(session.ownKeys.size, 0)
})

function toRead(names: readonly string[]) {
  return names.map(name => ({ name, mode: 'read' }) as const)
}

function isLook({ compare }: TxnRequest): boolean {
  return compare.length === 0
}

test('a set with a name below another is taken by a repeat whose first attempt had no answer', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const [a] = namesOf(t)
  // The keys of the first stand in the line of the last, and come before its own in the order of their bytes.
  const names = [`${a}/0/0`, `${a}/0`, `${a}/!`, a]
  const answers = net.stopAnswers(methods.txn, creates(keyIn(session, a)))
  const trying = session.tryLockAll(names)
  const answer = await answers.caught()
  answers.off()
  answer.lose()
  const hold = await trying
  t.true(hold!.held)
  await hold!.unlock()
  t.deepEqual(await keysOf(etcd, a), [])
})
