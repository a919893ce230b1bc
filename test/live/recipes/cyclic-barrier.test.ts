import test, { type ExecutionContext } from 'ava'
import { type Arrival, CyclicBarrier, type CyclicBarrierOptions } from '../../../recipes/cyclic-barrier.ts'
import { EtcdError, prefix } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { TxnRequest, WatchCreateRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  looksAt,
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

test('parties pass together, each with the order in which it came, round after round', async t => {
  const { name, players } = await arrange(t, 3)
  for (let generation = 0; generation < 3; generation++) {
    const waiting: Promise<Arrival>[] = []
    for (const [index, one] of players.entries()) {
      waiting.push(barrierOf(one, name, 3).await())
      if (index < 2) await come(one, name, generation, index + 1)
    }
    t.deepEqual(
      await Promise.all(waiting),
      [0, 1, 2].map(index => ({ index, generation })),
    )
  }
})

test('nobody passes before all have come', async t => {
  const { name, players } = await arrange(t, 2)
  const waiting = barrierOf(players[0]!, name, 2).await()
  await waits(players[0]!, name, 0)
  t.is(await stateOf(waiting), 'pending')
  await barrierOf(players[1]!, name, 2).await()
  await waiting
})

test('tasks of one session are parties like any others', async t => {
  const { name, players } = await arrange(t, 1)
  const barrier = barrierOf(players[0]!, name, 5)
  const arrivals = await Promise.all(Array.from({ length: 5 }, () => barrier.await()))
  t.deepEqual(arrivals.map(({ index }) => index).toSorted(), [0, 1, 2, 3, 4])
})

test('the last to come runs the action before anybody passes', async t => {
  const { name, players } = await arrange(t, 2)
  const told: string[] = []
  let finish = () => {}
  const finished = new Promise<void>(resolve => {
    finish = resolve
  })
  const action = async () => {
    told.push('action')
    await finished
  }
  const first = barrierOf(players[0]!, name, 2, { action }).await()
  await waits(players[0]!, name, 0)
  const last = barrierOf(players[1]!, name, 2, { action }).await()
  while (told.length === 0) await turns()
  await quiet(players[1]!.net)
  t.is(await stateOf(first), 'pending')
  finish()
  t.is((await last).index, 1)
  await first
  t.deepEqual(told, ['action'])
})

test('an action that throws breaks the barrier, and its own error is told to who ran it', async t => {
  const { name, players } = await arrange(t, 2)
  const action = () => {
    throw new TypeError('no such table')
  }
  const first = t.throwsAsync(barrierOf(players[0]!, name, 2).await())
  await waits(players[0]!, name, 0)
  await t.throwsAsync(barrierOf(players[1]!, name, 2, { action }).await(), { message: 'no such table' })
  t.true(EtcdError.is(await first, 'BARRIER_BROKEN'))
})

test('who gives up breaks the barrier for all others, until it is reset', async t => {
  const { name, players } = await arrange(t, 3)
  const leaving = new AbortController()
  const gone = t.throwsAsync(barrierOf(players[0]!, name, 3).await({ signal: leaving.signal }), {
    message: 'enough',
  })
  await waits(players[0]!, name, 0)
  const other = t.throwsAsync(barrierOf(players[1]!, name, 3).await())
  await waits(players[1]!, name, 0)
  leaving.abort(new Error('enough'))
  await gone
  t.true(EtcdError.is(await other, 'BARRIER_BROKEN'))
  const third = barrierOf(players[2]!, name, 3)
  t.true(EtcdError.is(await t.throwsAsync(third.await()), 'BARRIER_BROKEN'))
  t.deepEqual(await third.status(), { generation: 0, waiting: 0, broken: true })
  await third.reset()
  t.deepEqual(await third.status(), { generation: 1, waiting: 0, broken: false })
  await Promise.all(players.map(one => barrierOf(one, name, 3).await()))
})

test('a reset breaks the round under way, and the next one begins', async t => {
  const { name, players } = await arrange(t, 2)
  const waiting = t.throwsAsync(barrierOf(players[0]!, name, 2).await())
  await waits(players[0]!, name, 0)
  await barrierOf(players[1]!, name, 2).reset()
  t.true(EtcdError.is(await waiting, 'BARRIER_BROKEN'))
  const arrivals = await Promise.all(players.map(one => barrierOf(one, name, 2).await()))
  t.deepEqual(
    arrivals.map(({ generation }) => generation),
    [1, 1],
  )
})

test('the end of a session that has come breaks the barrier for all others', async t => {
  const { name, players } = await arrange(t, 2)
  const lost = t.throwsAsync(barrierOf(players[0]!, name, 3).await())
  await waits(players[0]!, name, 0)
  const other = t.throwsAsync(barrierOf(players[1]!, name, 3).await())
  await waits(players[1]!, name, 0)
  await players[0]!.etcd.lease.revoke(players[0]!.session.leaseId)
  t.true(EtcdError.is(await lost))
  t.true(EtcdError.is(await other, 'BARRIER_BROKEN'))
})

test('when the machine of one that came is gone, the others hear of it once its lease has run out', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 1)
  const gone = await sessionPlayer(t, server(), { ttl: 2 }, { requestTimeoutMs: 500 })
  const lost = t.throwsAsync(barrierOf(gone, name, 3).await())
  await waits(gone, name, 0)
  const other = t.throwsAsync(barrierOf(players[0]!, name, 3).await())
  await waits(players[0]!, name, 0)
  gone.net.vanish()
  t.true(EtcdError.is(await other, 'BARRIER_BROKEN'))
  t.true(EtcdError.is(await lost, 'SESSION_LOST'))
})

