import test, { type ExecutionContext } from 'ava'
import { Barrier } from '../../../recipes/barrier.ts'
import { EtcdError } from '../../../src/index.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  creates,
  isDeletionOf,
  type Player,
  player,
  quiet,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
  watchOfKey,
} from '../../traits/arena.ts'

const server = useEtcd(test)

const LINGER_MS = 5000
const REREAD_MS = 30_000
const DISPOSE_MS = 5000

test('whoever waits goes on when the barrier is released, and hears that it was', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = [barrierOf(here, name).wait(), barrierOf(here, name).wait()]
  await waits(here, name, 2)
  t.is(await stateOf(waiting[0]!), 'pending')
  await hold.release()
  t.deepEqual(await Promise.all(waiting), ['released', 'released'])
  t.is(await barrierOf(here, name).wait(), 'absent')
})

test('a barrier nobody holds lets everybody through', async t => {
  const { name, here } = await arrange(t)
  t.is(await barrierOf(here, name).wait(), 'absent')
})

test('a barrier held with a session opens with its end, and says it was abandoned', async t => {
  const { name, here } = await arrange(t)
  const there = await sessionPlayer(t, server())
  await barrierOf(there, name).hold({ session: there.session })
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  await there.session.close()
  t.is(await waiting, 'abandoned')
})

test('a barrier held with a session and released says that it was released', async t => {
  const { name, here } = await arrange(t)
  const there = await sessionPlayer(t, server())
  const hold = await barrierOf(there, name).hold({ session: there.session })
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  await hold.release()
  t.is(await waiting, 'released')
})

test('a second hold is refused while the first lasts, and granted after it', async t => {
  const { name, here, there } = await arrange(t)
  const first = await barrierOf(here, name).hold()
  const refused = await t.throwsAsync(barrierOf(there, name).hold())
  t.true(EtcdError.is(refused, 'ALREADY_EXISTS'))
  await first.release()
  const second = await barrierOf(there, name).hold()
  t.true(second.createRevision > first.createRevision)
  await second.release()
})

test('a key that somebody else wrote is told from what says why a barrier opened', async t => {
  const { name, here } = await arrange(t)
  const there = await sessionPlayer(t, server())
  await barrierOf(there, name).hold({ session: there.session })
  const waiting = t.throwsAsync(barrierOf(here, name).wait(), { code: 'PROTOCOL' })
  await waits(here, name)
  await there.etcd.put(`${name}.state`, '{"v":1,"released":"soon"}')
  await there.session.close()
  await waiting
})

test('a hold is released also by who will not wait for that', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  const releasing = hold.release({ signal: AbortSignal.abort(new Error('no time')) })
  await t.throwsAsync(releasing, { message: 'no time' })
  t.is(await waiting, 'released')
})

test('a hold that is over releases no later hold', async t => {
  const { name, here, there } = await arrange(t)
  const first = await barrierOf(here, name).hold()
  t.true(await barrierOf(there, name).release())
  const second = await barrierOf(there, name).hold()
  await first.release()
  await first.release()
  t.true((await here.etcd.get(name)) !== undefined)
  await second.release()
  t.false(await barrierOf(here, name).release())
})

test('Go programs hold and release the same barrier', async t => {
  const { name, here, there } = await arrange(t)
  // What Go's Hold and Release send.
  await there.etcd.put(name, '')
  t.true(EtcdError.is(await t.throwsAsync(barrierOf(here, name).hold()), 'ALREADY_EXISTS'))
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  await there.etcd.delete(name)
  t.is(await waiting, 'released')
  const hold = await barrierOf(here, name).hold()
  t.is((await there.etcd.get(name))?.lease, 0n)
  await there.etcd.delete(name)
  await hold.release()
})

test('a similar name is another barrier', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  await here.etcd.put(`${name}x`, '')
  await here.etcd.delete(`${name}x`)
  await turns()
  t.is(await stateOf(waiting), 'pending')
  await hold.release()
  await waiting
})

test('a wait does not end because its watch was lost, and ends after the watch is back', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  here.net.cutStreams(methods.watch)
  await waits(here, name, 2)
  t.is(await stateOf(waiting), 'pending')
  here.net.cutStreams(methods.watch)
  await hold.release()
  t.is(await waiting, 'released')
})

test('what happened while the watch was lost is told apart as far as it can be', async t => {
  const { name, here } = await arrange(t)
  const there = await sessionPlayer(t, server())
  const hold = await barrierOf(there, name).hold({ session: there.session })
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  const deaf = here.net.stopWatches(watch => watchOfKey(name)(watch))
  await hold.release()
  const next = await barrierOf(there, name).hold({ session: there.session })
  await next.release()
  deaf.off()
  here.net.cutStreams(methods.watch)
  t.is(await waiting, 'unknown')
})

