import test, { type ExecutionContext } from 'ava'
import { EtcdError, type LeaderInfo, type Leadership, op } from '../../../src/index.ts'
import type { TxnRequest, TxnResponse, WatchCreateRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import {
  creates,
  deletes,
  isDeletionOf,
  keyIn,
  keysOf,
  line,
  player,
  quiet,
  sessionPlayer,
  stateOf,
  testRuntime,
  turns,
} from '../../traits/arena.ts'

const server = useEtcd(test)

test('who wins an election leads with the value it campaigned with, under the layout of Go', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('me')
  t.is(Buffer.from(leadership.key).toString(), keyIn(session, name))
  t.is(Buffer.from(leadership.value).toString(), 'me')
  t.true(leadership.held)
  const leader = (await etcd.election(name).leader())!
  t.is(leader.text(), 'me')
  t.deepEqual(leader.key, leadership.key)
  t.is(leader.leaseId, session.leaseId)
  t.is(leader.createRevision, leadership.fencingToken)
  await leadership.resign()
  t.is(await etcd.election(name).leader(), undefined)
})

test('whoever gives up resuming hears of it at once, also while it is asked whether the session still exists', async t => {
  t.timeout(30_000)
  const { session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const { key, fencingToken: revision } = await session.election(name).campaign('me')
  const runtime = testRuntime()
  const { etcd, net } = await player(t, server(), { runtime })
  const resumed = await etcd.session({ resume: await session.orphan() })
  const renewals = net.stopMessages(methods.leaseKeepAlive)
  runtime.sleep(20_000)
  const leaving = new AbortController()
  const resuming = resumed.election(name).resume({ key, revision }, { signal: leaving.signal })
  const outcome = t.throwsAsync(resuming, { message: 'leaves' })
  await quiet(net)
  t.is(await stateOf(outcome), 'pending')
  leaving.abort(new Error('leaves'))
  t.is(await stateOf(outcome), 'fulfilled')
  const answer = await renewals.caught()
  renewals.off()
  answer()
  t.true((await resumed.election(name).resume({ key, revision }))!.held)
})

test('without a value a leader says what its session says of itself', async t => {
  const { etcd, session } = await sessionPlayer(t, server(), { owner: 'ada' })
  const name = nameOf(t)
  await session.election(name).campaign()
  const leader = (await etcd.election(name).leader())!
  t.is(leader.owner, 'ada')
  t.is(leader.pid, process.pid)
  t.is(leader.json<{ v: number }>().v, 1)
})

test('an empty value is a value', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await session.election(name).campaign('')
  t.is((await etcd.election(name).leader())!.text(), '')
})

test('candidates lead in order of arrival, with rising tokens', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const sessions = await Promise.all([1, 2, 3].map(() => etcd.session()))
  const campaigns: Promise<Leadership>[] = []
  for (const [index, session] of sessions.entries()) {
    campaigns.push(session.election(name).campaign(`number ${index}`))
    await line(etcd, name, index + 1)
  }
  t.deepEqual(
    (await etcd.election(name).contenders()).map(({ leaseId }) => leaseId),
    sessions.map(({ leaseId }) => leaseId),
  )
  let token = 0n
  for (const [index, campaign] of campaigns.entries()) {
    const leadership = await campaign
    t.true(leadership.fencingToken > token)
    token = leadership.fencingToken
    t.is((await etcd.election(name).leader())!.text(), `number ${index}`)
    await leadership.resign()
  }
})

test('tryCampaign leads when nobody does, and writes nothing when somebody does', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = (await session.election(name).tryCampaign('one'))!
  t.true(leadership.held)
  t.is(await other.session.election(name).tryCampaign('two'), undefined)
  t.is((await keysOf(etcd, name)).length, 1)
  t.is(await session.election(name).tryCampaign('three'), undefined)
  await leadership.resign()
  t.is(Buffer.from((await other.session.election(name).tryCampaign('two'))!.value).toString(), 'two')
})

