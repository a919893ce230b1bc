import test, { type ExecutionContext } from 'ava'
import { DoubleBarrier, type DoubleBarrierOptions } from '../../../recipes/double-barrier.ts'
import { EtcdError, prefix } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  quiet,
  type SessionPlayer,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
  watchOfKey,
} from '../../traits/arena.ts'

const server = useEtcd(test)

const TTL = 15
const LINGER_MS = 5000

test('all enter together and leave together, time after time', async t => {
  const { name, players } = await arrange(t, 3)
  for (let generation = 0; generation < 3; generation++) {
    const entering = players.slice(0, 2).map(one => barrierOf(one, name, 3).enter())
    for (const one of players.slice(0, 2)) await one.net.watching(watchOfKey(`${name}/state`), generation + 1)
    await turns()
    t.is(await stateOf(entering[0]!), 'pending')
    entering.push(barrierOf(players[2]!, name, 3).enter())
    const entries = await Promise.all(entering)
    t.deepEqual(
      entries.map(entry => entry.generation),
      [generation, generation, generation],
    )
    const leaving = entries.slice(1).map(entry => entry.leave())
    await turns()
    t.is(await stateOf(leaving[0]!), 'pending')
    await entries[0]!.leave()
    await Promise.all(leaving)
    for (const one of players.slice(0, 2)) await quiet(one.net)
    if (generation === 0) continue
  }
})

test('leave of the barrier leaves what its latest enter made, and is quiet without one and twice', async t => {
  const { name, players } = await arrange(t, 2)
  const barriers = players.map(one => barrierOf(one, name, 2))
  await barriers[0]!.leave()
  await Promise.all(barriers.map(barrier => barrier.enter()))
  await Promise.all(barriers.map(barrier => barrier.leave()))
  const before = players[0]!.net.sent.length
  await barriers[0]!.leave()
  t.is(players[0]!.net.sent.length, before)
  t.deepEqual(await membersOf(players[0]!, name), [])
})

test('whoever comes when all are inside is told so', async t => {
  const { name, players } = await arrange(t, 3)
  const entries = await Promise.all(players.slice(0, 2).map(one => barrierOf(one, name, 2).enter()))
  const error = await t.throwsAsync(barrierOf(players[2]!, name, 2).enter())
  t.true(EtcdError.is(error, 'TOO_MANY_PARTICIPANTS'))
  t.is((await membersOf(players[0]!, name)).length, 2)
  await Promise.all(entries.map(entry => entry.leave()))
  await Promise.all([barrierOf(players[2]!, name, 2).enter(), barrierOf(players[0]!, name, 2).enter()])
})

for (const onLoss of ['break', 'wait'] as const) {
  test(`one too many of those who come at once is told so, with onLoss ${onLoss}`, async t => {
    const { name, players } = await arrange(t, 2)
    const results = await Promise.allSettled(
      [...players, ...players].map(one => barrierOf(one, name, 3, { onLoss }).enter()),
    )
    const refused = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []))
    t.is(refused.length, 1)
    t.true(EtcdError.is(refused[0], 'TOO_MANY_PARTICIPANTS'))
    await Promise.all(
      results.map(async result => (result.status === 'fulfilled' ? result.value.leave() : undefined)),
    )
    t.deepEqual(await membersOf(players[0]!, name), [])
  })
}

test('one that is lost before all have come ends the wait of all, and they may enter again', async t => {
  const { name, players } = await arrange(t, 3)
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  const lost = t.throwsAsync(barrierOf(a, name, 3).enter())
  await waits(a, name, 0)
  const other = t.throwsAsync(barrierOf(b, name, 3).enter())
  await waits(b, name, 0)
  await c.etcd.lease.revoke(a.session.leaseId)
  t.true(EtcdError.is(await other, 'BARRIER_BROKEN'))
  await lost
  const entries = await Promise.all([b, b, c].map(one => barrierOf(one, name, 3).enter()))
  t.deepEqual(
    entries.map(({ generation }) => generation),
    [1, 1, 1],
  )
})

