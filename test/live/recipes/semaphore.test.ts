import test, { type ExecutionContext } from 'ava'
import { EtcdError, type Permit } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { RangeRequest, RequestOp, TxnRequest, WatchCreateRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import type { MeddlingTransport, SentCall, StoppedCall, Trap } from '../../support/meddling-transport.ts'
import {
  aborted,
  creates,
  isDeletionOf,
  keysOf,
  line,
  type player,
  quiet,
  type SessionPlayer,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
} from '../../traits/arena.ts'

const server = useEtcd(test)

const WATCH_LINGER_MS = 3000
const REQUEST_MS = 10_000
/** After a claim of the head that failed in passing. */
const AGAIN_MS = 500

test('permits are given up to the limit, with the lowest free number and a larger token each', async t => {
  const { session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.semaphore(name, { permits: 3 }).acquire()
  const second = await other.session.semaphore(name, { permits: 3 }).acquire()
  const third = await session.semaphore(name, { permits: 3 }).acquire()
  t.deepEqual([first.slot, second.slot, third.slot], [0, 1, 2])
  t.true(first.fencingToken < second.fencingToken && second.fencingToken < third.fencingToken)
  t.is(await other.session.semaphore(name, { permits: 3 }).tryAcquire(), undefined)
  await second.release()
  const again = await session.semaphore(name, { permits: 3 }).acquire()
  t.is(again.slot, 1)
  t.true(again.fencingToken > third.fencingToken)
  t.true(again.held)
  t.is(again.name, name)
})

test('acquire and release take one round trip, also the very first, and a permit that is handed on takes one', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const front = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 1 })
  for (let round = 0; round < 2; round++) {
    const before = net.count(methods.txn)
    const permit = await semaphore.acquire()
    t.is(net.count(methods.txn), before + 1)
    await permit.release()
    t.is(net.count(methods.txn), before + 2)
  }
  const tried = net.count(methods.txn)
  const permit = await semaphore.tryAcquire()
  t.is(net.count(methods.txn), tried + 1)
  await permit?.release()
  const theirs = await front.session.semaphore(name, { permits: 1 }).acquire()
  const refused = net.count(methods.txn)
  t.is(await semaphore.tryAcquire(), undefined)
  t.is(net.count(methods.txn), refused + 1)
  const waiting = semaphore.acquire()
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const before = net.count(methods.txn)
  await theirs.release()
  await waiting
  t.is(net.count(methods.txn), before + 1)
})

test('who stands behind others pays one round trip to stand in line, two at its head, and one for the permit', async t => {
  const front = await sessionPlayer(t, server())
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const [one, two] = [
    await front.session.semaphore(name, { permits: 2 }).acquire(),
    await front.session.semaphore(name, { permits: 2 }).acquire(),
  ]
  const leaving = new AbortController()
  const head = t.throwsAsync(
    front.session.semaphore(name, { permits: 2 }).acquire({ signal: leaving.signal }),
    { message: 'leaves' },
  )
  await waiters(front.etcd, name, 1)
  const asked = () => net.sent.filter(isAbout(name)).length
  const waiting = session.semaphore(name, { permits: 2 }).acquire()
  await waiters(front.etcd, name, 2)
  await net.watching(watchOfLine(name))
  await quiet(net)
  t.is(asked(), 1)
  leaving.abort(new Error('leaves'))
  await head
  await net.watching(watchOfSlots(name))
  await quiet(net)
  t.is(asked(), 3)
  await one.release()
  await waiting
  t.is(asked(), 4)
  await two.release()
})

test('permits are given in the order in which they were asked for', async t => {
  t.timeout(60_000)
  const name = nameOf(t)
  const players = await Promise.all(Array.from({ length: 3 }, () => sessionPlayer(t, server())))
  const { etcd } = players[0]!
  const gate = await players[0]!.session.semaphore(name, { permits: 2 }).acquire({ count: 2 })
  const order: number[] = []
  const done: Promise<void>[] = []
  for (let index = 0; index < 9; index++) {
    const semaphore = players[index % 3]!.session.semaphore(name, { permits: 2 })
    const acquiring = semaphore.acquire()
    await waiters(etcd, name, index + 1)
    done.push(
      acquiring.then(async permit => {
        order.push(index)
        await permit.release()
      }),
    )
  }
  await gate.release()
  await Promise.all(done)
  t.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8])
  t.deepEqual(await keysOf(etcd, name), [`${name}/limit`])
})

test('several permits come at once or not at all, and nobody passes who waits for them', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 3 })
  const one = await semaphore.acquire()
  const two = await semaphore.acquire()
  let granted = ''
  const all = other.session
    .semaphore(name, { permits: 3 })
    .acquire({ count: 3 })
    .then(permit => {
      granted += 'all '
      return permit
    })
  await waiters(etcd, name, 1)
  const behind = semaphore.acquire().then(permit => {
    granted += 'one '
    return permit
  })
  await waiters(etcd, name, 2)
  t.is(await etcd.semaphore(name).available(), 1)
  t.is(await other.session.semaphore(name, { permits: 3 }).tryAcquire(), undefined)
  await one.release()
  await waiters(etcd, name, 2)
  t.is((await etcd.semaphore(name).holders()).length, 1)
  await two.release()
  const permit = await all
  t.deepEqual(permit.slots, [0, 1, 2])
  const holders = await etcd.semaphore(name).holders()
  t.deepEqual(
    holders.map(({ slot, createRevision }) => [slot, createRevision]),
    [0, 1, 2].map(slot => [slot, permit.fencingToken]),
  )
  t.is(granted, 'all ')
  await permit.release()
  t.is((await behind).slot, 0)
})