test('a deletion the server forgot to tell is found by reading again', async t => {
  const runtime = testRuntime()
  const here = await player(t, server(), { runtime })
  const { name, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  const forgotten = here.net.dropEvents(isDeletionOf(name))
  await hold.release()
  await forgotten.caught()
  t.is(await stateOf(waiting), 'pending')
  t.is(runtime.fire(REREAD_MS), 1)
  t.is(await waiting, 'released')
})

test('a compaction does not disturb who waits', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = barrierOf(here, name).wait()
  await waits(here, name)
  const { revision } = await there.etcd.put(`${name}-other`, '')
  await there.etcd.compact(revision)
  here.net.cutStreams(methods.watch)
  await hold.release()
  t.is(await waiting, 'released')
  await there.etcd.delete(`${name}-other`)
})

test('round trips: hold 1 then 2, release 1, wait 1 or 2, and 1 more to learn why a session let go', async t => {
  const { name, here } = await arrange(t)
  const { net, etcd } = here
  const there = await sessionPlayer(t, server())
  const cost = async <Result>(work: () => Promise<Result>) => {
    const before = net.sent.length
    const result = await work()
    await quiet(net)
    return { result, trips: net.sent.length - before }
  }
  const first = await cost(() => barrierOf(here, name).hold())
  const released = await cost(() => first.result.release())
  const second = await cost(() => barrierOf(here, name).hold())
  await second.result.release()
  const open = await cost(() => barrierOf(here, name).wait())
  t.deepEqual([first.trips, released.trips, second.trips, open.trips], [1, 1, 2, 1])
  const hold = await barrierOf(there, name).hold({ session: there.session })
  const before = net.sent.length
  const waiting = barrierOf({ etcd, net }, name).wait()
  await waits(here, name)
  t.is(net.sent.length - before, 2)
  t.is((await cost(async () => Promise.all([hold.release(), waiting]))).trips, 1)
})

test('a release is one message for each who waits', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = Array.from({ length: 10 }, () => barrierOf(here, name).wait())
  await waits(here, name, 10)
  t.is(here.net.deliveries, 0)
  await hold.release()
  await Promise.all(waiting)
  t.true(here.net.deliveries <= 10)
})