test('one that is lost makes room for another where they wait for it', async t => {
  const { name, players } = await arrange(t, 3)
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  const lost = t.throwsAsync(barrierOf(a, name, 3, { onLoss: 'wait' }).enter())
  await come(a, name, 0, 1)
  const other = barrierOf(b, name, 3, { onLoss: 'wait' }).enter()
  await come(a, name, 0, 2)
  await c.etcd.lease.revoke(a.session.leaseId)
  await come(c, name, 0, 1, 'exactly')
  await lost
  const third = barrierOf(c, name, 3, { onLoss: 'wait' }).enter()
  await come(c, name, 0, 2)
  await turns()
  t.deepEqual([await stateOf(other), await stateOf(third)], ['pending', 'pending'])
  const fourth = barrierOf(c, name, 3, { onLoss: 'wait' }).enter()
  await Promise.all([other, third, fourth])
})

test('who gives up is not counted, however late its request is applied', async t => {
  const { name, players } = await arrange(t, 2)
  const [a, b] = players as [SessionPlayer, SessionPlayer]
  const options = { onLoss: 'wait' } as const
  const waiting = barrierOf(b, name, 2, options).enter()
  await come(b, name, 0, 1)
  const trap = a.net.stopRequests(methods.txn)
  const leaving = new AbortController()
  const gone = t.throwsAsync(barrierOf(a, name, 2, options).enter({ signal: leaving.signal }), {
    message: 'enough',
  })
  const late = await trap.caught()
  trap.off()
  leaving.abort(new Error('enough'))
  await gone
  await quiet(a.net)
  await late.apply()
  t.is((await membersOf(b, name)).length, 1)
  t.is(await stateOf(waiting), 'pending')
  await barrierOf(a, name, 2, options).enter()
  await waiting
})

test('who gives up after its repeat was counted does not come back when the first attempt is applied late', async t => {
  const { name, players } = await arrange(t, 2)
  const [a, b] = players as [SessionPlayer, SessionPlayer]
  const options = { onLoss: 'wait' } as const
  const trap = a.net.stopRequests(methods.txn)
  const leaving = new AbortController()
  const gone = t.throwsAsync(barrierOf(a, name, 2, options).enter({ signal: leaving.signal }), {
    message: 'enough',
  })
  const late = await trap.caught()
  trap.off()
  late.lose()
  await come(b, name, 0, 1)
  await quiet(a.net)
  leaving.abort(new Error('enough'))
  await gone
  await come(b, name, 0, 0, 'exactly')
  await late.apply()
  t.deepEqual(await membersOf(b, name), [], 'nobody would ever leave for it')
  const waiting = barrierOf(b, name, 2, options).enter()
  await come(b, name, 0, 1)
  await quiet(b.net)
  t.is(await stateOf(waiting), 'pending')
  await barrierOf(a, name, 2, options).enter()
  await waiting
})

test('somebody whose place was deleted by others is told so, and the others still wait', async t => {
  const { name, players } = await arrange(t, 2)
  const [a, b] = players as [SessionPlayer, SessionPlayer]
  const options = { onLoss: 'wait' } as const
  const waiting = t.throwsAsync(barrierOf(a, name, 2, options).enter())
  await come(b, name, 0, 1)
  const [place] = await membersOf(b, name)
  await b.etcd.delete(place!)
  t.true(EtcdError.is(await waiting, 'BARRIER_BROKEN'))
  t.deepEqual(await membersOf(b, name), [])
})

test('one that came last and was lost before it opened leaves nobody waiting for ever', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 3)
  const waiting = players.slice(0, 2).map(one => t.throwsAsync(barrierOf(one, name, 3).enter()))
  for (const one of players.slice(0, 2)) await waits(one, name, 0)
  const last = players[2]!
  const trap = last.net.stopRequests(methods.txn, advances(name))
  const lost = t.throwsAsync(barrierOf(last, name, 3).enter())
  await trap.caught()
  await players[0]!.etcd.lease.revoke(last.session.leaseId)
  for (const broken of await Promise.all(waiting)) t.true(EtcdError.is(broken, 'BARRIER_BROKEN'))
  trap.off()
  ;(await trap.caught()).refuse()
  await lost
})

