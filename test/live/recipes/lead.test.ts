import test, { type ExecutionContext } from 'ava'
import {
  type Etcd,
  EtcdError,
  type LeadOptions,
  type LeadState,
  prefix,
  type Term,
  type WatchedRevision,
} from '../../../src/index.ts'
import { deferred } from '../../../src/support/deferred.ts'
import { text } from '../../../src/wire/bytes.ts'
import { FilterType, type TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import type { MeddlingTransport } from '../../support/meddling-transport.ts'
import { aborted, keysOf, player, quiet, stateOf, testRuntime, turns } from '../../traits/arena.ts'

const server = useEtcd(test)

test('lead runs its function while it leads, under the layout of Go, and resolves when it is stopped', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { owner: 'ada' })
  const term = await ada.term(1)
  t.true(term.held)
  const seen = (await etcd.election(name).leader())!
  t.is(seen.owner, 'ada')
  t.is(seen.createRevision, term.fencingToken)
  t.deepEqual(seen.key, term.key)
  await ada.stop()
  t.true(term.signal.aborted)
  t.is(await etcd.election(name).leader(), undefined)
  t.deepEqual(ada.kinds(), ['campaigning', 'leading', 'draining', 'stopped'])
})

test('a free election costs one round trip once there is a session', async t => {
  const { etcd, net } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  t.is(net.count(methods.txn), 1)
  t.is(net.count(methods.range), 0)
  await ada.stop()
})

test('one signal that has aborted already is enough for nothing to be sent', async t => {
  const { etcd, net } = await player(t, server())
  const before = net.sent.length
  const stopped = AbortSignal.abort()
  await etcd.lead(nameOf(t), () => t.fail('leads'), { signal: stopped })
  t.is(net.sent.length, before)
})

test('misuse is told before anything is sent', async t => {
  const { etcd, net } = await player(t, server())
  const name = nameOf(t)
  const before = net.sent.length
  const body = () => {}
  await t.throwsAsync(etcd.lead('', body), { instanceOf: RangeError })
  await t.throwsAsync(etcd.lead(name, 1 as unknown as () => void), { instanceOf: TypeError })
  await t.throwsAsync(etcd.lead(name, body, { priority: 0.5 }), { instanceOf: RangeError })
  await t.throwsAsync(etcd.lead(name, body, { preempt: 'yes' as 'never' }), { instanceOf: TypeError })
  await t.throwsAsync(etcd.lead(name, body, { ttl: 0 }), { instanceOf: RangeError })
  await t.throwsAsync(etcd.lead(name, body, { gracePeriod: 1 } as object), { instanceOf: TypeError })
  await t.throwsAsync(etcd.lead(name, body, { onState: 1 as unknown as () => void }), {
    instanceOf: TypeError,
  })
  t.is(net.sent.length, before)
})

test('whoever resigns makes the next candidate the leader, at one revision, with a larger token', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const revisions = await record(etcd, name)
  const ada = leader(t, etcd, name, { owner: 'ada', value: 'ada leads' })
  const first = await ada.term(1)
  const ben = leader(t, etcd, name, { owner: 'ben', value: 'ben leads' })
  await candidates(etcd, name, 1)
  await ada.stop()
  const second = await ben.term(1)
  t.true(second.fencingToken > first.fencingToken)
  t.is(text(second.value), 'ben leads')
  t.is((await etcd.election(name).leader())!.text(), 'ben leads')
  await candidates(etcd, name, 0)
  await ben.stop()
  const log = await revisions.until(2)
  // From the first leader to the last, at every revision there is exactly one.
  const counts = leadersAfter(log)
  t.deepEqual(new Set(counts.slice(0, -1)), new Set([1]))
  t.is(counts.at(-1), 0)
})

test('a successor learns that it leads from the event alone', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, other.etcd, name)
  await candidates(etcd, name, 1)
  await other.net.watching(({ key }) => text(key) === `${name}/`)
  await other.net.watching(({ key }) => text(key) === `${name}.candidates/`)
  await quiet(other.net)
  const before = other.net.sent.length
  const stopping = ada.stop()
  await ben.term(1)
  t.is(other.net.sent.length, before)
  await stopping
  await ben.stop()
})

test('a successor that hears only that it is no candidate any more asks, and leads', async t => {
  const { etcd } = await player(t, server())
  const deaf = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, deaf.etcd, name)
  await candidates(etcd, name, 1)
  await deaf.net.watching(({ key }) => text(key) === `${name}/`)
  await quiet(deaf.net)
  const kept = deaf.net.stopWatches(({ key }) => text(key) === `${name}/`)
  await ada.stop()
  const term = await ben.term(1)
  t.is((await etcd.election(name).leader())!.createRevision, term.fencingToken)
  kept.release()
  await ben.stop()
})