test('a freed permit wakes one waiter: only the head of the line watches the slots', async t => {
  t.timeout(60_000)
  const name = nameOf(t)
  const front = await sessionPlayer(t, server())
  const gates = [
    await front.session.semaphore(name, { permits: 2 }).acquire(),
    await front.session.semaphore(name, { permits: 2 }).acquire(),
  ]
  const players: SessionPlayer[] = []
  const permits: Promise<Permit>[] = []
  for (let index = 0; index < 5; index++) {
    const one = await sessionPlayer(t, server())
    players.push(one)
    permits.push(one.session.semaphore(name, { permits: 2 }).acquire())
    await waiters(front.etcd, name, index + 1)
    await one.net.watching(index === 0 ? watchOfSlots(name) : watchOfLine(name))
  }
  const heads = () => players.map(({ net }) => net.watches.filter(watchOfSlots(name)).length)
  t.deepEqual(heads(), [1, 0, 0, 0, 0])
  const told = players.map(({ net }) => deletionsTold(net))
  await gates[0]!.release()
  const first = await permits[0]!
  await players[1]!.net.watching(watchOfSlots(name))
  await Promise.all(players.map(({ net }) => quiet(net)))
  t.deepEqual(heads(), [0, 1, 0, 0, 0])
  const slots = () => told.map(keys => keys.filter(key => key.startsWith(`${name}/s/`)).length)
  const places = () => told.map(keys => keys.filter(key => key.startsWith(`${name}/w/`)).length)
  t.deepEqual(slots(), [1, 0, 0, 0, 0])
  // Who waits behind the head hears, once, that it has left the line.
  t.is(places()[1], 1)
  t.true(places().every(count => count <= 1))
  await first.release()
  const second = await permits[1]!
  t.is((await front.etcd.semaphore(name).waiters()).length, 3)
  await second.release()
  await gates[1]!.release()
  for (const permit of permits.slice(2)) await (await permit).release()
})

test('the crash of a holder returns exactly its permits', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const doomed = await sessionPlayer(t, server())
  const name = nameOf(t)
  const mine = await session.semaphore(name, { permits: 4 }).acquire()
  const theirs = await doomed.session.semaphore(name, { permits: 4 }).acquire({ count: 3 })
  t.deepEqual(theirs.slots, [1, 2, 3])
  const waiting = session.semaphore(name, { permits: 4 }).acquire({ count: 3 })
  await waiters(etcd, name, 1)
  await etcd.lease.revoke(doomed.session.leaseId)
  t.deepEqual((await waiting).slots, [1, 2, 3])
  t.is(await etcd.semaphore(name).available(), 0)
  t.true(mine.held)
})

test('a permit whose slot is deleted is lost, and its release frees nobody else', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 1 })
  const permit = await semaphore.acquire()
  runtime.fire(1000)
  await net.watching(watch => mapKey(watch.key) === mapKey(permit.key))
  await quiet(net)
  await etcd.delete(permit.key)
  await new Promise(resolve => permit.signal.addEventListener('abort', resolve, { once: true }))
  t.true(EtcdError.is(permit.signal.reason, 'LOCK_LOST'))
  t.false(permit.held)
  const next = await semaphore.acquire()
  await permit.release()
  await permit.release()
  t.true(next.held)
  t.is((await etcd.semaphore(name).holders())[0]?.createRevision, next.fencingToken)
  const guarded = await etcd.txn({ if: [next.guard()], then: [] })
  t.true(guarded.succeeded)
})

test('many permits at once are one watch when they are held for long, and the loss of one is that of all', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const between = await other.session.semaphore(name, { permits: 100 }).acquire({ count: 3 })
  const first = await session.semaphore(name, { permits: 100 }).acquire({ count: 2 })
  await between.release()
  const permit = await session.semaphore(name, { permits: 100 }).acquire({ count: 64 })
  t.deepEqual(
    permit.slots.filter(slot => slot < 6),
    [0, 1, 2, 5],
  )
  runtime.fire(1000)
  for (const { key } of [first, permit]) await net.watching(watch => mapKey(watch.key) === mapKey(key))
  await quiet(net)
  t.is(net.watches.length, 2, 'one for each permit')
  t.true(permit.held)
  await first.release()
  const theirs = await other.session.semaphore(name, { permits: 100 }).acquire()
  t.is(theirs.slot, 3, 'a slot between ours')
  await theirs.release()
  await quiet(net)
  t.true(permit.held)
  await etcd.delete(permit.keys.at(-1)!)
  t.true(EtcdError.is(await aborted(permit.signal), 'LOCK_LOST'))
  await quiet(net)
  t.is((await etcd.semaphore(name).holders()).length, 0)
  t.deepEqual(net.watches, [])
})

test('release is idempotent, at once and after the session has closed', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const semaphore = session.semaphore(nameOf(t), { permits: 2 })
  const first = await semaphore.acquire({ count: 2 })
  await Promise.all([first.release(), first.release()])
  const second = await semaphore.acquire()
  const before = net.count(methods.txn)
  await first.release()
  t.is(net.count(methods.txn), before)
  t.true(second.held)
  t.true(EtcdError.is(first.signal.reason, 'LOCK_RELEASED'))
  await session.close()
  await second.release()
  t.true(EtcdError.is(second.signal.reason, 'SESSION_CLOSED'))
})

test('an aborted wait leaves nothing, at the head of the line and behind it', async t => {
  const runtime = testRuntime()
  const front = await sessionPlayer(t, server())
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const gate = await front.session.semaphore(name, { permits: 1 }).acquire()
  const semaphore = session.semaphore(name, { permits: 1 })
  const leaving = new AbortController()
  const head = t.throwsAsync(semaphore.acquire({ signal: leaving.signal }), { message: 'leaves' })
  await net.watching(watchOfSlots(name))
  const behind = t.throwsAsync(semaphore.acquire({ signal: leaving.signal }), { message: 'leaves' })
  await waiters(front.etcd, name, 2)
  leaving.abort(new Error('leaves'))
  await Promise.all([head, behind])
  await waiters(front.etcd, name, 0)
  await gate.release()
  const next = await semaphore.acquire()
  await next.release()
  await quiet(net)
  runtime.fire(WATCH_LINGER_MS)
  await turns()
  t.deepEqual(net.watches, [])
  t.is(session.ownKeys.size, 0)
  t.deepEqual(await keysOf(front.etcd, name), [`${name}/limit`])
})