test('one that came last and was lost before it let the others pass breaks the barrier', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 3)
  const waiting = players.slice(0, 2).map(one => t.throwsAsync(barrierOf(one, name, 3).await()))
  for (const one of players.slice(0, 2)) await waits(one, name, 0)
  const [, , last] = players
  const trap = last!.net.stopRequests(methods.txn, advances(name))
  const lost = t.throwsAsync(barrierOf(last!, name, 3).await())
  await trap.caught()
  await players[0]!.etcd.lease.revoke(last!.session.leaseId)
  for (const broken of await Promise.all(waiting)) t.true(EtcdError.is(broken, 'BARRIER_BROKEN'))
  trap.off()
  ;(await trap.caught()).refuse()
  t.true(EtcdError.is(await lost))
})

test('a round all of which crashed is begun anew by the next who come', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 4)
  const lost = players.slice(0, 2).map(one => t.throwsAsync(barrierOf(one, name, 3).await()))
  for (const [index, one] of players.slice(0, 2).entries()) {
    await come(one, name, 0, index + 1)
    await waits(one, name, 0)
  }
  for (const one of players.slice(0, 2)) one.net.vanish()
  for (const one of players.slice(0, 2)) await players[3]!.etcd.lease.revoke(one.session.leaseId)
  const arrivals = await Promise.all([2, 3, 3].map(index => barrierOf(players[index]!, name, 3).await()))
  t.deepEqual(
    arrivals.map(({ generation }) => generation),
    [1, 1, 1],
  )
  for (const one of players.slice(0, 2)) void one.etcd.close().catch(() => {})
  await Promise.all(lost)
})

test('somebody who was lost before the last came is not counted among those who pass', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 3)
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  const lost = t.throwsAsync(barrierOf(a, name, 3).await())
  await waits(a, name, 0)
  const other = t.throwsAsync(barrierOf(b, name, 3).await())
  await waits(b, name, 0)
  // The other does not hear of it yet, so the last one has to notice.
  const deaf = b.net.stopWatches(() => true)
  a.net.vanish()
  await c.etcd.lease.revoke(a.session.leaseId)
  const last = barrierOf(c, name, 3).await()
  const broken = t.throwsAsync(last)
  await waits(c, name, 0)
  t.is(await stateOf(last), 'pending')
  deaf.release()
  t.true(EtcdError.is(await broken, 'BARRIER_BROKEN'))
  t.true(EtcdError.is(await other, 'BARRIER_BROKEN'))
  void a.etcd.close().catch(() => {})
  await lost
})

test('one too many waits for the next round', async t => {
  const { name, players } = await arrange(t, 3)
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  let finish = () => {}
  const action = () =>
    new Promise<void>(resolve => {
      finish = resolve
    })
  const first = [barrierOf(a, name, 2).await()]
  await waits(a, name, 0)
  first.push(barrierOf(b, name, 2, { action }).await())
  await come(b, name, 0, 2)
  const next = barrierOf(c, name, 2).await()
  await c.net.watching(watchOfKey(`${name}/state`))
  await quiet(c.net)
  t.is(await stateOf(next), 'pending')
  finish()
  await Promise.all(first)
  const other = barrierOf(a, name, 2).await()
  t.deepEqual([(await next).generation, (await other).generation], [1, 1])
})