test('a crashed leader is followed by the best candidate, when the cluster has ended its lease', async t => {
  const { etcd } = await player(t, server())
  const favourite = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { owner: 'ada' })
  const first = await ada.term(1)
  const low = leader(t, etcd, name, { owner: 'low' })
  await candidates(etcd, name, 1)
  const high = leader(t, favourite.etcd, name, { owner: 'high', priority: 5 })
  // Before it sees the leaders it cannot move, and is passed by.
  await favourite.net.watching(({ key }) => text(key) === `${name}/`)
  await favourite.net.watching(({ key }) => text(key) === `${name}.candidates/`)
  await quiet(favourite.net)
  await etcd.lease.revoke((await etcd.election(name).leader())!.leaseId)
  const second = await high.term(1)
  t.true(second.fencingToken > first.fencingToken)
  t.is(low.terms.length, 0)
  await Promise.all([low.stop(), high.stop(), ada.stop()])
})

test('of equal priority the earlier candidate leads', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const names = ['one', 'two', 'three']
  const all = []
  for (const [index, owner] of names.entries()) {
    all.push(leader(t, etcd, name, { owner }))
    await candidates(etcd, name, index + 1)
  }
  let token = 0n
  for (const one of [ada, ...all]) {
    const { fencingToken } = await one.term(1)
    t.true(fencingToken > token)
    token = fencingToken
    await one.stop()
  }
})

test('a favourite that does not move is passed by', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  // It has a lease and a priority, and nobody behind it.
  const { id } = await etcd.lease.grant(60)
  const dead = JSON.stringify({ v: 1, priority: 9 })
  await etcd.put(`${name}.candidates/${id.toString(16)}`, dead, { lease: id })
  const ben = leader(t, etcd, name, { owner: 'ben' })
  await candidates(etcd, name, 2)
  await etcd.delete((await etcd.election(name).leader())!.key)
  await ben.term(1)
  t.is((await etcd.election(name).leader())!.owner, 'ben')
  await Promise.all([ada.stop(), ben.stop()])
})

test('keys below the candidates that are none are nobody to wait for', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  await etcd.put(`${name}.candidates/x`, '{"v":1,"priority":100}')
  const { id } = await etcd.lease.grant(60)
  await etcd.put(`${name}.candidates/${id.toString(16)}`, 'no JSON', { lease: id })
  const ada = leader(t, etcd, name)
  t.true((await ada.term(1)).held)
  await ada.stop()
})

test('whoever uses the plain election is served before the candidates, and nobody leads beside it', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  await using session = await etcd.session()
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, etcd, name)
  await candidates(etcd, name, 1)
  const campaigning = session.election(name).campaign('plain')
  while ((await etcd.election(name).contenders()).length !== 2);
  await ada.stop()
  const leadership = await campaigning
  t.is(ben.terms.length, 0)
  await leadership.resign()
  t.true((await ben.term(1)).fencingToken > leadership.fencingToken)
  const again = session.election(name).campaign('plain')
  await ben.stop()
  t.true((await again).held)
})

test('the next term does not begin before the function of the last has settled', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  let finish = () => {}
  const slow = new Promise<void>(resolve => {
    finish = resolve
  })
  const ada = leader(t, etcd, name, { backoff: { initialMs: 0, maxMs: 0 } }, async term => {
    if (ada.terms.length === 1) {
      await aborted(term.signal)
      await slow
    } else await aborted(term.signal)
  })
  const first = await ada.term(1)
  await etcd.delete(first.key)
  await aborted(first.signal)
  t.false(first.held)
  for (let n = 0; n < 50; n++) await etcd.get('nothing')
  t.is(await stateOf(ada.term(2)), 'pending')
  t.is(await etcd.election(name).leader(), undefined, 'it does not even stand for it')
  finish()
  const second = await ada.term(2)
  t.true(second.fencingToken > first.fencingToken)
  await ada.stop()
})

test('a lost session is replaced, and it leads again', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  const first = await ada.term(1)
  const { leaseId } = (await etcd.election(name).leader())!
  await etcd.lease.revoke(leaseId)
  await aborted(first.signal)
  const second = await ada.term(2)
  t.not((await etcd.election(name).leader())!.leaseId, leaseId)
  t.true(second.fencingToken > first.fencingToken)
  t.true(ada.states.some(state => state.kind === 'resting' && EtcdError.is(state.error)))
  await ada.stop()
})