test('the loss of the session rejects waits, wherever they are, and aborts permits', async t => {
  const runtime = testRuntime()
  const front = await sessionPlayer(t, server())
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const [free, taken] = [`${nameOf(t)}-free`, `${nameOf(t)}-taken`]
  const permit = await session.semaphore(free, { permits: 1 }).acquire()
  await front.session.semaphore(taken, { permits: 1 }).acquire()
  const head = t.throwsAsync(session.semaphore(taken, { permits: 1 }).acquire())
  await net.watching(watchOfSlots(taken))
  const behind = t.throwsAsync(session.semaphore(taken, { permits: 1 }).acquire())
  await waiters(front.etcd, taken, 2)
  runtime.stall(session.ttl * 1000)
  t.is(session.state, 'lost')
  t.true(EtcdError.is(permit.signal.reason, 'SESSION_LOST'))
  t.true(EtcdError.is(await head, 'SESSION_LOST'))
  t.true(EtcdError.is(await behind, 'SESSION_LOST'))
  await permit.release()
  await waiters(front.etcd, taken, 0)
})

test('a closed session rejects and sends nothing', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const semaphore = session.semaphore(nameOf(t), { permits: 1 })
  await session.close()
  const before = net.count(methods.txn)
  for (const attempt of [() => semaphore.acquire(), () => semaphore.tryAcquire()])
    t.true(EtcdError.is(await t.throwsAsync(attempt()), 'SESSION_CLOSED'))
  t.is(net.count(methods.txn), before)
})

test('a place that somebody deletes is lost, also at the head of the line', async t => {
  const runtime = testRuntime()
  const front = await sessionPlayer(t, server())
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const gate = await front.session.semaphore(name, { permits: 1 }).acquire()
  const waiting = t.throwsAsync(session.semaphore(name, { permits: 1 }).acquire())
  await net.watching(watchOfSlots(name))
  const [place] = await front.etcd.semaphore(name).waiters()
  runtime.fire(1000)
  await net.watching(watch => mapKey(watch.key) === mapKey(place!.key))
  await quiet(net)
  await front.etcd.delete(place!.key)
  t.true(EtcdError.is(await waiting, 'LOCK_LOST'))
  await gate.release()
})

test('counts and limits that cannot be are refused before any request', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const before = net.sent.length
  for (const permits of [0, -1, 1.5, 10_000])
    t.throws(() => session.semaphore(name, { permits }), { instanceOf: RangeError })
  t.throws(() => session.semaphore(name, { permits: '3' as never }), { instanceOf: TypeError })
  t.throws(() => session.semaphore(name, { permits: 3, mismatch: 'ask' as never }), { instanceOf: TypeError })
  t.throws(() => session.semaphore('', { permits: 3 }), { instanceOf: RangeError })
  const semaphore = session.semaphore(name, { permits: 3 })
  for (const count of [0, -1, 1.5, 65]) {
    await t.throwsAsync(semaphore.acquire({ count }), { instanceOf: RangeError })
    await t.throwsAsync(semaphore.tryAcquire({ count }), { instanceOf: RangeError })
  }
  await t.throwsAsync(semaphore.resize(0), { instanceOf: RangeError })
  await t.throwsAsync(semaphore.acquire({ timeoutMs: 5 } as never), { instanceOf: TypeError })
  await t.throwsAsync(semaphore.run(undefined as never), { instanceOf: TypeError })
  t.is(net.sent.length, before)
})

test('more permits than there are is refused at once, and when the limit falls while they are waited for', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 3 })
  const one = await semaphore.acquire()
  t.true(EtcdError.is(await t.throwsAsync(semaphore.acquire({ count: 4 })), 'FAILED_PRECONDITION'))
  t.true(EtcdError.is(await t.throwsAsync(semaphore.tryAcquire({ count: 4 })), 'FAILED_PRECONDITION'))
  const waiting = t.throwsAsync(semaphore.acquire({ count: 3 }))
  await net.watching(watchOfSlots(name))
  const other = await sessionPlayer(t, server())
  await other.session.semaphore(name, { permits: 3 }).resize(2)
  t.true(EtcdError.is(await waiting, 'FAILED_PRECONDITION'))
  await waiters(etcd, name, 0)
  await one.release()
})

test('another number of permits is adopted, refused or set, as was asked for', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await (await session.semaphore(name, { permits: 2 }).acquire()).release()
  const adopting = session.semaphore(name, { permits: 5 })
  const both = await adopting.acquire({ count: 2 })
  t.is(await adopting.tryAcquire(), undefined)
  await both.release()
  const before = net.count(methods.txn)
  await (await adopting.acquire()).release()
  t.is(net.count(methods.txn), before + 2)
  t.is(await etcd.semaphore(name).permits(), 2)
  const failing = session.semaphore(name, { permits: 5, mismatch: 'fail' })
  const refused = await t.throwsAsync(failing.acquire())
  t.true(EtcdError.is(refused, 'FAILED_PRECONDITION'))
  t.true(EtcdError.is(await t.throwsAsync(failing.tryAcquire()), 'FAILED_PRECONDITION'))
  t.deepEqual(await keysOf(etcd, name), [`${name}/limit`])
  const agreeing = session.semaphore(name, { permits: 2, mismatch: 'fail' })
  await (await agreeing.acquire()).release()
  const setting = session.semaphore(name, { permits: 4, mismatch: 'set' })
  t.is((await setting.acquire({ count: 4 })).slots.length, 4)
  t.is(await etcd.semaphore(name).permits(), 4)
})

test('whoever has once written its number of permits leaves later changes alone, however it asks for permits', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  for (const how of ['acquire', 'tryAcquire'] as const) {
    await (await session.semaphore(`${name}-${how}`, { permits: 2 }).acquire()).release()
    const setting = session.semaphore(`${name}-${how}`, { permits: 4, mismatch: 'set' })
    await (await setting[how]())!.release()
    t.is(await etcd.semaphore(`${name}-${how}`).permits(), 4)
    await session.semaphore(`${name}-${how}`, { permits: 4 }).resize(6)
    await (await setting[how]())!.release()
    t.is(await etcd.semaphore(`${name}-${how}`).permits(), 6, how)
  }
})