test('one that is lost inside counts as having left', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 4)
  const entries = await Promise.all(players.slice(0, 3).map(one => barrierOf(one, name, 3).enter()))
  const leaving = entries.slice(0, 2).map(entry => entry.leave())
  await come(players[3]!, name, 0, 1, 'exactly')
  for (const one of players.slice(0, 2)) await quiet(one.net)
  t.is(await stateOf(leaving[0]!), 'pending')
  await players[3]!.etcd.lease.revoke(players[2]!.session.leaseId)
  await Promise.all(leaving)
  t.deepEqual(await membersOf(players[3]!, name), [])
})

test('one that left last and was lost before it closed leaves nobody waiting for ever', async t => {
  const { name, players } = await arrange(t, 2)
  const [a, b] = players as [SessionPlayer, SessionPlayer]
  const entries = await Promise.all(players.map(one => barrierOf(one, name, 2).enter()))
  const leaving = entries[0]!.leave()
  await come(b, name, 0, 1, 'exactly')
  const trap = b.net.stopRequests(methods.txn, advances(name))
  const other = entries[1]!.leave()
  await leaving
  t.is((await stateOf(leaving)) === 'fulfilled', true)
  trap.off()
  if (trap.count > 0) (await trap.caught()).refuse()
  await other
  t.deepEqual(await membersOf(a, name), [])
})

test('a barrier all of whose participants crashed inside is closed by the next who come', async t => {
  const { name, players } = await arrange(t, 3)
  await Promise.all(players.slice(0, 2).map(one => barrierOf(one, name, 2).enter()))
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  for (const one of [a, b]) one.net.vanish()
  for (const one of [a, b]) await c.etcd.lease.revoke(one.session.leaseId)
  const entries = await Promise.all([c, c].map(one => barrierOf(one, name, 2).enter()))
  t.deepEqual(
    entries.map(({ generation }) => generation),
    [1, 1],
  )
  await Promise.all(entries.map(entry => entry.leave()))
})

for (const at of ['request', 'answer'] as const) {
  test(`an entry whose ${at} was lost is counted once`, async t => {
    const { name, players } = await arrange(t, 2)
    const [here, there] = players as [SessionPlayer, SessionPlayer]
    const trap = at === 'request' ? here.net.stopRequests(methods.txn) : here.net.stopAnswers(methods.txn)
    const waiting = barrierOf(here, name, 2).enter()
    const lost = await trap.caught()
    trap.off()
    lost.lose()
    await waits(here, name, 0)
    await lost.apply()
    await turns()
    t.is(await stateOf(waiting), 'pending')
    const entries = await Promise.all([waiting, barrierOf(there, name, 2).enter()])
    await Promise.all(entries.map(entry => entry.leave()))
    t.deepEqual(await membersOf(there, name), [])
  })
}

test('waits do not end because their watches were lost, and survive a compaction', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const waiting = barrierOf(here, name, 2).enter()
  await waits(here, name, 0)
  const { revision } = await there.etcd.put(`${name}-other`, '')
  await there.etcd.compact(revision)
  here.net.cutStreams(methods.watch)
  await here.net.watching(watchOfKey(`${name}/state`), 2)
  await quiet(here.net)
  t.is(await stateOf(waiting), 'pending')
  const other = await barrierOf(there, name, 2).enter()
  const leaving = (await waiting).leave()
  await here.net.watching(watchOfKey(`${name}/state`), 3)
  here.net.cutStreams(methods.watch)
  await here.net.watching(watchOfKey(`${name}/state`), 4)
  await quiet(here.net)
  t.is(await stateOf(leaving), 'pending')
  await other.leave()
  await leaving
})