test('after its process stood still for longer than the lease a leader knows at once that it does not lead', async t => {
  const runtime = testRuntime()
  const { etcd } = await player(t, server(), { runtime })
  const other = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { ttl: 5 })
  const first = await ada.term(1)
  const ben = leader(t, other.etcd, name)
  await candidates(other.etcd, name, 1)
  runtime.stall(5000)
  // Before any timer has run.
  t.false(first.held)
  t.true(EtcdError.is(first.signal.reason, 'SESSION_LOST'))
  t.true((await ben.term(1)).fencingToken > first.fencingToken)
  await Promise.all([ada.stop(), ben.stop()])
})

test('whoever is made the leader while its session is over does not begin a term', async t => {
  const runtime = testRuntime()
  const { etcd, net } = await player(t, server(), { runtime })
  const other = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, other.etcd, name)
  await ada.term(1)
  const ben = leader(t, etcd, name, { ttl: 5 })
  await candidates(other.etcd, name, 1)
  await net.watching(({ key }) => text(key) === `${name}/`)
  await net.watching(({ key }) => text(key) === `${name}.candidates/`)
  await quiet(net)
  const kept = net.stopWatches(({ key }) => text(key).startsWith(name))
  await ada.stop()
  await kept.caught(2)
  runtime.stall(5000)
  kept.release()
  await turns()
  t.deepEqual(
    ben.terms.map(({ held }) => held).filter(held => !held),
    [],
  )
  const term = await ben.term(1)
  t.true(term.held)
  t.is((await other.etcd.election(name).leader())!.createRevision, term.fencingToken)
  await ben.stop()
})

test('it still leads until the function has put things in order, and no longer than the grace period', async t => {
  const runtime = testRuntime()
  const { etcd } = await player(t, server(), { runtime })
  const gracePeriodMs = 3_600_000
  const name = nameOf(t)
  const during: boolean[] = []
  let finish = () => {}
  const slow = new Promise<void>(resolve => {
    finish = resolve
  })
  const ada = leader(t, etcd, name, { gracePeriodMs }, async term => {
    await aborted(term.signal)
    for (let n = 0; n < 10; n++) await etcd.get('nothing')
    during.push(term.held)
    await term.txn({ then: [] })
    runtime.fire(gracePeriodMs)
    await slow
  })
  const term = await ada.term(1)
  const stopping = ada.stop()
  await aborted(term.signal)
  while ((await etcd.election(name).leader()) !== undefined);
  t.deepEqual(during, [true])
  t.false(term.held)
  await turns()
  t.is(await stateOf(stopping), 'pending', 'it resolves when the function has settled')
  finish()
  await stopping
})

test('an orderly function is not kept waiting for the rest of the grace period', async t => {
  const { etcd } = await player(t, server())
  const ada = leader(t, etcd, nameOf(t), { gracePeriodMs: 3_600_000 })
  await ada.term(1)
  await ada.stop()
  t.pass()
})

test('a function that returns gives the leadership up, and stands again', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { backoff: { initialMs: 1, maxMs: 2 } }, async () => {})
  const [first, second] = [await ada.term(1), await ada.term(2)]
  t.true(second.fencingToken > first.fencingToken)
  t.true(first.signal.aborted)
  await ada.stop()
})

test('a function that fails is told of, and it stands again', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { backoff: { initialMs: 1, maxMs: 2 } }, async term => {
    if (ada.terms.length === 1) throw new Error('broken')
    await aborted(term.signal)
  })
  await ada.term(2)
  const resting = ada.states.find(state => state.kind === 'resting')
  t.like(resting, { error: { message: 'broken' } })
  await ada.stop()
})

test('a function that fails ends lead, if that is wanted, and nobody leads then', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  await t.throwsAsync(
    etcd.lead(
      name,
      () => {
        throw new Error('broken')
      },
      { onError: 'reject' },
    ),
    { message: 'broken' },
  )
  t.is(await etcd.election(name).leader(), undefined)
})

test('a function that fails after it was told to stop has not failed', async t => {
  const { etcd } = await player(t, server())
  const ada = leader(t, etcd, nameOf(t), { onError: 'reject' }, async term => {
    throw await aborted(term.signal)
  })
  await ada.term(1)
  await t.notThrowsAsync(ada.stop())
})