for (const at of ['request', 'answer'] as const) {
  test(`an arrival whose ${at} was lost is counted once`, async t => {
    const { name, players } = await arrange(t, 2)
    const [here, there] = players as [SessionPlayer, SessionPlayer]
    const trap = at === 'request' ? here.net.stopRequests(methods.txn) : here.net.stopAnswers(methods.txn)
    const waiting = barrierOf(here, name, 2).await()
    const lost = await trap.caught()
    trap.off()
    lost.lose()
    await waits(here, name, 0)
    await lost.apply()
    await turns()
    t.is(await stateOf(waiting), 'pending')
    await barrierOf(there, name, 2).await()
    t.deepEqual(await waiting, { index: 0, generation: 0 })
  })
}

test('an arrival without an answer in a round that was long over comes again in the present one', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const stale = barrierOf(here, name, 2)
  const other = barrierOf(there, name, 2)
  await Promise.all([stale.await(), other.await()])
  for (let round = 0; round < 3; round++) await Promise.all([other.await(), other.await()])
  const trap = here.net.stopAnswers(methods.txn)
  const waiting = stale.await()
  const lost = await trap.caught()
  trap.off()
  lost.lose()
  t.is((await other.await()).generation, 4)
  t.is((await waiting).generation, 4)
})

test('an arrival that was counted passes, although the round ended before its answer came', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const trap = here.net.stopAnswers(methods.txn)
  const waiting = barrierOf(here, name, 2).await()
  const lost = await trap.caught()
  trap.off()
  await barrierOf(there, name, 2).await()
  await barrierOf(there, name, 2).reset()
  lost.lose()
  t.deepEqual(await waiting, { index: 0, generation: 0 })
})

test('an arrival that is applied after its caller gave up counts for nobody', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const trap = here.net.stopRequests(methods.txn)
  const leaving = new AbortController()
  const gone = t.throwsAsync(barrierOf(here, name, 2).await({ signal: leaving.signal }), {
    message: 'enough',
  })
  const late = await trap.caught()
  trap.off()
  leaving.abort(new Error('enough'))
  await gone
  await quiet(here.net)
  await late.apply()
  t.deepEqual(await membersOf(there, name), [])
  await barrierOf(there, name, 2).reset()
  const waiting = barrierOf(there, name, 2).await()
  await waits(there, name, 1)
  t.is(await stateOf(waiting), 'pending')
  await barrierOf(here, name, 2).await()
  await waiting
})

test('an arrival that was the last one although its answer was lost passes with the others', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const waiting = barrierOf(there, name, 2).await()
  await waits(there, name, 0)
  const trap = here.net.stopAnswers(methods.txn, advances(name))
  const last = barrierOf(here, name, 2).await()
  const lost = await trap.caught()
  trap.off()
  lost.lose()
  t.deepEqual(await Promise.all([waiting, last]), [
    { index: 0, generation: 0 },
    { index: 1, generation: 0 },
  ])
})

test('a wait does not end because its watches were lost, and survives a compaction', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const waiting = barrierOf(here, name, 2).await()
  await waits(here, name, 0)
  const { revision } = await there.etcd.put(`${name}-other`, '')
  await there.etcd.compact(revision)
  here.net.cutStreams(methods.watch)
  await here.net.watching(watchOfKey(`${name}/state`), 2)
  await quiet(here.net)
  t.is(await stateOf(waiting), 'pending')
  await barrierOf(there, name, 2).await()
  await waiting
})

test('an end of the round the server forgot to tell is found by reading again', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const waiting = barrierOf(here, name, 2).await()
  await waits(here, name, 0)
  const forgotten = here.net.dropEvents(() => true)
  await barrierOf(players[0]!, name, 2).await()
  await forgotten.caught()
  t.is(await stateOf(waiting), 'pending')
  t.is(runtime.fire(2 * TTL * 1000), 2)
  await waiting
})

test('a loss the server forgot to tell is found by reading again, also of somebody who came later', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 2)
  const [gone, witness] = players as [SessionPlayer, SessionPlayer]
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const waiting = barrierOf(here, name, 3).await()
  const broken = t.throwsAsync(waiting)
  await waits(here, name, 0)
  const lost = t.throwsAsync(barrierOf(gone, name, 3).await())
  await waits(gone, name, 0)
  const forgotten = here.net.dropEvents(() => true)
  gone.net.vanish()
  await witness.etcd.lease.revoke(gone.session.leaseId)
  await forgotten.caught()
  await quiet(here.net)
  t.is(await stateOf(waiting), 'pending')
  runtime.fire(2 * TTL * 1000)
  t.true(EtcdError.is(await broken, 'BARRIER_BROKEN'))
  void gone.etcd.close().catch(() => {})
  await lost
})