test('what the server forgot to tell is found by reading again', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const waiting = barrierOf(here, name, 2).enter()
  await waits(here, name, 0)
  const forgotten = here.net.dropEvents(() => true)
  const other = await barrierOf(players[0]!, name, 2).enter()
  await forgotten.caught()
  t.is(await stateOf(waiting), 'pending')
  t.is(runtime.fire(2 * TTL * 1000), 2)
  const leaving = (await waiting).leave()
  await here.net.watching(watchOfKey(`${name}/state`), 2)
  await quiet(here.net)
  await other.leave()
  t.is(await stateOf(leaving), 'pending')
  runtime.fire(2 * TTL * 1000)
  await leaving
})

test('the loss of the session rejects whoever waits to enter or to leave', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const entries = await Promise.all([here, players[0]!].map(one => barrierOf(one, name, 2).enter()))
  const leaving = t.throwsAsync(entries[0]!.leave())
  const waiting = t.throwsAsync(barrierOf(here, `${name}-2`, 2).enter())
  await waits(here, `${name}-2`, 0)
  runtime.stall(TTL * 1000)
  t.is(here.session.state, 'lost')
  t.true(EtcdError.is(await waiting, 'SESSION_LOST'))
  t.true(EtcdError.is(await leaving, 'SESSION_LOST'))
  await entries[1]!.leave()
})

test('whoever leaves hears of the loss of its session while its request is on its way', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), { ttl: 5 }, { runtime })
  const entries = await Promise.all([here, players[0]!].map(one => barrierOf(one, name, 2).enter()))
  const stopped = here.net.stopAnswers(methods.txn)
  const leaving = t.throwsAsync(entries[0]!.leave())
  const call = await stopped.caught(1)
  // The request has time left.
  runtime.stall(5000)
  t.is(here.session.state, 'lost')
  t.is(await stateOf(leaving), 'fulfilled')
  t.true(EtcdError.is(await leaving, 'SESSION_LOST'))
  call.lose()
  await entries[1]!.leave()
})

test('whoever enters is heard at once while nobody says whether its session outlived the sleep of its machine', async t => {
  const runtime = testRuntime()
  const { name } = await arrange(t, 0)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const opened = here.net.stopAnswers(methods.txn, advances(name))
  const leaving = new AbortController()
  const entering = t.throwsAsync(barrierOf(here, name, 1).enter({ signal: leaving.signal }), {
    message: 'enough',
  })
  const answer = await opened.caught()
  opened.off()
  const renewals = here.net.stopMessages(methods.leaseKeepAlive)
  runtime.sleep(60_000)
  await answer.deliver()
  const renewal = await renewals.caught()
  await quiet(here.net)
  t.is(here.session.state, 'suspended')
  leaving.abort(new Error('enough'))
  await turns()
  t.is(await stateOf(entering), 'fulfilled')
  renewals.off()
  renewal()
  t.is((await barrierOf(here, name, 1).enter()).generation, 1)
})

test('whoever was refused to leave may try again when that is mended', async t => {
  const { name, players } = await arrange(t, 2)
  const entries = await Promise.all(players.map(one => barrierOf(one, name, 2).enter()))
  const { etcd } = players[0]!
  const state = (await etcd.get(`${name}/state`))!.value
  await etcd.put(`${name}/state`, 'nonsense')
  await t.throwsAsync(entries[0]!.leave(), { code: 'PROTOCOL' })
  await etcd.put(`${name}/state`, state)
  await Promise.all(entries.map(entry => entry.leave()))
  t.deepEqual(await membersOf(players[0]!, name), [])
})

test('a closed session rejects and sends nothing, and leaving after it is told', async t => {
  const { name, players } = await arrange(t, 2)
  const [a, b] = players as [SessionPlayer, SessionPlayer]
  const entries = await Promise.all(players.map(one => barrierOf(one, name, 2).enter()))
  await a.session.close()
  const before = a.net.sent.length
  t.true(EtcdError.is(await t.throwsAsync(barrierOf(a, name, 2).enter()), 'SESSION_CLOSED'))
  t.true(EtcdError.is(await t.throwsAsync(entries[0]!.leave()), 'SESSION_CLOSED'))
  await entries[0]![Symbol.asyncDispose]()
  t.is(a.net.sent.length, before)
  await entries[1]!.leave()
  t.deepEqual(await membersOf(b, name), [])
})