test('a leader whose key is deleted hears of it, and nobody leads without a key', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('first')
  const waiting = t.throwsAsync(other.session.election(name).campaign('second'))
  await line(etcd, name, 2)
  await quiet(other.net)
  // In one revision: whoever waits loses its own place in the moment it would lead.
  await etcd.txn({ then: [op.delete(first.key), op.delete(keyIn(other.session, name))] })
  t.true(EtcdError.is(await waiting, 'LOCK_LOST'))
  await t.throwsAsync(first.proclaim('still me'), { code: 'LOCK_LOST' })
  t.false(first.held)
  t.true(first.signal.aborted)
  t.is(await etcd.election(name).leader(), undefined, 'nothing was written')
})

test('a proclamation is one round trip and leaves the token alone', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('one')
  const before = net.count(methods.txn)
  await leadership.proclaim('two')
  t.is(net.count(methods.txn), before + 1)
  t.is(Buffer.from(leadership.value).toString(), 'two')
  const leader = (await etcd.election(name).leader())!
  t.is(leader.text(), 'two')
  t.is(leader.createRevision, leadership.fencingToken)
  t.true(leader.modRevision > leader.createRevision)
  t.is(leader.leaseId, session.leaseId)
})

test('proclamations take effect in the order of the calls', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, name)))
  const first = leadership.proclaim('1')
  const second = leadership.proclaim('2')
  const call = await stopped.caught()
  stopped.off()
  t.is(stopped.count, 1)
  await call.deliver()
  await Promise.all([first, second])
  t.is((await etcd.election(name).leader())!.text(), '2')
})

test('a proclamation whose answer was lost is found done, not made twice', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
  const proclaiming = leadership.proclaim('1')
  const call = await stopped.caught()
  stopped.off()
  call.lose()
  await proclaiming
  const { version } = (await etcd.get(leadership.key))!
  t.is(version, 2n)
})

test('what is proclaimed is what it was when it was asked for, whenever its turn comes', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('me')
  const value = Buffer.from('as it was')
  const campaigning = other.session.election(name).campaign(value)
  const proclaiming = leadership.proclaim(value)
  value.fill('x')
  await proclaiming
  t.is((await etcd.election(name).leader())!.text(), 'as it was')
  await leadership.resign()
  await campaigning
  t.is((await etcd.election(name).leader())!.text(), 'as it was')
})

test('an attempt to proclaim that is applied late does not bring its value back', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, name)))
  const proclaiming = leadership.proclaim('1')
  const late = await stopped.caught()
  stopped.off()
  late.lose()
  await proclaiming
  await leadership.proclaim('2')
  const { succeeded } = await late.apply()
  t.false(succeeded)
  t.is((await etcd.election(name).leader())!.text(), '2')
})

test('a proclamation nobody waits for any more does not come after a later one', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, name)))
  const leaving = new AbortController()
  const proclaiming = leadership.proclaim('1', { signal: leaving.signal })
  const late = await stopped.caught()
  stopped.off()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(proclaiming, { message: 'leaves' })
  t.is(Buffer.from(leadership.value).toString(), '0')
  await leadership.proclaim('2')
  t.false((await late.apply()).succeeded)
  t.is((await etcd.election(name).leader())!.text(), '2')
})

test('whoever gives up a proclamation that waits for another is told at once, and it is never sent', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  const stopped = net.stopRequests(methods.txn, creates(keyIn(session, name)))
  const first = leadership.proclaim('1')
  const leaving = new AbortController()
  const second = leadership.proclaim('2', { signal: leaving.signal })
  const call = await stopped.caught()
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(second, { message: 'leaves' })
  await call.deliver()
  await first
  await quiet(net)
  t.is(stopped.count, 1)
})

test('somebody else may have written the key: a proclamation replaces that', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  await etcd.put(leadership.key, 'theirs', { lease: session.leaseId })
  await leadership.proclaim('1')
  t.is((await etcd.election(name).leader())!.text(), '1')
  await etcd.put(leadership.key, 'without a lease')
  await t.throwsAsync(leadership.proclaim('2'), { code: 'LOCK_LOST' })
})