test('those who came after a loss do not wait for one another when whoever came before it is lost as well', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 4)
  const [a, b, c, d] = players as [SessionPlayer, SessionPlayer, SessionPlayer, SessionPlayer]
  const lost = [a, b].map(one => t.throwsAsync(barrierOf(one, name, 4).await()))
  for (const one of [a, b]) await waits(one, name, 0)
  for (const one of [a, b]) one.net.vanish()
  await c.etcd.lease.revoke(b.session.leaseId)
  const later = [barrierOf(c, name, 4).await()]
  await waits(c, name, 0)
  later.push(barrierOf(d, name, 4).await())
  await waits(d, name, 0)
  await c.etcd.lease.revoke(a.session.leaseId)
  await come(c, name, 1, 2)
  later.push(barrierOf(c, name, 4).await(), barrierOf(d, name, 4).await())
  const arrivals = await Promise.all(later)
  t.deepEqual(
    arrivals.map(({ generation }) => generation),
    [1, 1, 1, 1],
  )
  for (const one of [a, b]) void one.etcd.close().catch(() => {})
  await Promise.all(lost)
})

test('who finds a key that was taken off its lease waits in peace for the end of the round', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 3)
  const [a, b, c] = players as [SessionPlayer, SessionPlayer, SessionPlayer]
  const broken = [a, b].map(one => t.throwsAsync(barrierOf(one, name, 3).await()))
  for (const one of [a, b]) await waits(one, name, 0)
  const [, written] = await membersOf(c, name)
  await c.etcd.put(written!, 'no lease')
  const last = barrierOf(c, name, 3).await()
  await waits(c, name, 0)
  const looked = c.net.count(methods.txn)
  for (let others = 0; others < 100; others++) await c.etcd.get(name)
  t.is(c.net.count(methods.txn), looked)
  t.is(await stateOf(last), 'pending')
  await barrierOf(a, name, 3).reset()
  for (const one of await Promise.all(broken)) t.true(EtcdError.is(one, 'BARRIER_BROKEN'))
  const again = [a, b].map(one => barrierOf(one, name, 3).await())
  for (const { generation } of await Promise.all([last, ...again])) t.is(generation, 1)
})

test('who hears late that a round is over does not end the next one', async t => {
  t.timeout(60_000)
  const { name, players } = await arrange(t, 4)
  const [a, b, c, d] = players as [SessionPlayer, SessionPlayer, SessionPlayer, SessionPlayer]
  const lost = [a, b].map(one => t.throwsAsync(barrierOf(one, name, 4).await()))
  for (const one of [a, b]) await waits(one, name, 0)
  for (const one of [a, b]) one.net.vanish()
  await c.etcd.lease.revoke(b.session.leaseId)
  const later = [barrierOf(c, name, 4).await()]
  await waits(c, name, 0)
  later.push(barrierOf(d, name, 4).await())
  await waits(d, name, 0)
  const looking = d.net.stopRequests(methods.txn, looksAt(`${name}/state`))
  await c.etcd.lease.revoke(a.session.leaseId)
  const look = await looking.caught()
  looking.off()
  await come(c, name, 1, 1)
  await look.deliver()
  await come(c, name, 1, 2)
  later.push(barrierOf(c, name, 4).await(), barrierOf(d, name, 4).await())
  const arrivals = await Promise.all(later)
  t.deepEqual(
    arrivals.map(({ generation }) => generation),
    [1, 1, 1, 1],
  )
  for (const one of [a, b]) void one.etcd.close().catch(() => {})
  await Promise.all(lost)
})

test('the loss of the session rejects, and nothing is left', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const waiting = t.throwsAsync(barrierOf(here, name, 2).await())
  await waits(here, name, 0)
  runtime.stall(TTL * 1000)
  t.is(here.session.state, 'lost')
  t.true(EtcdError.is(await waiting, 'SESSION_LOST'))
  t.true(EtcdError.is(await t.throwsAsync(barrierOf(here, name, 2).await()), 'SESSION_LOST'))
  await none(players[0]!, name)
  t.is(runtime.fire(2 * TTL * 1000), 0)
  runtime.fire(LINGER_MS)
  await turns()
  t.deepEqual(here.net.watches, [])
})