test('an aborted wait leaves nothing, neither key nor watch nor timer', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const leaving = new AbortController()
  const waiting = t.throwsAsync(barrierOf(here, name, 2).enter({ signal: leaving.signal }), {
    message: 'enough',
  })
  await waits(here, name, 0)
  leaving.abort(new Error('enough'))
  await waiting
  await come(players[0]!, name, 0, 0, 'exactly')
  await quiet(here.net)
  t.is(runtime.fire(2 * TTL * 1000), 0)
  runtime.fire(LINGER_MS)
  await turns()
  t.deepEqual(here.net.watches, [])
})

test('who gives up waiting to leave has left', async t => {
  const { name, players } = await arrange(t, 2)
  const entries = await Promise.all(players.map(one => barrierOf(one, name, 2).enter()))
  const giving = new AbortController()
  const leaving = t.throwsAsync(entries[0]!.leave({ signal: giving.signal }), { message: 'enough' })
  await come(players[1]!, name, 0, 1, 'exactly')
  giving.abort(new Error('enough'))
  await leaving
  await entries[1]!.leave()
  await entries[0]!.leave()
})

test('who will not wait at all to leave has left', async t => {
  const { name, players } = await arrange(t, 2)
  const entries = await Promise.all(players.map(one => barrierOf(one, name, 2).enter()))
  const leaving = entries[0]!.leave({ signal: AbortSignal.abort(new Error('no time')) })
  await t.throwsAsync(leaving, { message: 'no time' })
  await entries[1]!.leave()
  await entries[0]!.leave()
})

test('round trips: 2 for the last to enter, 3 for the others; the opening is one message for each', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const waiting = Array.from({ length: 10 }, () => barrierOf(here, name, 11).enter())
  await here.net.watching(watchOfKey(`${name}/state`), 10)
  await here.net.watching(watch => mapKey(watch.key) === `${name}/0/m/`, 10)
  await quiet(here.net)
  t.is(here.net.count(methods.txn), 10)
  // A busy server may answer from before what it has told already, and is asked again.
  const reads = here.net.count(methods.range)
  t.true(reads >= 20 && reads <= 22, `${reads} reads for ten who wait`)
  t.is(here.net.deliveries, 0, 'those who come send no news')
  const beforeLast = there.net.sent.length
  const last = await barrierOf(there, name, 11).enter()
  t.is(there.net.sent.length - beforeLast, 2)
  const entries = await Promise.all(waiting)
  await quiet(here.net)
  t.is(here.net.count(methods.txn) + here.net.count(methods.range), 10 + reads)
  t.true(here.net.deliveries <= 10)
  const [deliveries, beforeLeaving] = [here.net.deliveries, here.net.sent.length]
  const leaving = entries.map(entry => entry.leave())
  await come(there, name, 0, 1, 'exactly')
  await quiet(here.net)
  await last.leave()
  await Promise.all(leaving)
  await quiet(here.net)
  t.true(
    here.net.deliveries - deliveries <= 50,
    `${here.net.deliveries - deliveries} messages for ten to leave`,
  )
  t.true(here.net.sent.length - beforeLeaving <= 100)
})

test('who has waited for a place that was deleted does not enter beside who took it', async t => {
  const { name, players } = await arrange(t, 3)
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  const options = { onLoss: 'wait' } as const
  const first = t.throwsAsync(barrierOf(a, name, 2, options).enter())
  await come(c, name, 0, 1)
  await quiet(a.net)
  const deaf = a.net.stopWatches(() => true)
  const [place] = await membersOf(c, name)
  await c.etcd.delete(place!)
  const entries = await Promise.all([b, c].map(one => barrierOf(one, name, 2, options).enter()))
  deaf.release()
  t.true(EtcdError.is(await first, 'BARRIER_BROKEN'))
  await Promise.all(entries.map(entry => entry.leave()))
})