test('whoever asks for more than there are thought to be hears of the end of its session, and of its signal', async t => {
  for (const how of ['acquire', 'tryAcquire'] as const) {
    const { net, session } = await sessionPlayer(t, server())
    const semaphore = session.semaphore(nameOf(t), { permits: 1 })
    net.stopAnswers(methods.range, () => true)
    const leaving = new AbortController()
    const left = t.throwsAsync(semaphore[how]({ count: 2, signal: leaving.signal }), { message: 'enough' })
    leaving.abort(new Error('enough'))
    await left
    const over = t.throwsAsync(semaphore[how]({ count: 2 }))
    const closed = session.close()
    t.true(EtcdError.is(await over, 'SESSION_CLOSED'), how)
    await closed
  }
})

test('more permits wake who waits; fewer take none away and give none until enough were released', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 1 })
  const first = await semaphore.acquire()
  const waiting = semaphore.acquire({ count: 2 }).catch((error: unknown) => error)
  t.true(EtcdError.is(await waiting, 'FAILED_PRECONDITION'))
  const second = semaphore.acquire()
  await net.watching(watchOfSlots(name))
  await etcd.put(`${name}/limit`, '3')
  t.is((await second).slot, 1)
  const third = await semaphore.acquire()
  t.is(third.slot, 2)
  await semaphore.resize(2)
  await first.release()
  t.is(await etcd.semaphore(name).available(), 0)
  // Slot 0 is free, but two are held.
  t.is(await semaphore.tryAcquire(), undefined)
  const last = semaphore.acquire()
  await waiters(etcd, name, 1)
  t.is((await etcd.semaphore(name).holders()).length, 2)
  await (await second).release()
  t.is((await last).slot, 0)
  t.true(third.held)
  // One is held beyond the limit: there is room for none, until somebody who holds within it leaves.
  t.is(await semaphore.tryAcquire(), undefined)
  await (await last).release()
  t.is((await semaphore.tryAcquire())?.slot, 0)
})

test('the head takes nothing that was free under a limit that is not the one it compares', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const front = await sessionPlayer(t, server())
  const name = nameOf(t)
  const theirs = front.session.semaphore(name, { permits: 3 })
  const held = [await theirs.acquire(), await theirs.acquire(), await theirs.acquire()]
  const semaphore = session.semaphore(name, { permits: 3 })
  const waiting = semaphore.acquire()
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const renewals = net.stopMessages(methods.leaseKeepAlive)
  runtime.sleep(60_000)
  await held[0]!.release()
  // It has seen what is free, and asks whether its session outlived the sleep.
  const renewal = await renewals.caught()
  await quiet(net)
  await semaphore.resize(2)
  renewals.off()
  renewal()
  await quiet(net)
  t.is(await stateOf(waiting), 'pending')
  t.is((await front.etcd.semaphore(name).holders()).length, 2)
  await held[1]!.release()
  t.true((await waiting).held)
})

test('a change of their number that was not made is not asked for by later acquisitions', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const strict = session.semaphore(name, { permits: 2, mismatch: 'fail' })
  await (await strict.acquire()).release()
  const gone = AbortSignal.abort(new Error('gone'))
  await t.throwsAsync(strict.resize(4, { signal: gone }), { message: 'gone' })
  await (await strict.acquire()).release()
  const setting = session.semaphore(name, { permits: 3, mismatch: 'set' })
  await t.throwsAsync(setting.resize(4, { signal: gone }), { message: 'gone' })
  await (await setting.acquire()).release()
  t.is(await etcd.semaphore(name).permits(), 3)
})

test('a claim that is applied after its repeat was granted and released is given back', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 2 })
  await (await semaphore.acquire()).release()
  const trap = net.stopRequests(methods.txn, takes(name))
  const acquiring = semaphore.acquire()
  const late = await trap.caught()
  trap.off()
  late.lose()
  const permit = await acquiring
  t.is(permit.slot, 0)
  await permit.release()
  await net.watching(watchOfTaking(name))
  await quiet(net)
  await late.apply()
  await gone(etcd, name)
  const next = await semaphore.acquire({ count: 2 })
  t.true(next.fencingToken > permit.fencingToken)
})

test('a claim that is applied late, while its repeat is held, takes no second permit', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 2 })
  await (await semaphore.acquire()).release()
  const trap = net.stopRequests(methods.txn, takes(name))
  const acquiring = semaphore.acquire()
  const late = await trap.caught()
  trap.off()
  // Applied, but nobody hears of it: the repeat takes another slot.
  await late.apply()
  late.lose()
  const permit = await acquiring
  await available(etcd, name, 1)
  t.true(permit.held)
  const holders = await etcd.semaphore(name).holders()
  t.deepEqual(
    holders.map(({ slot, createRevision }) => [slot, createRevision]),
    [[permit.slot, permit.fencingToken]],
  )
})

test('what an unanswered claim took is given back, also right after another one was', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 4 })
  await (await semaphore.acquire()).release()
  const first = net.stopAnswers(methods.txn, takes(name))
  const reads = net.stopAnswers(methods.range, ({ key }) => mapKey(key) === `${name}/s/`)
  const acquiring = semaphore.acquire()
  const lost = await first.caught()
  first.off()
  lost.lose()
  const looking = await reads.caught()
  const permit = await acquiring
  // There was something to look for while it was looking.
  await looking.deliver()
  await available(etcd, name, 3)
  await quiet(net)
  reads.off()
  const second = net.stopAnswers(methods.txn, takes(name))
  const another = semaphore.acquire()
  ;(await second.caught(1)).lose()
  const repeat = await second.caught(2)
  second.off()
  if (reads.count > 1) await (await reads.caught(2)).deliver()
  await quiet(net)
  await repeat.deliver()
  t.true((await another).held)
  await available(etcd, name, 2)
  t.true(permit.held)
})

test('a claim whose answer was lost is found by its repeat when nothing else is free', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  for (const how of ['acquire', 'tryAcquire'] as const) {
    const semaphore = session.semaphore(name, { permits: 1 })
    const trap = net.stopAnswers(methods.txn, takes(name))
    const acquiring = semaphore[how]()
    const first = await trap.caught()
    trap.off()
    first.lose()
    const permit = await acquiring
    t.is(permit?.slot, 0)
    await waiters(etcd, name, 0)
    t.is((await etcd.semaphore(name).holders())[0]?.createRevision, permit?.fencingToken)
    await permit?.release()
  }
  t.deepEqual(await keysOf(etcd, name), [`${name}/limit`])
})