test('the last to come runs no action when its session ended while its event loop stood still', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const first = t.throwsAsync(barrierOf(players[0]!, name, 2).await())
  await waits(players[0]!, name, 0)
  const arrivals = here.net.stopAnswers(methods.txn)
  let runs = 0
  const action = () => {
    runs += 1
  }
  const last = t.throwsAsync(barrierOf(here, name, 2, { action }).await())
  const answer = await arrivals.caught()
  arrivals.off()
  // Nobody looks at the clock before the answer is there.
  runtime.stall(TTL * 1000)
  await answer.deliver()
  t.true(EtcdError.is(await last, 'SESSION_LOST'))
  t.is(runs, 0)
  await players[0]!.etcd.lease.revoke(here.session.leaseId).catch(() => {})
  t.true(EtcdError.is(await first, 'BARRIER_BROKEN'))
})

test('a status is waited for as long as was said, and no longer', async t => {
  const here = await sessionPlayer(t, server(), {}, { requestTimeoutMs: 3_600_000 })
  here.net.stopAnswers(methods.txn)
  const asking = barrierOf(here, `${uniquePrefix(t)}barrier`, 2).status({ timeoutMs: 50 })
  await t.throwsAsync(asking, { instanceOf: EtcdError })
})

test('a closed session rejects and sends nothing', async t => {
  const { name, players } = await arrange(t, 1)
  const [{ net, session }] = players as [SessionPlayer]
  await session.close()
  const before = net.sent.length
  const barrier = new CyclicBarrier(session, name, 2)
  t.true(EtcdError.is(await t.throwsAsync(barrier.await()), 'SESSION_CLOSED'))
  t.true(EtcdError.is(await t.throwsAsync(barrier.reset()), 'SESSION_CLOSED'))
  t.is(net.sent.length, before)
})

test('a reset goes no further once its session is closed, whatever signal it was given', async t => {
  const { name, players } = await arrange(t, 2)
  const [a, b] = players as [SessionPlayer, SessionPlayer]
  const looking = a.net.stopAnswers(methods.txn, looksAt(`${name}/state`))
  const { signal } = new AbortController()
  const resetting = t.throwsAsync(barrierOf(a, name, 2).reset({ signal }), { code: 'SESSION_CLOSED' })
  const look = await looking.caught()
  looking.off()
  await a.session.close()
  await resetting
  await look.deliver()
  await quiet(a.net)
  t.is((await barrierOf(b, name, 2).status()).generation, 0)
})

test('an aborted wait leaves nothing, neither key nor watch nor timer', async t => {
  const runtime = testRuntime()
  const { name, players } = await arrange(t, 1)
  const here = await sessionPlayer(t, server(), {}, { runtime })
  const leaving = new AbortController()
  const waiting = t.throwsAsync(barrierOf(here, name, 2).await({ signal: leaving.signal }), {
    message: 'enough',
  })
  await waits(here, name, 0)
  leaving.abort(new Error('enough'))
  await waiting
  await none(players[0]!, name)
  await quiet(here.net)
  t.is(runtime.fire(2 * TTL * 1000), 0)
  runtime.fire(LINGER_MS)
  await turns()
  t.deepEqual(here.net.watches, [])
})

test('round trips: 2 for the last to come, 3 for the others, who hear of the end in one message', async t => {
  const { name, players } = await arrange(t, 2)
  const [here, there] = players as [SessionPlayer, SessionPlayer]
  const waiting = Array.from({ length: 10 }, () => barrierOf(here, name, 11).await())
  await here.net.watching(watchOfKey(`${name}/state`), 10)
  await here.net.watching(watchOfMembers(name, 0), 10)
  await quiet(here.net)
  t.is(here.net.count(methods.txn), 10)
  // A busy server may answer from before what it has told already, and is asked again.
  const reads = here.net.count(methods.range)
  t.true(reads >= 20 && reads <= 22, `${reads} reads for ten who wait`)
  t.is(here.net.deliveries, 0, 'those who come send no news')
  const beforeLast = there.net.sent.length
  await barrierOf(there, name, 11).await()
  t.is(there.net.sent.length - beforeLast, 2)
  await Promise.all(waiting)
  await quiet(here.net)
  t.is(here.net.count(methods.txn) + here.net.count(methods.range), 10 + reads)
  t.true(here.net.deliveries <= 10)
})