test('the time given to a proclamation is that of all its requests together', async t => {
  const HOUR_MS = 3_600_000
  const runtime = testRuntime()
  const { etcd, net, session } = await sessionPlayer(t, server(), { ttl: 36_000 }, { runtime })
  const leadership = await session.election(nameOf(t)).campaign('0')
  await etcd.put(leadership.key, 'theirs', { lease: session.leaseId })
  const answers = net.stopAnswers(methods.txn)
  const proclaiming = t.throwsAsync(leadership.proclaim('1', { timeoutMs: HOUR_MS }), {
    instanceOf: EtcdError,
  })
  const refused = await answers.caught()
  net.vanish()
  runtime.stall(HOUR_MS)
  await refused.deliver()
  await turns()
  t.is(await stateOf(proclaiming), 'fulfilled')
})

test('resigning twice, and after a loss, is quiet', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign()
  await Promise.all([leadership.resign(), leadership.resign()])
  t.true(EtcdError.is(leadership.signal.reason, 'LOCK_RELEASED'))
  await t.throwsAsync(leadership.proclaim('1'), { code: 'LOCK_RELEASED' })
  const again = await session.election(name).campaign()
  t.true(again.fencingToken > leadership.fencingToken)
  await etcd.delete(again.key)
  await again.resign()
})

test('a campaign whose answer was lost leads with its own key, and tells nothing twice', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const stopped = net.stopAnswers(methods.txn, creates(keyIn(session, name)))
  const campaigning = session.election(name).campaign('me')
  const call = await stopped.caught()
  stopped.off()
  const { header } = (await call.apply()) as TxnResponse
  call.lose()
  const leadership = await campaigning
  t.is(leadership.fencingToken, header!.revision)
  t.is((await etcd.get(leadership.key))!.version, 1n)
})

test('a campaign that finds the place of an earlier holder of the lease says what it wants to say', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('old')
  const lease = await session.orphan()
  t.false(first.held)
  const resumed = await etcd.session({ resume: lease })
  const before = net.sent.length
  const leadership = await resumed.election(name).campaign('new')
  t.is(leadership.fencingToken, first.fencingToken)
  t.is((await etcd.election(name).leader())!.text(), 'new')
  t.is(net.sent.length - before, 3, 'one to campaign, one to proclaim, and ours to look')
  await leadership.proclaim('newer')
  t.is((await etcd.election(name).leader())!.text(), 'newer')
})

test('a campaign that loses its adopted key before it could say its value does not lead', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('old')
  const resumed = await etcd.session({ resume: await session.orphan() })
  const stopped = net.stopRequests(methods.txn, saysOnly(keyIn(session, name)))
  const campaigning = t.throwsAsync(resumed.election(name).campaign('new'))
  const call = await stopped.caught()
  stopped.off()
  await etcd.delete(first.key)
  await call.deliver()
  t.true(EtcdError.is(await campaigning, 'LOCK_LOST'))
  await resumed.close()
  t.is(await etcd.election(name).leader(), undefined)
})

test('a leadership left by orphan is resumed with its key and token, and resigned by whoever resumed it', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const { key, fencingToken: revision } = await session.election(name).campaign('me')
  const resumed = await other.etcd.session({ resume: await session.orphan() })
  const election = resumed.election(name)
  t.is(await election.resume({ key, revision: revision + 1n }), undefined)
  const before = other.net.sent.length
  const leadership = (await election.resume({ key, revision }))!
  t.is(other.net.sent.length, before + 1)
  t.is(leadership.fencingToken, revision)
  t.is(Buffer.from(leadership.value).toString(), 'me')
  t.true(leadership.held)
  await leadership.proclaim('still me')
  t.is((await etcd.election(name).leader())!.text(), 'still me')
  await leadership.resign()
  t.is(await etcd.election(name).leader(), undefined)
  t.is(await election.resume({ key, revision }), undefined, 'it is gone')
})