test('what a claim whose answer was lost has taken is no permit when a part of it is gone by then', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  for (const how of ['tryAcquire', 'acquire'] as const) {
    const semaphore = session.semaphore(name, { permits: 2 })
    const trap = net.stopAnswers(methods.txn, takes(name))
    const acquiring = semaphore[how]({ count: 2 })
    const first = await trap.caught()
    trap.off()
    await etcd.delete(`${name}/s/0000`)
    first.lose()
    const permit = await acquiring
    // They were not free together when the try asked again.
    t.deepEqual(permit?.slots, how === 'tryAcquire' ? undefined : [0, 1])
    await permit?.release()
    await gone(etcd, name)
  }
})

test('what a claim of the head whose answer was lost has taken is lost with a part of it', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await other.session.semaphore(name, { permits: 2 }).acquire({ count: 2 })
  const waiting = t.throwsAsync(session.semaphore(name, { permits: 2 }).acquire({ count: 2 }), {
    code: 'LOCK_LOST',
  } as object)
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const trap = net.stopAnswers(methods.txn, takes(name))
  await gate.release()
  const claim = await trap.caught()
  trap.off()
  await etcd.delete(`${name}/s/0000`)
  claim.lose()
  await waiting
  await gone(etcd, name)
})

test('a claim whose answer was lost and that nobody may look for is refused, and what it took is given back', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  for (const how of ['tryAcquire', 'acquire'] as const) {
    const semaphore = session.semaphore(name, { permits: 1 })
    const trap = net.stopAnswers(methods.txn, takes(name))
    const reads = net.stopAnswers(methods.range, readsSlots(name))
    const acquiring = t.throwsAsync(semaphore[how](), { code: 'PERMISSION_DENIED' } as object)
    const first = await trap.caught()
    trap.off()
    first.lose()
    // The claim looks for what it took, and so does the watch for such slots, in any order.
    const denied = denyAll(reads)
    await acquiring
    await denied(reads.count + 1)
    reads.off()
    await gone(etcd, name)
    await (await other.session.semaphore(name, { permits: 1 }).acquire()).release()
  }
})

test('a claim of the head whose answer was lost and that nobody may look for takes nothing, and is no loss', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await other.session.semaphore(name, { permits: 1 }).acquire()
  const waiting = t.throwsAsync(session.semaphore(name, { permits: 1 }).acquire(), {
    code: 'PERMISSION_DENIED',
  } as object)
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const trap = net.stopAnswers(methods.txn, takes(name))
  const reads = net.stopAnswers(methods.range, readsSlots(name))
  await gate.release()
  const claim = await trap.caught()
  trap.off()
  claim.lose()
  // Nor is what is given back seen at once.
  for (const reading of [1, 2]) (await reads.caught(reading)).deny()
  reads.off()
  await waiting
  await gone(etcd, name)
})

test('an attempt that is given up unanswered and applied later leaves no slot taken', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 1 })
  await (await semaphore.acquire()).release()
  for (const how of ['acquire', 'tryAcquire'] as const) {
    const trap = net.stopRequests(methods.txn, takes(name))
    const leaving = new AbortController()
    const acquiring = t.throwsAsync(semaphore[how]({ signal: leaving.signal }), { message: 'leaves' })
    const late = await trap.caught()
    trap.off()
    leaving.abort(new Error('leaves'))
    await acquiring
    late.lose()
    await net.watching(watchOfTaking(name), how === 'acquire' ? 1 : 2)
    await quiet(net)
    await late.apply()
    await gone(etcd, name)
    // The watch for such slots ends when all of them are accounted for.
    await quiet(net)
    t.deepEqual(net.watches.filter(watchOfTaking(name)), [])
  }
})

test('orphan gives back what an attempt without an answer has taken, also while its repeat is on its way', async t => {
  for (const how of ['acquire', 'tryAcquire'] as const) {
    const { etcd, net, session } = await sessionPlayer(t, server())
    const other = await sessionPlayer(t, server())
    const name = nameOf(t)
    const semaphore = session.semaphore(name, { permits: 3 })
    await (await semaphore.acquire()).release()
    const trap = net.stopAnswers(methods.txn, takes(name))
    const acquiring = t.throwsAsync(semaphore[how](), { code: 'SESSION_CLOSED' })
    const first = await trap.caught(1)
    await first.apply()
    first.lose()
    const second = await trap.caught(2)
    trap.off()
    const orphaning = session.orphan()
    await acquiring
    await second.deliver()
    const lease = await orphaning
    t.deepEqual(await other.etcd.semaphore(name).holders(), [], 'nobody was told of them')
    await etcd.lease.revoke(lease)
  }
})

test('an attempt of the head that is given up unanswered can take nothing once its place is gone', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 1 })
  for (const when of ['before', 'after'] as const) {
    const gate = await other.session.semaphore(name, { permits: 1 }).acquire()
    const leaving = new AbortController()
    const waiting = t.throwsAsync(semaphore.acquire({ signal: leaving.signal }), { message: 'leaves' })
    await net.watching(watchOfSlots(name), when === 'before' ? 1 : 2)
    await quiet(net)
    const trap = net.stopRequests(methods.txn, takes(name))
    await gate.release()
    const claim = await trap.caught()
    trap.off()
    if (when === 'before') await claim.apply()
    leaving.abort(new Error('leaves'))
    await waiting
    claim.lose()
    await waiters(etcd, name, 0)
    if (when === 'after') await claim.apply()
    await available(etcd, name, 1)
    t.deepEqual(await keysOf(etcd, name), [`${name}/limit`])
  }
})

test('a claim of the head whose answer was lost is found', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await other.session.semaphore(name, { permits: 2 }).acquire({ count: 2 })
  const waiting = session.semaphore(name, { permits: 2 }).acquire({ count: 2 })
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const trap = net.stopAnswers(methods.txn, takes(name))
  await gate.release()
  const claim = await trap.caught()
  trap.off()
  claim.lose()
  const permit = await waiting
  t.deepEqual(permit.slots, [0, 1])
  t.true(permit.held)
  const holders = await other.etcd.semaphore(name).holders()
  t.true(holders.every(({ createRevision }) => createRevision === permit.fencingToken))
})