test('keys of rounds that were passed go with the next arrival, the last with the sessions', async t => {
  const { name, players } = await arrange(t, 2)
  for (let round = 0; round < 3; round++)
    await Promise.all(players.map(one => barrierOf(one, name, 2).await()))
  const watcher = await sessionPlayer(t, server())
  t.true((await membersOf(watcher, name)).length <= 2)
  await Promise.all(players.map(({ session }) => session.close()))
  t.deepEqual(await membersOf(watcher, name), [])
})

test('a lock whose name looks like a round outlives the round, and breaks none', async t => {
  const { name, players } = await arrange(t, 2)
  const [a, b] = players as [SessionPlayer, SessionPlayer]
  const round = await b.session.mutex(`${name}/0`).lock()
  const waiting = t.throwsAsync(barrierOf(a, name, 2).await())
  await waits(a, name, 0)
  const word = await b.session.mutex(`${name}/0/next`).lock()
  await word.unlock()
  await quiet(a.net)
  t.is(await stateOf(waiting), 'pending')
  await barrierOf(b, name, 2).reset()
  t.true(EtcdError.is(await waiting, 'BARRIER_BROKEN'))
  t.true(round.held)
  await t.notThrowsAsync(round.txn({ then: [] }))
  t.deepEqual(await membersOf(b, name), [])
})

test('a key that somebody else wrote is told from the state of the barrier', async t => {
  const { name, players } = await arrange(t, 1)
  const [one] = players
  for (const written of ['null', 'seven', '{"v":1,"owner":"a lock"}']) {
    await one!.etcd.put(`${name}/state`, written)
    t.true(EtcdError.is(await t.throwsAsync(barrierOf(one!, name, 1).await()), 'PROTOCOL'), written)
  }
})

test('what cannot be meant is refused before any request', async t => {
  const { name, players } = await arrange(t, 1)
  const [{ net, session }] = players as [SessionPlayer]
  const before = net.sent.length
  t.throws(() => new CyclicBarrier(session, '', 2), { instanceOf: RangeError })
  t.throws(() => new CyclicBarrier(session, name, 0), { instanceOf: RangeError })
  t.throws(() => new CyclicBarrier(session, name, '2' as never), { instanceOf: TypeError })
  t.throws(() => new CyclicBarrier(session, name, 2, { action: 1 as never }), { instanceOf: TypeError })
  t.throws(() => new CyclicBarrier(session, name, 2, { acton: 1 } as never), { instanceOf: TypeError })
  const barrier = new CyclicBarrier(session, name, 2)
  await t.throwsAsync(barrier.await({ timeoutMs: 1 } as never), { instanceOf: TypeError })
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
  parties: number,
  options: CyclicBarrierOptions = {},
): CyclicBarrier {
  return new CyclicBarrier(session, name, parties, options)
}

/** Resolves when so many have come in this round. */
async function come({ etcd }: SessionPlayer, name: string, generation: number, count: number): Promise<void> {
  await until(etcd, `${name}/${generation}/m/`, found => found >= count)
}

/** Resolves when nobody is at the barrier any more. */
async function none({ etcd }: SessionPlayer, name: string): Promise<void> {
  for (const generation of [0, 1]) await until(etcd, `${name}/${generation}/m/`, found => found === 0)
}

async function until(
  etcd: SessionPlayer['etcd'],
  members: string,
  enough: (count: number) => boolean,
): Promise<void> {
  const watch = etcd.watch(prefix(members))
  const events = watch[Symbol.asyncIterator]()
  await watch.ready
  while (!enough((await etcd.range(prefix(members))).count)) await events.next()
  await watch.close()
}

async function membersOf({ etcd }: SessionPlayer, name: string): Promise<string[]> {
  const { kvs } = await etcd.range(prefix(`${name}/`))
  return kvs.map(kv => kv.name()).filter(key => key.includes('/m/'))
}

function watchOfMembers(name: string, generation: number): (watch: WatchCreateRequest) => boolean {
  return watch => mapKey(watch.key) === `${name}/${generation}/m/`
}

/** Resolves when somebody of this client waits in this round by events alone. */
async function waits({ net }: SessionPlayer, name: string, generation: number): Promise<void> {
  await net.watching(watchOfMembers(name, generation))
  await net.watching(watchOfKey(`${name}/state`))
  await quiet(net)
}

/** Is this the transaction that changes the round? */
function advances(name: string): (txn: TxnRequest) => boolean {
  return ({ success }) =>
    success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === `${name}/state`)
}