for (const how of ['resumes', 'campaigns with what was left to it'] as const) {
  test(`whoever ${how} is heard at once while nobody says whether its session outlived the sleep of its machine`, async t => {
    const runtime = testRuntime()
    const { session } = await sessionPlayer(t, server())
    const { etcd, net } = await player(t, server(), { runtime })
    const name = nameOf(t)
    const { key, fencingToken: revision } = await session.election(name).campaign('me')
    const resumed = await etcd.session({ resume: await session.orphan() })
    const stopped = net.stopAnswers(methods.txn)
    const leaving = new AbortController()
    const { signal } = leaving
    const election = resumed.election(name)
    const asked = t.throwsAsync(
      how === 'resumes'
        ? election.resume({ key, revision }, { signal })
        : election.campaign('new', { signal }),
      { message: 'enough' },
    )
    if (how !== 'resumes') await (await stopped.caught()).deliver()
    const answer = await stopped.caught(how === 'resumes' ? 1 : 2)
    stopped.off()
    const renewals = net.stopMessages(methods.leaseKeepAlive)
    runtime.sleep(60_000)
    await answer.deliver()
    const renewal = await renewals.caught()
    await quiet(net)
    t.is(resumed.state, 'suspended')
    leaving.abort(new Error('enough'))
    await turns()
    t.is(await stateOf(asked), 'fulfilled')
    renewals.off()
    renewal()
    await resumed.close()
  })
}

test('only what leads is resumed: a place in the line is not, and stays', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  await session.election(name).campaign('leader')
  // The place of a process in another language, which has left its lease.
  const { id } = await etcd.lease.grant(60)
  const key = `${name}/${id.toString(16)}`
  const { revision } = await etcd.put(key, 'follower', { lease: id })
  const resumed = await other.etcd.session({ resume: id })
  t.is(await resumed.election(name).resume({ key: Buffer.from(key), revision }), undefined)
  t.is((await keysOf(etcd, name)).length, 2)
  const campaigning = resumed.election(name).campaign('follower')
  await session.close()
  t.is((await campaigning).fencingToken, revision)
})

test('what goes with another lease is refused before anything is sent', async t => {
  const { net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const before = net.sent.length
  const key = Buffer.from(`${name}/7`)
  await t.throwsAsync(session.election(name).resume({ key, revision: 3n }), { instanceOf: RangeError })
  await t.throwsAsync(session.election(name).resume(undefined as never), {
    instanceOf: TypeError,
    message: /^resume: takes \{ key, revision \}/,
  })
  await t.throwsAsync(session.election(name).resume({ key, revision: 3 as unknown as bigint }), {
    instanceOf: TypeError,
  })
  await t.throwsAsync(session.election(name).campaign('me', null as never), { message: /^campaign: / })
  await t.throwsAsync(session.election(name).campaign(7 as unknown as string), { instanceOf: TypeError })
  await t.throwsAsync(session.election(name).campaign('me', { timeoutMs: 3 } as object), {
    instanceOf: TypeError,
  })
  t.throws(() => session.election(''), { instanceOf: RangeError })
  t.throws(() => session.election(name).observe({ signal: 1 as unknown as AbortSignal }), {
    instanceOf: TypeError,
  })
  t.is(net.sent.length, before)
})

test('a token given out in this process is not given out by resume', async t => {
  const { session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('me')
  const resuming = session.election(name).resume({ key: leadership.key, revision: leadership.fencingToken })
  await turns()
  t.is(await stateOf(resuming), 'pending', 'it waits for the one who leads')
  await leadership.resign()
  t.is(await resuming, undefined)
})

test('an observer sees the leader there is, every proclamation, vacancies and the next leader, in order', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('a1')
  const seen = etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), 'a1')
  await first.proclaim('a2')
  t.is(wordsOf(await seen.next()), 'a2')
  await first.proclaim('a3')
  await first.proclaim('a3')
  t.is(wordsOf(await seen.next()), 'a3')
  t.is(wordsOf(await seen.next()), 'a3')
  const second = other.session.election(name).campaign('b1')
  await line(etcd, name, 2)
  await first.resign()
  await (await second).proclaim('b2')
  await (await second).resign()
  await session.election(name).campaign('a4')
  const words: (string | undefined)[] = []
  while (words.at(-1) !== 'a4') words.push(wordsOf(await seen.next()))
  t.deepEqual(words, ['b1', 'b2', undefined, 'a4'])
  await seen.return!()
})

test('an observer of an election nobody stands for sees that nobody leads, once', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const seen = etcd.election(name).observe()
  t.is(net.watches.length, 0, 'nothing is sent before the loop begins')
  t.is(wordsOf(await seen.next()), undefined)
  const next = seen.next()
  await etcd.put(`${name}x`, 'a neighbour')
  await session.election(name).campaign('me')
  t.is(wordsOf(await next), 'me')
  await seen.return!()
})