test('a claim of the head that is applied long after its repeat was refused is a permit all the same', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { runtime })
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await other.session.semaphore(name, { permits: 1 }).acquire()
  const waiting = session.semaphore(name, { permits: 1 }).acquire()
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const trap = net.stopRequests(methods.txn, takes(name))
  await gate.release()
  const late = await trap.caught(1)
  late.lose()
  const repeat = await trap.caught(2)
  trap.off()
  const slot = `${name}/s/0000`
  await other.etcd.put(slot, 'of somebody who asks nobody')
  await repeat.deliver()
  await quiet(net)
  // Told of it, the head would ask before the late claim is applied.
  const forgotten = net.dropEvents(isDeletionOf(slot))
  await other.etcd.delete(slot)
  await forgotten.caught()
  await late.apply()
  t.deepEqual(await etcd.semaphore(name).waiters(), [])
  await quiet(net)
  // Now it looks after its place, if it has not begun yet.
  runtime.fire(1000)
  const permit = await waiting
  t.is(permit.slot, 0)
  t.true((await etcd.txn({ if: [permit.guard()], then: [] })).succeeded)
})

test('the head waits on while its claims fail for as long as a request may take', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), { ttl: 60 }, { runtime })
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await other.session.semaphore(name, { permits: 1 }).acquire()
  const waiting = session.semaphore(name, { permits: 1 }).acquire()
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const trap = net.stopRequests(methods.txn, takes(name))
  await gate.release()
  for (const fail of ['lose', 'refuse'] as const) {
    const claim = await trap.caught(fail === 'lose' ? 1 : 2)
    // The request has no time left for another attempt.
    runtime.stall(REQUEST_MS)
    claim[fail]()
    await turns()
    t.is(await stateOf(waiting), 'pending')
    // A busy machine may have come so far by itself.
    runtime.fire(AGAIN_MS)
  }
  const claim = await trap.caught(3)
  trap.off()
  await claim.deliver()
  t.true((await waiting).held)
})

test('the head asks how many permits there are after a claim that failed in passing, whatever others were told late', async t => {
  const runtime = testRuntime()
  const { net, session } = await sessionPlayer(t, server(), { ttl: 60 }, { runtime })
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await other.session.semaphore(name, { permits: 1 }).acquire()
  const semaphore = session.semaphore(name, { permits: 2 })
  const answers = net.stopAnswers(methods.txn, takes(name))
  const behind = semaphore.acquire()
  const late = await answers.caught()
  answers.off()
  const waiting = semaphore.acquire()
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const trap = net.stopRequests(methods.txn, takes(name))
  await other.session.semaphore(name, { permits: 1 }).resize(2)
  const claim = await trap.caught(1)
  // It tells of one permit, as there was before.
  await late.deliver()
  const repeat = await trap.caught(2)
  trap.off()
  runtime.stall(REQUEST_MS)
  claim.lose()
  await turns()
  // A busy machine may have come so far by itself.
  runtime.fire(AGAIN_MS)
  t.is((await waiting).slot, 1)
  await repeat.deliver()
  await gate.release()
  t.is((await behind).slot, 0)
})

test('the head waits on, although the number of permits somebody deleted cannot be written for a while', async t => {
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), { ttl: 60 }, { runtime })
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const gate = await other.session.semaphore(name, { permits: 1 }).acquire()
  const waiting = session.semaphore(name, { permits: 1 }).acquire()
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const trap = net.stopRequests(methods.txn, creates(`${name}/limit`))
  await other.etcd.delete(`${name}/limit`)
  const write = await trap.caught()
  runtime.stall(REQUEST_MS)
  write.lose()
  await turns()
  trap.off()
  t.is(await stateOf(waiting), 'pending')
  runtime.fire(AGAIN_MS)
  await quiet(net)
  await gate.release()
  t.is((await waiting).slot, 0)
  t.is(await etcd.semaphore(name).permits(), 1)
})

test('the head hears of every release, also of several in one message', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const theirs = other.session.semaphore(name, { permits: 2 })
  const held = [await theirs.acquire(), await theirs.acquire()]
  const waiting = session.semaphore(name, { permits: 2 }).acquire({ count: 2 })
  await net.watching(watchOfSlots(name))
  await quiet(net)
  const deaf = net.stopWatches(watchOfSlots(name))
  for (const one of held) await one.release()
  const stopped = await deaf.caught()
  while (stopped.kept.flatMap(({ events }) => events).length < 2) await turns(1)
  // All of it in one turn of the event loop.
  deaf.release()
  t.deepEqual((await waiting).slots, [0, 1])
})

test('what is said of a semaphore is what there is', async t => {
  const { etcd, session } = await sessionPlayer(t, server(), { owner: 'printer' })
  const quietOne = await sessionPlayer(t, server(), { metadata: 'none' })
  const name = nameOf(t)
  const view = etcd.semaphore(name)
  t.is(await view.permits(), undefined)
  t.is(await view.available(), undefined)
  t.deepEqual(await view.holders(), [])
  const mine = await session.semaphore(name, { permits: 3 }).acquire()
  const theirs = await quietOne.session.semaphore(name, { permits: 3 }).acquire({ count: 2 })
  const leaving = new AbortController()
  const waiting = t.throwsAsync(
    session.semaphore(name, { permits: 3 }).acquire({ count: 2, signal: leaving.signal }),
  )
  await waiters(etcd, name, 1)
  t.is(await view.permits(), 3)
  t.is(await view.available(), 0)
  const holders = await view.holders()
  t.deepEqual(
    holders.map(({ slot, owner, leaseId, createRevision }) => ({ slot, owner, leaseId, createRevision })),
    [
      { slot: 0, owner: 'printer', leaseId: session.leaseId, createRevision: mine.fencingToken },
      ...[1, 2].map(slot => ({
        slot,
        owner: undefined,
        leaseId: quietOne.session.leaseId,
        createRevision: theirs.fencingToken,
      })),
    ],
  )
  const [waiter] = await view.waiters()
  t.like(waiter, { owner: 'printer', count: 2, foreign: false, leaseId: session.leaseId })
  leaving.abort(new Error('leaves'))
  await waiting
})