test('whoever is not healthy makes room, and leads again when it is', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  let isWell = true
  const ada = leader(t, etcd, name, { healthy: () => isWell, healthyEveryMs: 10 })
  const first = await ada.term(1)
  const ben = leader(t, etcd, name)
  await candidates(etcd, name, 1)
  isWell = false
  await aborted(first.signal)
  await ben.term(1)
  while (ada.states.at(-1)?.kind !== 'unhealthy') await turns()
  await candidates(etcd, name, 0)
  isWell = true
  await candidates(etcd, name, 1)
  await ben.stop()
  t.true((await ada.term(2)).fencingToken > first.fencingToken)
  await ada.stop()
})

test('who waits and is not healthy is no candidate, and neither is one whose check throws', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  let isWell = true
  const check = () => {
    if (!isWell) throw new Error('ill')
    return true
  }
  const ben = leader(t, etcd, name, { healthy: check, healthyEveryMs: 10 })
  await candidates(etcd, name, 1)
  isWell = false
  await candidates(etcd, name, 0)
  await ada.stop()
  t.is(ben.terms.length, 0)
  t.is(await etcd.election(name).leader(), undefined)
  isWell = true
  await ben.term(1)
  await ben.stop()
})

test('lead may be stopped by whoever hears of any of its states', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  for (const kind of ['unhealthy', 'campaigning', 'leading', 'resting'] as const) {
    const leave = new AbortController()
    const states: string[] = []
    await t.notThrowsAsync(
      etcd.lead(name, () => {}, {
        signal: leave.signal,
        onState: state => {
          states.push(state.kind)
          if (state.kind === kind) leave.abort(new Error('enough'))
        },
        ...(kind === 'unhealthy' ? { healthy: () => false } : {}),
      }),
    )
    t.true(states.includes(kind), kind)
    t.is(states.at(-1), 'stopped', kind)
    t.deepEqual(await keysOf(etcd, name), [], kind)
    t.deepEqual(await keysOf(etcd, `${name}.candidates`), [], kind)
  }
})

test('a leader makes room for somebody better only if asked to, and only for one who stays', async t => {
  const runtime = testRuntime()
  const { etcd } = await player(t, server(), { runtime })
  const name = nameOf(t)
  const revisions = await record(etcd, name)
  const stabilizationMs = 61_234
  const waitsFor = async (better: number) => {
    while (runtime.pending(stabilizationMs) !== better && low.terms[0]!.held) await etcd.get('nothing')
    t.is(runtime.pending(stabilizationMs), better)
  }
  const low = leader(t, etcd, name, { owner: 'low', preempt: 'gracefully', stabilizationMs })
  await low.term(1)
  const passing = leader(t, etcd, name, { owner: 'passing', priority: 3 })
  await waitsFor(1)
  await passing.stop()
  await waitsFor(0)
  const equal = leader(t, etcd, name, { owner: 'equal' })
  await candidates(etcd, name, 1)
  const high = leader(t, etcd, name, { owner: 'high', priority: 2 })
  await waitsFor(1)
  runtime.fire(stabilizationMs)
  await high.term(1)
  t.is(passing.terms.length, 0)
  t.is(equal.terms.length, 0)
  t.is((await etcd.election(name).leader())!.owner, 'high')
  await candidates(etcd, name, 2)
  t.is(low.terms.length, 1, 'it stands again, and comes after those who waited')
  // Nobody makes room who was not asked to.
  const higher = leader(t, etcd, name, { owner: 'higher', priority: 3 })
  await candidates(etcd, name, 3)
  await turns(20)
  t.is(higher.terms.length, 0)
  await Promise.all([low.stop(), equal.stop(), higher.stop()])
  await high.stop()
  const counts = leadersAfter(await revisions.until(2))
  t.deepEqual(new Set(counts.slice(0, -1)), new Set([1]), 'never none, never two')
})

test('a leader hands over to the one it chooses, by owner or by lease', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { owner: 'ada' })
  const term = await ada.term(1)
  const ben = leader(t, etcd, name, { owner: 'ben', priority: 4 })
  await candidates(etcd, name, 1)
  const eve = leader(t, etcd, name, { owner: 'eve' })
  await candidates(etcd, name, 2)
  t.false(await term.transfer({ owner: 'nobody' }))
  t.false(await term.transfer({ leaseId: 1n }))
  t.true(term.held)
  t.false(term.signal.aborted)
  await t.throwsAsync(term.transfer({} as { owner: string }), { instanceOf: TypeError })
  t.true(await term.transfer({ owner: 'eve' }))
  t.true(EtcdError.is(term.signal.reason, 'LOCK_RELEASED'))
  const second = await eve.term(1)
  t.true(second.fencingToken > term.fencingToken)
  t.is(ben.terms.length, 0)
  await candidates(etcd, name, 2)
  const [, next] = (await etcd.range(prefix(`${name}.candidates/`))).kvs.toSorted((one, other) =>
    Number(one.createRevision - other.createRevision),
  )
  t.true(await second.transfer({ leaseId: next!.lease }))
  await ada.term(2)
  await Promise.all([ada.stop(), ben.stop(), eve.stop()])
})