test('an aborted wait rejects at once with its reason and leaves nothing', async t => {
  const runtime = testRuntime()
  const here = await player(t, server(), { runtime })
  const { name, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const leaving = new AbortController()
  const waiting = t.throwsAsync(barrierOf(here, name).wait({ signal: leaving.signal }), { message: 'enough' })
  await waits(here, name)
  leaving.abort(new Error('enough'))
  await waiting
  t.is(runtime.fire(REREAD_MS), 0)
  runtime.fire(LINGER_MS)
  await turns()
  t.deepEqual(here.net.watches, [])
  await hold.release()
  await t.throwsAsync(barrierOf(here, name).wait({ signal: leaving.signal }), { message: 'enough' })
})

test('a hold whose answer was lost is granted once, and cannot be applied again after its release', async t => {
  const { name, here, there } = await arrange(t)
  const trap = here.net.stopRequests(methods.txn, creates(name))
  const holding = barrierOf(here, name).hold()
  const late = await trap.caught()
  trap.off()
  late.lose()
  const hold = await holding
  await hold.release()
  await late.apply()
  t.is(await there.etcd.get(name), undefined, 'a barrier nobody holds would stay closed for ever')
})

test('a hold whose answer was lost cannot be applied again, although Go released it and says nothing', async t => {
  const { name, here, there } = await arrange(t)
  const trap = here.net.stopRequests(methods.txn, creates(name))
  const holding = barrierOf(here, name).hold()
  const late = await trap.caught()
  trap.off()
  late.lose()
  await holding
  await there.etcd.delete(name)
  await late.apply()
  t.is(await there.etcd.get(name), undefined)
})

test('a hold whose late attempt replaced a key that Go released is the hold of that attempt', async t => {
  const { name, here, there } = await arrange(t)
  const { late, answer, holding } = await replaced({ name, here, there })
  await answer.deliver()
  const hold = await holding
  t.is((await there.etcd.get(name))?.createRevision, hold.createRevision)
  await hold.release()
  t.is(await there.etcd.get(name), undefined, 'a barrier nobody holds would stay closed for ever')
  await late.apply()
  t.is(await there.etcd.get(name), undefined)
})

test('a hold whose late attempt replaced a key that Go released closes nothing when it is given up', async t => {
  const { name, here, there } = await arrange(t)
  const leaving = new AbortController()
  const { holding } = await replaced({ name, here, there }, leaving.signal)
  const givenUp = t.throwsAsync(holding, { message: 'enough' })
  leaving.abort(new Error('enough'))
  await givenUp
  await here.etcd.close()
  t.is(await there.etcd.get(name), undefined)
})

test('a hold that was applied although its answer was lost is ours', async t => {
  const { name, here } = await arrange(t)
  const trap = here.net.stopAnswers(methods.txn, creates(name))
  const holding = barrierOf(here, name).hold()
  const late = await trap.caught()
  trap.off()
  late.lose()
  const hold = await holding
  t.is((await here.etcd.get(name))?.createRevision, hold.createRevision)
  await hold.release()
  t.is(await here.etcd.get(name), undefined)
})

for (const when of ['before', 'after'] as const) {
  test(`a hold that is given up ${when} it was applied closes nothing`, async t => {
    const { name, here, there } = await arrange(t)
    const trap =
      when === 'before'
        ? here.net.stopRequests(methods.txn, creates(name))
        : here.net.stopAnswers(methods.txn, creates(name))
    const leaving = new AbortController()
    const holding = t.throwsAsync(barrierOf(here, name).hold({ signal: leaving.signal }), {
      message: 'enough',
    })
    const late = await trap.caught()
    trap.off()
    leaving.abort(new Error('enough'))
    await holding
    await fenced(there, name)
    await late.apply()
    await quiet(here.net)
    t.is(await there.etcd.get(name), undefined)
  })
}

test('a hold without a session that is given up just before its client is closed closes nothing', async t => {
  const { name, here, there } = await arrange(t)
  const trap = here.net.stopAnswers(methods.txn, creates(name))
  const leaving = new AbortController()
  const holding = t.throwsAsync(barrierOf(here, name).hold({ signal: leaving.signal }), { message: 'enough' })
  await trap.caught()
  trap.off()
  leaving.abort(new Error('enough'))
  await here.etcd.close()
  await holding
  t.is(await there.etcd.get(name), undefined, 'a barrier nobody holds would stay closed for ever')
})

test('a hold without a session is given up when its client is closed, and closes nothing', async t => {
  const { name, here, there } = await arrange(t)
  const trap = here.net.stopAnswers(methods.txn, creates(name))
  const holding = t.throwsAsync(barrierOf(here, name).hold())
  await trap.caught()
  trap.off()
  await here.etcd.close()
  const error = await holding
  t.true(EtcdError.is(error, 'CLIENT_CLOSED') && error.outcome === 'unknown')
  t.is(await there.etcd.get(name), undefined)
  const late = await t.throwsAsync(barrierOf(here, name).hold())
  t.true(EtcdError.is(late, 'CLIENT_CLOSED') && late.outcome === 'not-sent')
})

test('a client that is closed waits until a hold nobody waits to release is released', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(here, name).hold()
  const trap = here.net.stopRequests(methods.txn, releases(name))
  const releasing = hold.release({ signal: AbortSignal.abort(new Error('no time')) })
  await t.throwsAsync(releasing, { message: 'no time' })
  const request = await trap.caught()
  trap.off()
  const closing = here.etcd.close()
  request.lose()
  await closing
  t.is(await there.etcd.get(name), undefined)
})

test('a client is closed in time although nobody says what became of a hold that was given up', async t => {
  const runtime = testRuntime()
  const here = await player(t, server(), { runtime })
  const { name } = await arrange(t)
  const trap = here.net.stopAnswers(methods.txn)
  const leaving = new AbortController()
  const holding = t.throwsAsync(barrierOf(here, name).hold({ signal: leaving.signal }), { message: 'enough' })
  await trap.caught()
  leaving.abort(new Error('enough'))
  await holding
  const closing = here.etcd.close()
  await trap.caught(2)
  t.is(await stateOf(closing), 'pending')
  for (let leftMs = DISPOSE_MS; leftMs > DISPOSE_MS - 2000; leftMs -= 1) runtime.fire(leftMs)
  await closing
})

test('a release whose answer was lost is repeated until it is known', async t => {
  const { name, here } = await arrange(t)
  const hold = await barrierOf(here, name).hold()
  const trap = here.net.stopAnswers(methods.txn, releases(name))
  const releasing = hold.release()
  const lost = await trap.caught()
  trap.off()
  lost.lose()
  await releasing
  t.is(await barrierOf(here, name).wait(), 'absent')
})

test('a session that is over holds nothing, and releasing after it is quiet', async t => {
  const { name } = await arrange(t)
  const there = await sessionPlayer(t, server())
  const hold = await barrierOf(there, name).hold({ session: there.session })
  await there.session.close()
  await hold.release()
  const before = there.net.sent.length
  const error = await t.throwsAsync(barrierOf(there, name).hold({ session: there.session }))
  t.true(EtcdError.is(error, 'SESSION_CLOSED'))
  t.is(there.net.sent.length, before)
})