test('a try has the time of one request for all it has to find out', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server(), {}, { requestTimeoutMs: 500 })
  const name = nameOf(t)
  const resumed = await etcd.session({ resume: await session.orphan() })
  // What was left with the lease is looked for until it is known.
  const trap = net.stopRequests(methods.range)
  const trying = resumed.semaphore(name, { permits: 1 }).tryAcquire()
  await t.throwsAsync(trying, { code: 'TIMEOUT' } as object)
  trap.off()
  await resumed.close()
  t.deepEqual(await keysOf((await sessionPlayer(t, server())).etcd, name), [])
})

test('run releases whatever comes of its body, and tells of a loss', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 2 })
  t.is(await semaphore.run(permit => permit.slot + 1), 1)
  await t.throwsAsync(
    semaphore.run(() => {
      throw new Error('broken')
    }),
    { message: 'broken' },
  )
  t.is(await etcd.semaphore(name).available(), 2)
})

test('permits that were run with or disposed of are known to be free again', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const semaphore = session.semaphore(nameOf(t), { permits: 4 })
  const slots = await semaphore.run(permit => permit.slots, { count: 2 })
  t.deepEqual(slots, [0, 1])
  const permit = await semaphore.acquire({ count: 2 })
  t.deepEqual(permit.slots, [0, 1])
  await permit[Symbol.asyncDispose]()
  await other.session.semaphore(permit.name, { permits: 4 }).acquire()
  const last = await other.session.semaphore(permit.name, { permits: 4 }).acquire()
  await other.session.semaphore(permit.name, { permits: 4 }).acquire()
  await last.release()
  const before = net.count(methods.txn)
  t.is((await semaphore.acquire()).slot, 1)
  t.is(net.count(methods.txn), before + 1)
})

test('where there are more permits than are tried at once, all of them can be had', async t => {
  const { session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 40 })
  const many = await semaphore.acquire({ count: 38 })
  t.is(many.slots.at(-1), 37)
  // This one has never looked: sixteen are taken, the line is empty.
  const theirs = await other.session.semaphore(name, { permits: 40 }).acquire()
  t.is(theirs.slot, 38)
  const stranger = await sessionPlayer(t, server())
  t.is((await stranger.session.semaphore(name, { permits: 40 }).tryAcquire())?.slot, 39)
})

async function waiters(
  etcd: Awaited<ReturnType<typeof player>>['etcd'],
  name: string,
  count: number,
): Promise<void> {
  await until(etcd, name, keys => keys.filter(key => key.startsWith(`${name}/w/`)).length === count)
}

async function gone(etcd: Awaited<ReturnType<typeof player>>['etcd'], name: string): Promise<void> {
  await until(etcd, name, keys => keys.every(key => key === `${name}/limit`))
}

async function available(
  etcd: Awaited<ReturnType<typeof player>>['etcd'],
  name: string,
  count: number,
): Promise<void> {
  const permits = (await etcd.semaphore(name).permits())!
  await until(etcd, name, keys => keys.filter(key => key.startsWith(`${name}/s/`)).length === permits - count)
}

async function until(
  etcd: Awaited<ReturnType<typeof player>>['etcd'],
  name: string,
  satisfied: (keys: readonly string[]) => boolean,
): Promise<void> {
  while (!satisfied(await keysOf(etcd, name))) await turns(1)
}

/** A transaction, or a reading of the slots: not one of a place that takes long, to see whether it is still there. */
function isAbout(name: string): (sent: SentCall) => boolean {
  return ({ path, request }) =>
    path === methods.txn.path ||
    (path === methods.range.path && mapKey((request as RangeRequest).key) === `${name}/limit`)
}

/** The keys of all deletions this client is told of from now on. */
function deletionsTold(net: MeddlingTransport): readonly string[] {
  const told: string[] = []
  net.dropEvents(({ type, kv }) => {
    if (type === 1 && kv !== undefined) told.push(mapKey(kv.key))
    return false
  })
  return told
}

/** Is this the watch of the head of the line: the limit and the slots? */
function watchOfSlots(name: string): (watch: WatchCreateRequest) => boolean {
  return ({ key, rangeEnd }) => mapKey(key) === `${name}/limit` && rangeEnd.length > 0
}

function watchOfLine(name: string): (watch: WatchCreateRequest) => boolean {
  return ({ key }) => mapKey(key) === `${name}/w/`
}

/** Is this the watch for slots that unanswered claims may yet take? */
function watchOfTaking(name: string): (watch: WatchCreateRequest) => boolean {
  return ({ key }) => mapKey(key) === `${name}/s/`
}

/** Does this read which slots are taken? */
function readsSlots(name: string): (range: RangeRequest) => boolean {
  return ({ key }) => mapKey(key) === `${name}/s/`
}

/** Denies whatever is caught. What it returns resolves when the n-th has been denied. */
function denyAll(trap: Trap<StoppedCall<unknown, unknown>>): (n: number) => Promise<void> {
  const deny = async (n: number) => (await trap.caught(n)).deny()
  const next = async (n: number): Promise<void> => {
    await deny(n)
    return next(n + 1)
  }
  void next(1)
  return deny
}

/** Is this a transaction that takes slots if it can? */
function takes(name: string): (txn: TxnRequest) => boolean {
  const inOp = ({ request }: RequestOp): boolean =>
    request?.kind === 'put'
      ? mapKey(request.value.key).startsWith(`${name}/s/`)
      : request?.kind === 'txn' && takes(name)(request.value)
  return ({ success, failure }) => [...success, ...failure].some(inOp)
}