test('a successor that is gone when the time has come is not waited for', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  let finish = () => {}
  const slow = new Promise<void>(resolve => {
    finish = resolve
  })
  const ada = leader(t, etcd, name, { owner: 'ada' }, async () => slow)
  const term = await ada.term(1)
  const ben = leader(t, etcd, name, { owner: 'ben' })
  const eve = leader(t, etcd, name, { owner: 'eve' })
  await candidates(etcd, name, 2)
  t.true(await term.transfer({ owner: 'ben' }))
  await ben.stop()
  t.true(term.held, 'until its function has settled it leads')
  finish()
  await eve.term(1)
  await Promise.all([ada.stop(), eve.stop()])
})

test('the function may resign by itself: the best candidate follows', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { backoff: { initialMs: 0, maxMs: 1 } })
  const term = await ada.term(1)
  const ben = leader(t, etcd, name)
  await candidates(etcd, name, 1)
  await Promise.all([term.resign(), term.resign()])
  t.true(EtcdError.is(term.signal.reason, 'LOCK_RELEASED'))
  await ben.term(1)
  await ben.stop()
  await ada.term(2)
  await ada.stop()
})

test('a value may be made of the token', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name, { value: token => `term ${token}` })
  const term = await ada.term(1)
  t.is((await etcd.election(name).leader())!.text(), `term ${term.fencingToken}`)
  await ada.stop()
})

test('metadata and values are what their owners want, also when somebody else makes them the leader', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, etcd, name, { metadata: 'none' })
  await candidates(etcd, name, 1)
  await ada.stop()
  const term = await ben.term(1)
  t.is((await etcd.get(term.key))!.text(), '')
  await term.proclaim('mine')
  t.is((await etcd.election(name).leader())!.text(), 'mine')
  const eve = leader(t, etcd, name, { value: new Uint8Array([0, 255]) })
  await candidates(etcd, name, 1)
  await ben.stop()
  await eve.term(1)
  t.deepEqual((await etcd.election(name).leader())!.value, new Uint8Array([0, 255]))
  await eve.stop()
})

test('when the client is closed lead rejects, and leaves no key', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const name = nameOf(t)
  const leading = t.throwsAsync(
    etcd.lead(name, term => aborted(term.signal)),
    { code: 'CLIENT_CLOSED' },
  )
  while ((await other.etcd.election(name).leader()) === undefined);
  await etcd.close()
  await leading
  t.is(await other.etcd.election(name).leader(), undefined)
})

test('a client that is closed again by one who hears of its closing leaves no key all the same', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const name = nameOf(t)
  const led = deferred<void>()
  let again: Promise<void> | undefined
  const leading = t.throwsAsync(
    etcd.lead(name, term => {
      term.signal.addEventListener('abort', () => {
        again = etcd.close()
      })
      led.resolve()
      return aborted(term.signal)
    }),
    { code: 'CLIENT_CLOSED' },
  )
  await led.promise
  await etcd.close()
  t.is(await other.etcd.election(name).leader(), undefined)
  await again
  t.truthy(again)
  await leading
})

test('a namespace has leaders of its own, and closing it ends them', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const inside = etcd.namespace(`${name}-inside/`)
  const leading = t.throwsAsync(
    inside.lead('/l', term => aborted(term.signal)),
    { code: 'CLIENT_CLOSED' },
  )
  while ((await inside.election('/l').leader()) === undefined);
  t.is((await keysOf(etcd, `${name}-inside//l`)).length, 1)
  await inside.close()
  await leading
  t.deepEqual(await keysOf(etcd, `${name}-inside//l`), [])
})

test('an answer to the first request that was lost makes it neither lead twice nor leave anything', async t => {
  const { etcd, net } = await player(t, server())
  const name = nameOf(t)
  const stopped = net.stopAnswers(methods.txn, writes(`${name}/`))
  const ada = leader(t, etcd, name)
  const call = await stopped.caught()
  stopped.off()
  call.lose()
  const term = await ada.term(1)
  t.is(ada.terms.length, 1)
  t.is((await etcd.get(term.key))!.createRevision, term.fencingToken)
  await quiet(net)
  // Known to be its own, it is no ghost to be looked out for.
  t.deepEqual(lookedOutFor(net, name), [])
  await ada.stop()
  t.deepEqual(await keysOf(etcd, name), [])
  t.deepEqual(await keysOf(etcd, `${name}.candidates`), [])
})