test('a hold is given up at once while nobody says whether its session outlived the sleep of its machine', async t => {
  const runtime = testRuntime()
  const { name, there } = await arrange(t)
  const { session, net, etcd } = await sessionPlayer(t, server(), {}, { runtime })
  const created = net.stopAnswers(methods.txn, creates(name))
  const leaving = new AbortController()
  const { signal } = leaving
  const holding = t.throwsAsync(barrierOf({ etcd, net }, name).hold({ session, signal }), {
    message: 'enough',
  })
  const answer = await created.caught()
  const renewals = net.stopMessages(methods.leaseKeepAlive)
  runtime.sleep(60_000)
  await answer.deliver()
  const renewal = await renewals.caught()
  await quiet(net)
  t.is(session.state, 'suspended')
  leaving.abort(new Error('enough'))
  await turns()
  t.is(await stateOf(holding), 'fulfilled')
  renewals.off()
  renewal()
  await barrierOf(there, name).wait()
})

test('closing the client ends a wait', async t => {
  const { name, here, there } = await arrange(t)
  const hold = await barrierOf(there, name).hold()
  const waiting = t.throwsAsync(barrierOf(here, name).wait())
  await waits(here, name)
  await here.etcd.close()
  t.true(EtcdError.is(await waiting, 'CLIENT_CLOSED'))
  await hold.release()
})

test('a session of another client is refused before any request, and lives on; one of a namespace is taken', async t => {
  const { name, here } = await arrange(t)
  const there = await sessionPlayer(t, server())
  const before = here.net.sent.length
  await t.throwsAsync(barrierOf(here, name).hold({ session: there.session }), { instanceOf: TypeError })
  t.is(here.net.sent.length, before)
  t.is(there.session.state, 'active')
  const session = await here.etcd.namespace(`${name}/within/`).session()
  const hold = await barrierOf(here, name).hold({ session })
  t.is((await here.etcd.get(name))?.lease, session.leaseId)
  await hold.release()
})

test('what cannot be meant is refused before any request', async t => {
  const { name, here } = await arrange(t)
  const before = here.net.sent.length
  t.throws(() => barrierOf(here, ''), { instanceOf: RangeError })
  t.throws(() => new Barrier(here.etcd.engine, here.etcd.space, 7 as never), { instanceOf: TypeError })
  const barrier = barrierOf(here, name)
  await t.throwsAsync(barrier.wait({ timeout: 1 } as never), { instanceOf: TypeError })
  await t.throwsAsync(barrier.wait({ signal: 1 } as never), { instanceOf: TypeError })
  await t.throwsAsync(barrier.hold({ session: {} as never }), { instanceOf: TypeError })
  t.is(here.net.sent.length, before)
})

async function arrange(t: ExecutionContext<unknown>): Promise<{ name: string; here: Player; there: Player }> {
  return {
    name: `${uniquePrefix(t)}gate`,
    here: await player(t, server()),
    there: await player(t, server()),
  }
}

function barrierOf({ etcd }: Player, name: string): Barrier {
  return new Barrier(etcd.engine, etcd.space, name)
}

async function waits({ net }: Player, name: string, n = 1): Promise<void> {
  await net.watching(watchOfKey(name), n)
  await quiet(net)
}

/**
 * A hold whose first attempt got no answer and was applied after Go released what the second had created, with the
 * answer to its fence on the way.
 */
async function replaced(
  { name, here, there }: { readonly name: string; readonly here: Player; readonly there: Player },
  signal?: AbortSignal,
) {
  const created = here.net.stopRequests(methods.txn, creates(name))
  const holding = barrierOf(here, name).hold({ signal })
  const late = await created.caught()
  created.off()
  const fence = here.net.stopRequests(methods.txn, creates(`${name}.state`))
  late.lose()
  const answer = await fence.caught()
  fence.off()
  await there.etcd.delete(name)
  await late.apply()
  await answer.apply()
  return { late, answer, holding }
}

/** Resolves when the key beside the barrier was written. */
async function fenced({ etcd }: Player, name: string): Promise<void> {
  const watch = etcd.watch(`${name}.state`)
  await watch.ready
  if ((await etcd.get(`${name}.state`)) === undefined) for await (const _ of watch) break
  await watch.close()
}

function releases(name: string): (txn: TxnRequest) => boolean {
  return ({ success }) =>
    success.some(
      ({ request }) => request?.kind === 'deleteRange' && Buffer.from(request.value.key).toString() === name,
    )
}