test('what somebody says who only waits is no news until it leads', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('first')
  const seen = etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), 'first')
  const second = other.session.election(name).campaign('second')
  await line(etcd, name, 2)
  await etcd.put(keyIn(other.session, name), 'second, changed', { lease: other.session.leaseId })
  await first.resign()
  t.is(wordsOf(await seen.next()), 'second, changed')
  await (await second).resign()
  await seen.return!()
})

test('leaving the loop leaves no watch and no listener', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await session.election(name).campaign('me')
  const leaving = new AbortController()
  for await (const leader of etcd.election(name).observe({ signal: leaving.signal })) {
    t.is(leader?.text(), 'me')
    break
  }
  await turns()
  t.false(net.watches.some(({ key }) => Buffer.from(key).toString() === `${name}/`))
})

test('a signal ends an observation with its reason, whatever was not taken yet', async t => {
  const { etcd, net, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await session.election(name).campaign('me')
  const leaving = new AbortController()
  const seen = etcd.election(name).observe({ signal: leaving.signal })
  await seen.next()
  const next = t.throwsAsync(seen.next(), { message: 'leaves' })
  leaving.abort(new Error('leaves'))
  await next
  t.deepEqual(await seen.next(), { done: true, value: undefined })
  await turns()
  t.deepEqual(
    net.watches.filter(({ key }) => Buffer.from(key).toString() === `${name}/`),
    [],
  )
  const gone = etcd.election(name).observe({ signal: leaving.signal })
  await t.throwsAsync(gone.next(), { message: 'leaves' })
})

test('an observer misses nothing while its connection is broken', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const observer = await player(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('0')
  const seen = observer.etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), '0')
  await observer.net.watching(({ key }) => Buffer.from(key).toString() === `${name}/`)
  observer.net.cutStreams(methods.watch)
  for (let n = 1; n <= 20; n++) {
    if (n % 7 === 0) observer.net.cutStreams(methods.watch)
    await first.proclaim(String(n))
  }
  await first.resign()
  const again = await session.election(name).campaign('last')
  const words: (string | undefined)[] = []
  while (words.at(-1) !== 'last') words.push(wordsOf(await seen.next()))
  t.deepEqual(words, [...Array.from({ length: 20 }, (_, n) => String(n + 1)), undefined, 'last'])
  await again.resign()
  await seen.return!()
  await etcd.delete('nothing')
})

test('an observer that was not told of a change finds it when it looks again', async t => {
  const runtime = testRuntime()
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const observer = await player(t, server(), { runtime })
  const name = nameOf(t)
  const first = await session.election(name).campaign('first')
  const seen = observer.etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), 'first')
  await observer.net.watching(({ key }) => Buffer.from(key).toString() === `${name}/`)
  const second = other.session.election(name).campaign('second')
  await line(etcd, name, 2)
  const lost = observer.net.dropEvents(isDeletionOf(keyIn(session, name)))
  await first.resign()
  await second
  await lost.caught()
  const next = seen.next()
  await turns()
  t.is(await stateOf(next), 'pending')
  t.is(runtime.fire(30_000), 1)
  await quiet(observer.net)
  lost.off()
  t.is(runtime.fire(5000), 1)
  t.is(wordsOf(await next), 'second')
  await seen.return!()
})

test('an observer that was not told of a change finds it, though it was told of a later one', async t => {
  const { runtime, observer, isLine, seen, second } = await missedTheEnd(t)
  const next = seen.next()
  t.is(runtime.fire(30_000), 1)
  await quiet(observer.net)
  t.is(runtime.fire(5000), 1)
  await observer.net.watching(isLine, 2)
  t.is(await stateOf(next), 'pending', 'another watch may still tell it')
  t.is(runtime.fire(30_000), 1)
  await quiet(observer.net)
  t.is(runtime.fire(5000), 1)
  t.is(wordsOf(await next), 'leads')
  await second.proclaim('leads on')
  t.is(wordsOf(await seen.next()), 'leads on')
  t.is(runtime.fire(30_000), 1, 'it looks again')
  await seen.return!()
})