test('a candidate found to have come by an attempt without an answer is looked out for no more', async t => {
  const { etcd } = await player(t, server())
  const { etcd: other, net } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const stopped = net.stopAnswers(methods.txn, writes(`${name}/`))
  const ben = leader(t, other, name)
  const call = await stopped.caught()
  stopped.off()
  call.lose()
  await net.watching(({ key }) => text(key) === `${name}.candidates/`)
  await quiet(net)
  t.deepEqual(lookedOutFor(net, name), [])
  await ada.stop()
  t.true((await ben.term(1)).held)
  await ben.stop()
  t.deepEqual(await keysOf(etcd, `${name}.candidates`), [])
})

test("a first attempt that is applied while it rests stands in nobody's way", async t => {
  t.timeout(30_000)
  const { etcd, net } = await player(t, server())
  const name = nameOf(t)
  const stopped = net.stopRequests(methods.txn, writes(`${name}/`))
  const ada = leader(t, etcd, name, { backoff: { initialMs: 1e9, maxMs: 1e9 } }, async () => {})
  const late = await stopped.caught()
  stopped.off()
  late.lose()
  await ada.term(1)
  while (ada.states.at(-1)?.kind !== 'resting') await turns()
  await net.watching(({ key, rangeEnd }) => text(key).startsWith(`${name}/`) && rangeEnd.length === 0)
  t.true((await late.apply()).succeeded)
  const ben = leader(t, etcd, name)
  await ben.term(1)
  t.is(ada.states.at(-1)?.kind, 'resting')
  await Promise.all([ada.stop(), ben.stop()])
})

test('an attempt to stand that is applied while it rests from a failure stands in nobody’s way', async t => {
  t.timeout(30_000)
  const { etcd } = await player(t, server())
  const lost = await player(t, server(), { requestTimeoutMs: 2000 })
  const name = nameOf(t)
  const stopped = lost.net.stopRequests(methods.txn, writes(`${name}/`))
  const ada = leader(t, lost.etcd, name, { backoff: { initialMs: 1e9, maxMs: 1e9 } })
  const late = await stopped.caught()
  while (ada.states.at(-1)?.kind !== 'resting') await turns()
  await late.apply().catch(() => {})
  const ben = leader(t, etcd, name)
  await ben.term(1)
  t.is(ada.states.at(-1)?.kind, 'resting')
  await Promise.all([ada.stop(), ben.stop()])
})

test('whoever rests from a failure is no candidate', async t => {
  t.timeout(30_000)
  const { etcd } = await player(t, server())
  const lost = await player(t, server(), { requestTimeoutMs: 2000 })
  const name = nameOf(t)
  await etcd.put(`${name}/one`, '')
  const ada = leader(t, lost.etcd, name, { backoff: { initialMs: 1e9, maxMs: 1e9 } })
  await candidates(etcd, name, 1)
  await lost.net.watching(({ key }) => text(key) === `${name}/`)
  await lost.net.watching(({ key }) => text(key) === `${name}.candidates/`)
  await quiet(lost.net)
  lost.net.stopRequests(methods.txn, writes(`${name}/`))
  await etcd.delete(`${name}/one`)
  while (ada.states.at(-1)?.kind !== 'resting') await turns()
  await candidates(etcd, name, 0)
  await ada.stop()
  t.is(ada.terms.length, 0)
})

test('a candidate that has not heard of the new leader does not lead beside it', async t => {
  const { etcd } = await player(t, server())
  const deaf = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  const first = await ada.term(1)
  const ben = leader(t, etcd, name)
  await candidates(etcd, name, 1)
  const eve = leader(t, deaf.etcd, name)
  await candidates(etcd, name, 2)
  await deaf.net.watching(({ key }) => text(key) === `${name}/`)
  await deaf.net.watching(({ key }) => text(key) === `${name}.candidates/`)
  await quiet(deaf.net)
  // It hears that the leader has gone, and of nothing else.
  const kept = deaf.net.stopWatches(
    ({ key }, { events }) => text(key).startsWith(name) && events.some(({ kv }) => kv?.lease !== 0n),
  )
  const claiming = deaf.net.stopRequests(methods.txn, writes(`${name}/`))
  await etcd.delete(first.key)
  await ben.term(1)
  const claim = await claiming.caught()
  claiming.off()
  await claim.deliver()
  await quiet(deaf.net)
  t.is((await etcd.election(name).contenders()).length, 1)
  t.is(eve.terms.length, 0)
  kept.release()
  await Promise.all([ada.stop(), ben.stop()])
  await eve.term(1)
  await eve.stop()
})