test('one too many whose answer was lost is told so, although the barrier is open by then', async t => {
  const { name, players } = await arrange(t, 3)
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  const options = { onLoss: 'wait' } as const
  const first = barrierOf(a, name, 2, options).enter()
  await come(c, name, 0, 1)
  const opening = b.net.stopRequests(methods.txn, advances(name))
  const second = barrierOf(b, name, 2, options).enter()
  const open = await opening.caught()
  opening.off()
  const trap = c.net.stopAnswers(methods.txn)
  const third = t.throwsAsync(barrierOf(c, name, 2, options).enter())
  const lost = await trap.caught()
  trap.off()
  await open.deliver()
  const entries = await Promise.all([first, second])
  const leaving = entries.map(entry => entry.leave())
  lost.lose()
  const refused = await third
  // Another test may have compacted the past in which it would be seen.
  const isUnknown = EtcdError.is(refused, 'BARRIER_BROKEN') && refused.outcome === 'unknown'
  t.true(isUnknown || EtcdError.is(refused, 'TOO_MANY_PARTICIPANTS'), refused?.message)
  await Promise.all(leaving)
  t.deepEqual(await membersOf(c, name), [])
})

test('what cannot be meant is refused before any request', async t => {
  const { name, players } = await arrange(t, 1)
  const [{ net, session }] = players as [SessionPlayer]
  const before = net.sent.length
  t.throws(() => new DoubleBarrier(session, '', 2), { instanceOf: RangeError })
  t.throws(() => new DoubleBarrier(session, name, 0), { instanceOf: RangeError })
  t.throws(() => new DoubleBarrier(session, name, '2' as never), { instanceOf: TypeError })
  t.throws(() => new DoubleBarrier(session, name, 2, { onLoss: 'retry' as never }), { instanceOf: TypeError })
  const barrier = new DoubleBarrier(session, name, 2)
  await t.throwsAsync(barrier.enter({ timeoutMs: 1 } as never), { instanceOf: TypeError })
  await t.throwsAsync(barrier.leave({ signal: 1 } as never), { instanceOf: TypeError })
  t.is(net.sent.length, before)
})

async function arrange(
  t: ExecutionContext<unknown>,
  count: number,
): Promise<{ name: string; players: readonly SessionPlayer[] }> {
  const players = await Promise.all(Array.from({ length: count }, () => sessionPlayer(t, server())))
  return { name: `${uniquePrefix(t)}barrier`, players }
}

function barrierOf(
  { session }: SessionPlayer,
  name: string,
  count: number,
  options: DoubleBarrierOptions = {},
): DoubleBarrier {
  return new DoubleBarrier(session, name, count, options)
}

/** Resolves when so many are there in this round. */
async function come(
  { etcd }: SessionPlayer,
  name: string,
  generation: number,
  count: number,
  how: 'at least' | 'exactly' = 'at least',
): Promise<void> {
  const members = prefix(`${name}/${generation}/m/`)
  const watch = etcd.watch(members)
  const events = watch[Symbol.asyncIterator]()
  await watch.ready
  for (;;) {
    const found = (await etcd.range(members)).count
    if (how === 'exactly' ? found === count : found >= count) break
    await events.next()
  }
  await watch.close()
}

async function membersOf({ etcd }: SessionPlayer, name: string): Promise<string[]> {
  const { kvs } = await etcd.range(prefix(`${name}/`))
  return kvs.map(kv => kv.name()).filter(key => key.includes('/m/'))
}

/** Resolves when somebody of this client waits in this round by events alone. */
async function waits({ net }: SessionPlayer, name: string, generation: number): Promise<void> {
  await net.watching(watch => mapKey(watch.key) === `${name}/${generation}/m/`)
  await net.watching(watchOfKey(`${name}/state`))
  await quiet(net)
}

/** Is this the transaction that changes the round? */
function advances(name: string): (txn: TxnRequest) => boolean {
  return ({ success }) =>
    success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === `${name}/state`)
}