test('an observer that looks for a change it was not told of has found it with the next one', async t => {
  const { runtime, observer, isLine, seen, second } = await missedTheEnd(t)
  t.is(runtime.fire(30_000), 1)
  await quiet(observer.net)
  t.is(runtime.fire(5000), 1)
  await observer.net.watching(isLine, 2)
  await second.proclaim('leads on')
  t.is(wordsOf(await seen.next()), 'leads')
  t.is(wordsOf(await seen.next()), 'leads on')
  await seen.return!()
})

test('an observer whose watch is late when it looks again skips nothing', async t => {
  const runtime = testRuntime()
  const { session } = await sessionPlayer(t, server())
  const observer = await player(t, server(), { runtime })
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  const seen = observer.etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), '0')
  const isOurs = ({ key }: WatchCreateRequest) => Buffer.from(key).toString() === `${name}/`
  await observer.net.watching(isOurs)
  const deaf = observer.net.stopWatches(isOurs)
  for (let n = 1; n <= 3; n++) await leadership.proclaim(String(n))
  await deaf.caught()
  deaf.off()
  t.is(runtime.fire(30_000), 1)
  await quiet(observer.net)
  t.is(runtime.fire(5000), 1)
  for (let n = 1; n <= 3; n++) t.is(wordsOf(await seen.next()), String(n))
  await seen.return!()
})

test('a slow observer holds nothing up and sees everything in order', async t => {
  t.timeout(60_000)
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('0')
  const seen = etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), '0')
  const last = 600
  for (let n = 1; n <= last; n++) await leadership.proclaim(String(n))
  for (let n = 1; n <= last; n++) t.is(wordsOf(await seen.next()), String(n))
  await seen.return!()
})

test('an observer rejects when its client is closed', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const seen = etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), undefined)
  const next = t.throwsAsync(seen.next(), { code: 'CLIENT_CLOSED' })
  await etcd.close()
  await next
})

test('a namespace has elections of its own', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const inside = etcd.namespace(`${name}-inside/`)
  const session = await inside.session()
  const leadership = await session.election('/e').campaign('me')
  t.is((await inside.election('/e').leader())!.text(), 'me')
  t.is((await etcd.election(`${name}-inside//e`).leader())!.text(), 'me')
  t.true(await stateOf(leadership.proclaim('x')).then(() => true))
})

/** An observer that was not told that the first leader has gone, and then was told what the second one says. */
async function missedTheEnd(t: ExecutionContext) {
  const runtime = testRuntime()
  const { etcd, session } = await sessionPlayer(t, server())
  const other = await sessionPlayer(t, server())
  const observer = await player(t, server(), { runtime })
  const name = nameOf(t)
  const first = await session.election(name).campaign('first')
  const seen = observer.etcd.election(name).observe()
  t.is(wordsOf(await seen.next()), 'first')
  const isLine = ({ key }: WatchCreateRequest) => Buffer.from(key).toString() === `${name}/`
  await observer.net.watching(isLine)
  const campaigning = other.session.election(name).campaign('second')
  await line(etcd, name, 2)
  const lost = observer.net.dropEvents(isDeletionOf(keyIn(session, name)))
  await first.resign()
  const second = await campaigning
  await lost.caught()
  lost.off()
  const told = new Promise<void>(resolve => {
    // Nothing is dropped: it only looks.
    const passing = observer.net.dropEvents(({ kv }) => {
      if (Buffer.from(kv!.value).toString() === 'leads') resolve()
      return false
    })
    t.teardown(() => passing.off())
  })
  await second.proclaim('leads')
  await told
  await turns()
  return { runtime, observer, isLine, seen, second }
}

/** Does it write that key and no other, without reading the line? */
function saysOnly(key: string): (txn: TxnRequest) => boolean {
  return txn => creates(key)(txn) && txn.success.length === 1 && !deletes(key)(txn)
}

function wordsOf({ value }: IteratorResult<LeaderInfo | undefined>): string | undefined {
  return (value as LeaderInfo | undefined)?.text()
}

function nameOf(t: ExecutionContext): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}election`
  return context.name
}