test('a candidate whose claim was refused for one it never saw claims again', async t => {
  const { etcd } = await player(t, server())
  const deaf = await player(t, server())
  const name = nameOf(t)
  await etcd.put(`${name}/one`, '')
  const eve = leader(t, deaf.etcd, name)
  await deaf.net.watching(({ key }) => text(key) === `${name}/`)
  await deaf.net.watching(({ key }) => text(key) === `${name}.candidates/`)
  await quiet(deaf.net)
  // It hears that the first has gone, and of nothing else.
  const kept = deaf.net.stopWatches(
    ({ key }, { events }) => text(key) === `${name}/` && events.some(({ type }) => type === 0),
  )
  const claiming = deaf.net.stopRequests(methods.txn, writes(`${name}/`))
  await etcd.delete(`${name}/one`)
  const claim = await claiming.caught()
  claiming.off()
  await etcd.put(`${name}/other`, '')
  await kept.caught()
  kept.off()
  await claim.deliver()
  await quiet(deaf.net)
  await etcd.delete(`${name}/other`)
  t.is(eve.terms.length, 0)
  deaf.net.cutStreams(methods.watch)
  t.true((await eve.term(1)).held)
  await eve.stop()
})

test('a first attempt that is applied after the term is over makes nobody lead', async t => {
  t.timeout(30_000)
  const { etcd, net } = await player(t, server())
  const name = nameOf(t)
  const stopped = net.stopRequests(methods.txn, writes(`${name}/`))
  let hold = false
  const ada = leader(t, etcd, name, { backoff: { initialMs: 0, maxMs: 1 } }, async term => {
    if (ada.terms.length === 1) return
    hold = true
    await aborted(term.signal)
  })
  const late = await stopped.caught()
  stopped.off()
  late.lose()
  const first = await ada.term(1)
  await late.apply()
  const second = await ada.term(2)
  t.true(second.fencingToken > first.fencingToken)
  while (!hold) await turns()
  t.deepEqual((await etcd.election(name).contenders()).length, 1)
  await ada.stop()
  t.deepEqual(await keysOf(etcd, name), [])
  t.deepEqual(await keysOf(etcd, `${name}.candidates`), [])
})

test('a hand-over whose answer was lost is found done', async t => {
  const { etcd, net } = await player(t, server())
  const other = await player(t, server())
  const name = nameOf(t)
  const revisions = await record(etcd, name)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, other.etcd, name)
  await candidates(etcd, name, 1)
  const stopped = net.stopAnswers(methods.txn, handsOver(name))
  const stopping = ada.stop()
  const call = await stopped.caught()
  stopped.off()
  await ben.term(1)
  call.lose()
  await stopping
  await ben.stop()
  const counts = leadersAfter(await revisions.until(2))
  t.deepEqual(counts, [1, 1, 0])
})

test('a candidate whose key somebody deletes becomes one again', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, etcd, name)
  await candidates(etcd, name, 1)
  await etcd.delete(prefix(`${name}.candidates/`))
  await candidates(etcd, name, 1)
  await ada.stop()
  t.true((await ben.term(1)).held)
  await ben.stop()
})

test('a candidate whose key somebody writes over becomes one again, and leaves nothing', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, etcd, name, { owner: 'ben' })
  await candidates(etcd, name, 1)
  const [written] = (await etcd.range(prefix(`${name}.candidates/`))).kvs
  await etcd.put(written!.key, 'not a candidate')
  while ((await etcd.get(written!.key))?.lease !== written!.lease);
  await ada.stop()
  t.true((await ben.term(1)).held)
  await ben.stop()
  t.deepEqual(await keysOf(etcd, `${name}.candidates`), [])
})

test('a key that keeps everybody from leading is named', async t => {
  const { etcd } = await player(t, server())
  const name = nameOf(t)
  const warnings: string[] = []
  const named = new Promise<void>(resolve => {
    etcd.on('warning', ({ code, message }) => {
      if (code !== 'FOREIGN_KEY') return
      warnings.push(message)
      resolve()
    })
  })
  await etcd.put(`${name}/config`, '')
  const ada = leader(t, etcd, name)
  await named
  t.is(ada.terms.length, 0)
  await etcd.delete(`${name}/config`)
  await ada.term(1)
  await ada.stop()
  t.is(warnings.length, 1)
  t.true(warnings[0]!.includes(`${name}/config`))
})