function nameOf(t: ExecutionContext<unknown>): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}permits`
  return context.name
}

test('permits left with a lease are given to whoever resumes it and asks for as many', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const elsewhere = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 6 })
  const one = await semaphore.acquire()
  const two = await semaphore.acquire({ count: 2 })
  const other = await semaphore.acquire()
  const resumed = await elsewhere.etcd.session({ resume: await session.orphan() })
  t.deepEqual([one.held, two.held, other.held], [false, false, false])
  const again = resumed.semaphore(name, { permits: 6 })
  const granted = [
    await again.acquire(),
    await again.tryAcquire(),
    ...(await Promise.all([again.acquire({ count: 2 }), again.acquire({ count: 2 })])),
  ] as const
  t.deepEqual(
    granted.map(permit => [permit?.fencingToken, permit?.slots]).slice(0, 3),
    [one, other, two].map(({ fencingToken, slots }) => [fencingToken, slots]),
  )
  t.true(granted[3].fencingToken > other.fencingToken, 'nothing is given twice')
  t.is(await again.tryAcquire(), undefined)
  t.is((await etcd.semaphore(name).holders()).length, 6)
  t.true((await etcd.txn({ if: [granted[2].guard()], then: [] })).succeeded)
  for (const permit of granted) await permit!.release()
  t.is((await etcd.semaphore(name).holders()).length, 0)
  const later = await again.acquire({ count: 2 })
  t.true(later.fencingToken > granted[3].fencingToken)
})

test('of permits left with a lease that are lost in part the rest goes, too', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const held = await session.semaphore(name, { permits: 3 }).acquire({ count: 3 })
  const lease = await session.orphan()
  await etcd.delete(held.keys[1]!)
  const resumed = await etcd.session({ resume: lease })
  const again = await resumed.semaphore(name, { permits: 3 }).acquire({ count: 3 })
  t.true(again.fencingToken > held.fencingToken)
  t.deepEqual(again.slots, [0, 1, 2])
  await resumed.close()
})

test('a permit that was left with a lease and is somebody else’s by now is given to nobody', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const elsewhere = await sessionPlayer(t, server())
  const name = nameOf(t)
  const semaphore = session.semaphore(name, { permits: 3 })
  const left = [await semaphore.acquire(), await semaphore.acquire(), await semaphore.acquire()]
  const resumed = await elsewhere.etcd.session({ resume: await session.orphan() })
  const again = resumed.semaphore(name, { permits: 3 })
  const first = await again.acquire()
  t.is(first.fencingToken, left[0]!.fencingToken)
  // Somebody did not want to wait for the lease to end.
  await etcd.delete(left[1]!.key)
  const theirs = await elsewhere.session.semaphore(name, { permits: 3 }).acquire()
  t.is(theirs.slot, left[1]!.slot)
  const second = await again.acquire()
  t.is(second.fencingToken, left[2]!.fencingToken, 'the next that was left')
  t.is(await again.tryAcquire(), undefined)
  t.true((await etcd.txn({ if: [second.guard(), theirs.guard()], then: [] })).succeeded)
})

test('whoever gives up while it is seen whether a permit is still there leaves it to the next', async t => {
  const { session } = await sessionPlayer(t, server())
  const { etcd, net } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const left = await session.semaphore(name, { permits: 2 }).acquire()
  const resumed = await etcd.session({ resume: await session.orphan() })
  const again = resumed.semaphore(name, { permits: 2 })
  const trap = net.stopAnswers(methods.range)
  const leaving = new AbortController()
  const acquiring = t.throwsAsync(again.acquire({ signal: leaving.signal }), { message: 'leaves' })
  // Places that were left in the line, then slots.
  for (const reading of [1, 2]) await (await trap.caught(reading)).deliver()
  const looking = await trap.caught(3)
  trap.off()
  leaving.abort(new Error('leaves'))
  await acquiring
  await looking.deliver()
  await quiet(net)
  t.is((await again.acquire()).fencingToken, left.fencingToken)
})

test('a permit that was left with a lease and may not be looked for is given to the next', async t => {
  for (const reading of [1, 2]) {
    const { session } = await sessionPlayer(t, server())
    const { etcd, net } = await sessionPlayer(t, server())
    const name = `${nameOf(t)}-${reading}`
    const left = await session.semaphore(name, { permits: 1 }).acquire()
    const resumed = await etcd.session({ resume: await session.orphan() })
    const again = resumed.semaphore(name, { permits: 1 })
    const reads = net.stopAnswers(methods.range, readsSlots(name))
    const trying = t.throwsAsync(again.tryAcquire(), { code: 'PERMISSION_DENIED' } as object)
    // What was left, then whether it is still there.
    if (reading === 2) await (await reads.caught(1)).deliver()
    ;(await reads.caught(reading)).deny()
    reads.off()
    await trying
    t.is((await again.tryAcquire())?.fencingToken, left.fencingToken)
  }
})

test('permits left with a lease stay taken until somebody asks for them, and what a crash left in the line is used up', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const { net, session: crashing } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const held = await session.semaphore(name, { permits: 2 }).acquire()
  const left = await crashing.semaphore(name, { permits: 2 }).acquire()
  void crashing
    .semaphore(name, { permits: 2 })
    .acquire({ count: 2 })
    .catch(() => {})
  await line(etcd, `${name}/w`, 1)
  net.vanish()
  const { etcd: other } = await sessionPlayer(t, server())
  const resumed = await other.session({ resume: crashing.leaseId })
  const both = resumed.semaphore(name, { permits: 2 }).acquire({ count: 2 })
  await quiet(net)
  t.is((await etcd.semaphore(name).waiters()).length, 1, 'the place that was there')
  await held.release()
  const again = await resumed.semaphore(name, { permits: 2 }).acquire()
  t.is(again.fencingToken, left.fencingToken)
  await again.release()
  t.deepEqual((await both).slots, [0, 1])
  t.is((await etcd.semaphore(name).waiters()).length, 0)
})

test('a place that a crash left in the line goes with whoever is given a permit that was left', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const { net, session: crashing } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const left = await crashing.semaphore(name, { permits: 1 }).acquire()
  void crashing
    .semaphore(name, { permits: 1 })
    .acquire()
    .catch(() => {})
  await line(etcd, `${name}/w`, 1)
  net.vanish()
  const { etcd: other } = await sessionPlayer(t, server())
  const resumed = await other.session({ resume: crashing.leaseId })
  const again = await resumed.semaphore(name, { permits: 1 }).acquire()
  t.is(again.fencingToken, left.fencingToken)
  await again.release()
  t.is((await session.semaphore(name, { permits: 1 }).acquire()).slot, 0)
})