test('lead that was stopped resolves, also when the client is closed before it has ended', async t => {
  const { etcd } = await player(t, server())
  const other = await player(t, server())
  const name = nameOf(t)
  const stopping = new AbortController()
  const leading = etcd.lead(name, term => aborted(term.signal), { signal: stopping.signal })
  while ((await other.etcd.election(name).leader()) === undefined);
  stopping.abort(new Error('enough'))
  await etcd.close()
  await t.notThrowsAsync(leading)
  t.is(await other.etcd.election(name).leader(), undefined)
})

test('stopping one who only waits leaves nothing of it', async t => {
  const { etcd, net } = await player(t, server())
  const name = nameOf(t)
  const ada = leader(t, etcd, name)
  await ada.term(1)
  const ben = leader(t, etcd, name)
  await candidates(etcd, name, 1)
  await ben.stop()
  await candidates(etcd, name, 0)
  t.deepEqual(ben.kinds(), ['campaigning', 'stopped'])
  await ada.stop()
  await turns()
  t.deepEqual(
    net.watches.filter(({ key }) => text(key).startsWith(name)),
    [],
  )
  t.deepEqual(await keysOf(etcd, name), [])
})

/** Somebody who leads until told to stop, with all that happened to it. */
interface Player {
  readonly terms: readonly Term[]
  readonly states: readonly LeadState[]
  kinds(): readonly string[]
  /** Resolves with the n-th term, counted from 1, when its function runs. */
  term(n: number): Promise<Term>
  stop(): Promise<void>
}

function leader(
  t: ExecutionContext,
  etcd: Etcd,
  name: string,
  options: LeadOptions = {},
  body: (term: Term) => unknown = term => aborted(term.signal),
): Player {
  const terms: Term[] = []
  const states: LeadState[] = []
  const stopping = new AbortController()
  const waiting: { readonly n: number; readonly resolve: (term: Term) => void }[] = []
  const leading = etcd.lead(
    name,
    term => {
      terms.push(term)
      for (const { n, resolve } of waiting) if (n <= terms.length) resolve(terms[n - 1]!)
      return body(term)
    },
    { signal: stopping.signal, onState: state => states.push(state), ...options },
  )
  leading.catch(error => {
    if (!EtcdError.is(error, 'CLIENT_CLOSED')) t.fail(String(error))
  })
  return {
    terms,
    states,
    kinds: () => states.map(({ kind }) => kind),
    term: n =>
      new Promise(resolve => {
        const term = terms[n - 1]
        if (term !== undefined) resolve(term)
        else waiting.push({ n, resolve })
      }),
    stop: () => {
      stopping.abort(new Error('enough'))
      return leading
    },
  }
}

/** Resolves when there are so many candidates. */
async function candidates(etcd: Etcd, name: string, count: number): Promise<void> {
  while ((await etcd.range(prefix(`${name}.candidates/`))).kvs.length !== count);
}

/** Everything that happens to the leaders' keys from now on. */
async function record(
  etcd: Etcd,
  name: string,
): Promise<{ until(deletions: number): Promise<readonly WatchedRevision[]> }> {
  const watch = etcd.watch(prefix(`${name}/`))
  await watch.ready
  return {
    until: async deletions => {
      const log: WatchedRevision[] = []
      let gone = 0
      for await (const revision of watch.revisions()) {
        log.push(revision)
        gone += revision.events.filter(({ type }) => type === 'delete').length
        if (gone === deletions) break
      }
      return log
    },
  }
}

/** How many leaders there are after each of these revisions. */
function leadersAfter(log: readonly WatchedRevision[]): readonly number[] {
  const leaders = new Set<string>()
  return log.map(({ events }) => {
    for (const event of events) {
      if (event.type === 'put') leaders.add(event.kv.name())
      else leaders.delete(text(event.key))
    }
    return leaders.size
  })
}

/** The keys of the election that are looked out for in case they appear. */
function lookedOutFor(net: MeddlingTransport, name: string): readonly string[] {
  const forPuts = net.watches.filter(({ filters }) => filters.includes(FilterType.noDelete))
  return forPuts.map(({ key }) => text(key)).filter(key => key.startsWith(name))
}

function writes(prefixed: string): (txn: TxnRequest) => boolean {
  return ({ success }) =>
    success.some(({ request }) => request?.kind === 'put' && text(request.value.key).startsWith(prefixed))
}

function handsOver(name: string): (txn: TxnRequest) => boolean {
  return txn => txn.success.length === 3 && writes(`${name}/`)(txn)
}

function nameOf(t: ExecutionContext): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}leader`
  return context.name
}
