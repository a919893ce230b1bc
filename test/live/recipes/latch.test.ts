import test, { type ExecutionContext } from 'ava'
import { Latch } from '../../../recipes/latch.ts'
import { EtcdError, prefix } from '../../../src/index.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { type Player, player, quiet, stateOf, testRuntime, turns, watchOfKey } from '../../traits/arena.ts'

const server = useEtcd(test)

const LINGER_MS = 5000
const REREAD_MS = 30_000

test('a latch opens with the last of its participants, and not before', async t => {
  const { name, here, there } = await arrange(t)
  const latch = latchOf(here, name)
  t.true(await latch.trySetCount(3))
  const waiting = [latch.wait(), latchOf(there, name).wait()]
  await waits(here, name)
  await waits(there, name)
  t.is(await latch.countDown('a'), 2)
  t.is(await latchOf(there, name).countDown('b'), 1)
  t.is(await latch.count(), 1)
  await turns()
  t.is(await stateOf(waiting[0]!), 'pending')
  t.is(await latchOf(there, name).countDown(), 0)
  await Promise.all(waiting)
  await latch.wait()
  t.is(await latch.count(), 0)
})

test('each participant is counted once, however often it counts down', async t => {
  const { name, here, there } = await arrange(t)
  const latch = latchOf(here, name)
  await latch.trySetCount(2)
  t.is(await latch.countDown('a'), 1)
  t.is(await latch.countDown('a'), 1)
  t.is(await latchOf(there, name).countDown('a'), 1)
  t.is(await latch.countDown('b'), 0)
  t.is(await latch.countDown('a'), 0)
  t.is(await latch.countDown('c'), 0)
  t.is(await latch.count(), 0)
})

test('participants at the same time are counted without contention, each in one round trip', async t => {
  const { name, here } = await arrange(t)
  const latch = latchOf(here, name)
  await latch.trySetCount(40)
  const before = here.net.sent.length
  const missing = await Promise.all(Array.from({ length: 40 }, () => latch.countDown()))
  t.is(here.net.sent.length - before, 40)
  t.deepEqual(
    missing.toSorted((one, two) => one - two),
    Array.from({ length: 40 }, (_, index) => index),
  )
})

for (const isLast of [false, true]) {
  test(`a participant whose answer was lost is counted once, ${isLast ? 'also as the last' : 'with others to come'}`, async t => {
    const { name, here, there } = await arrange(t)
    await latchOf(there, name).trySetCount(isLast ? 1 : 2)
    const latch = latchOf(here, name)
    await latch.count()
    const trap = here.net.stopAnswers(methods.txn)
    const counting = latch.countDown()
    const lost = await trap.caught()
    trap.off()
    lost.lose()
    t.is(await counting, isLast ? 0 : 1)
    t.is(await latch.count(), isLast ? 0 : 1)
  })

  test(`a request that is applied late counts nobody twice, ${isLast ? 'not even in the next round' : 'in the same round'}`, async t => {
    const { name, here, there } = await arrange(t)
    await latchOf(there, name).trySetCount(isLast ? 1 : 2)
    const latch = latchOf(here, name)
    await latch.count()
    const trap = here.net.stopRequests(methods.txn)
    const counting = latch.countDown('a')
    const late = await trap.caught()
    trap.off()
    late.lose()
    t.is(await counting, isLast ? 0 : 1)
    if (isLast) t.true(await latchOf(there, name).trySetCount(1))
    await late.apply()
    t.is(await latch.count(), 1)
  })
}

test('a request that was given up and is applied in the next round counts nobody there', async t => {
  const { name, here, there } = await arrange(t)
  await latchOf(there, name).trySetCount(1)
  const latch = latchOf(here, name)
  await latch.count()
  const trap = here.net.stopRequests(methods.txn)
  const leaving = new AbortController()
  const gone = t.throwsAsync(latch.countDown('a', { signal: leaving.signal }), { message: 'enough' })
  const late = await trap.caught()
  trap.off()
  leaving.abort(new Error('enough'))
  await gone
  await latchOf(there, name).countDown('b')
  await latchOf(there, name).trySetCount(2)
  await late.apply()
  t.is(await latchOf(there, name).count(), 2)
})

test('an answer lost while the round ended and the next began counts nobody in the next', async t => {
  const { name, here, there } = await arrange(t)
  await latchOf(there, name).trySetCount(1)
  const latch = latchOf(here, name)
  await latch.count()
  const trap = here.net.stopAnswers(methods.txn)
  const counting = latch.countDown('a')
  const lost = await trap.caught()
  trap.off()
  t.true(await latchOf(there, name).trySetCount(2))
  lost.lose()
  t.is(await counting, 0)
  t.is(await latchOf(there, name).count(), 2)
})

test('an answer lost while two rounds went by is told as unknown, and nobody is counted twice', async t => {
  const { name, here, there } = await arrange(t)
  const other = latchOf(there, name)
  await other.trySetCount(1)
  const latch = latchOf(here, name)
  await latch.count()
  const trap = here.net.stopAnswers(methods.txn)
  const counting = t.throwsAsync(latch.countDown('a'))
  const lost = await trap.caught()
  trap.off()
  await other.trySetCount(1)
  await other.countDown('b')
  await other.trySetCount(2)
  lost.lose()
  const error = await counting
  t.true(EtcdError.is(error) && error.outcome === 'unknown')
  t.is(await other.count(), 2)
})

test('a new count is set only when the one before has come to zero, by one of several', async t => {
  const { name, here, there } = await arrange(t)
  const [one, two] = [latchOf(here, name), latchOf(there, name)]
  t.deepEqual((await Promise.all([one.trySetCount(1), two.trySetCount(1)])).toSorted(), [false, true])
  t.false(await one.trySetCount(5))
  await one.countDown('a')
  t.true(await two.trySetCount(2))
  t.is(await one.countDown('a'), 1, 'counted in the round before only')
  t.is(await one.count(), 1)
})

test('a count whose answer was lost is known to be ours', async t => {
  const { name, here } = await arrange(t)
  const trap = here.net.stopAnswers(methods.txn)
  const setting = latchOf(here, name).trySetCount(2)
  const lost = await trap.caught()
  trap.off()
  lost.lose()
  t.true(await setting)
  t.is(await latchOf(here, name).count(), 2)
})

test('a count whose answer was lost while two rounds went by is told as unknown, and no other is set', async t => {
  const { name, here, there } = await arrange(t)
  const other = latchOf(there, name)
  const trap = here.net.stopAnswers(methods.txn)
  const setting = t.throwsAsync(latchOf(here, name).trySetCount(1))
  const lost = await trap.caught()
  trap.off()
  await other.countDown('a')
  t.true(await other.trySetCount(1))
  await other.countDown('a')
  lost.lose()
  const error = await setting
  t.true(EtcdError.is(error) && error.outcome === 'unknown')
  t.is(await other.count(), 0)
})

for (const call of ['trySetCount', 'countDown'] as const) {
  test(`the time given to ${call} is that of all its requests together`, async t => {
    const HOUR_MS = 3_600_000
    const runtime = testRuntime()
    const { name, there } = await arrange(t)
    const here = await player(t, server(), { runtime })
    if (call === 'countDown') await latchOf(there, name).trySetCount(1)
    const reads = here.net.stopAnswers(methods.range)
    const latch = latchOf(here, name)
    const options = { timeoutMs: HOUR_MS }
    const calling = t.throwsAsync(
      call === 'countDown' ? latch.countDown('a', options) : latch.trySetCount(1, options),
      { instanceOf: EtcdError },
    )
    const read = await reads.caught()
    here.net.vanish()
    runtime.stall(HOUR_MS)
    await read.deliver()
    await calling
  })
}

test('a countDown without a time of its own has that of one request for all of them together', async t => {
  const HOUR_MS = 3_600_000
  const runtime = testRuntime()
  const { name, there } = await arrange(t)
  const here = await player(t, server(), { runtime, requestTimeoutMs: HOUR_MS })
  await latchOf(there, name).trySetCount(1)
  const reads = here.net.stopAnswers(methods.range)
  const calling = t.throwsAsync(latchOf(here, name).countDown('a'), { instanceOf: EtcdError })
  const read = await reads.caught()
  here.net.vanish()
  runtime.stall(HOUR_MS)
  await read.deliver()
  await calling
})

test('who waits for one round is not kept by the next', async t => {
  const { name, here, there } = await arrange(t)
  await latchOf(there, name).trySetCount(1)
  const waiting = latchOf(here, name).wait()
  await waits(here, name)
  const deaf = here.net.stopWatches(watch => watchOfKey(openKey(name))(watch))
  await latchOf(there, name).countDown()
  await latchOf(there, name).trySetCount(1)
  deaf.off()
  here.net.cutStreams(methods.watch)
  await waiting
  t.is(await latchOf(there, name).count(), 1)
})

test('a latch that was never given a count is waited for, and cannot be counted down', async t => {
  const { name, here, there } = await arrange(t)
  t.is(await latchOf(here, name).count(), 0)
  const waiting = latchOf(here, name).wait()
  await waits(here, name)
  const error = await t.throwsAsync(latchOf(there, name).countDown())
  t.true(EtcdError.is(error, 'NOT_FOUND'))
  await latchOf(there, name).trySetCount(1)
  t.is(await stateOf(waiting), 'pending')
  await latchOf(there, name).countDown()
  await waiting
})

test('a wait does not end because its watch was lost', async t => {
  const { name, here, there } = await arrange(t)
  await latchOf(there, name).trySetCount(1)
  const waiting = latchOf(here, name).wait()
  await waits(here, name)
  here.net.cutStreams(methods.watch)
  await waits(here, name, 2)
  t.is(await stateOf(waiting), 'pending')
  await latchOf(there, name).countDown()
  await waiting
})

test('an opening the server forgot to tell is found by reading again', async t => {
  const runtime = testRuntime()
  const here = await player(t, server(), { runtime })
  const { name, there } = await arrange(t)
  await latchOf(there, name).trySetCount(1)
  const waiting = latchOf(here, name).wait()
  await waits(here, name)
  const forgotten = here.net.dropEvents(() => true)
  await latchOf(there, name).countDown()
  await forgotten.caught()
  t.is(runtime.fire(REREAD_MS), 1)
  await waiting
})

test('however many participants, the opening is one message for each who waits', async t => {
  const { name, here, there } = await arrange(t)
  const latch = latchOf(there, name)
  await latch.trySetCount(20)
  const waiting = Array.from({ length: 5 }, () => latchOf(here, name).wait())
  await waits(here, name, 5)
  for (let count = 0; count < 20; count++) await latch.countDown()
  await Promise.all(waiting)
  t.true(here.net.deliveries <= 5)
})

test('an aborted wait rejects at once with its reason and leaves nothing', async t => {
  const runtime = testRuntime()
  const here = await player(t, server(), { runtime })
  const { name } = await arrange(t)
  await latchOf(here, name).trySetCount(1)
  const leaving = new AbortController()
  const waiting = t.throwsAsync(latchOf(here, name).wait({ signal: leaving.signal }), { message: 'enough' })
  await waits(here, name)
  leaving.abort(new Error('enough'))
  await waiting
  t.is(runtime.fire(REREAD_MS), 0)
  runtime.fire(LINGER_MS)
  await turns()
  t.deepEqual(here.net.watches, [])
})

test('marks of participants are gone when the next round has opened', async t => {
  const { name, here } = await arrange(t)
  const latch = latchOf(here, name)
  for (let round = 0; round < 3; round++) {
    await latch.trySetCount(2)
    await latch.countDown('a')
    await latch.countDown('b')
  }
  t.is((await here.etcd.range(prefix(`${name}/`))).count, 4)
})

test('a key that somebody else wrote is told from a count', async t => {
  const { name, here } = await arrange(t)
  for (const written of [
    'seven',
    '{"v":1,"owner":"a lock"}',
    '{"v":1,"round":1,"total":1,"base":"one","id":""}',
    '{"v":1,"round":1,"total":1.5,"base":"1","id":""}',
  ]) {
    await here.etcd.put(`${name}/count`, written)
    t.true(EtcdError.is(await t.throwsAsync(latchOf(here, name).count()), 'PROTOCOL'), written)
    t.true(EtcdError.is(await t.throwsAsync(latchOf(here, name).countDown()), 'PROTOCOL'), written)
  }
})

test('what cannot be meant is refused before any request', async t => {
  const { name, here } = await arrange(t)
  const before = here.net.sent.length
  const latch = latchOf(here, name)
  t.throws(() => latchOf(here, ''), { instanceOf: RangeError })
  for (const count of [0, -1, 1.5, Number.NaN])
    await t.throwsAsync(latch.trySetCount(count), { instanceOf: RangeError })
  await t.throwsAsync(latch.trySetCount('3' as never), { instanceOf: TypeError })
  await t.throwsAsync(latch.countDown(''), { instanceOf: RangeError })
  await t.throwsAsync(latch.countDown(3 as never), { instanceOf: TypeError })
  await t.throwsAsync(latch.wait({ timeoutMs: 5 } as never), { instanceOf: TypeError })
  t.is(here.net.sent.length, before)
})

async function arrange(t: ExecutionContext<unknown>): Promise<{ name: string; here: Player; there: Player }> {
  return {
    name: `${uniquePrefix(t)}latch`,
    here: await player(t, server()),
    there: await player(t, server()),
  }
}

function latchOf({ etcd }: Player, name: string): Latch {
  return new Latch(etcd.engine, etcd.space, name)
}

function openKey(name: string): string {
  return `${name}/open`
}

async function waits({ net }: Player, name: string, n = 1): Promise<void> {
  await net.watching(watchOfKey(openKey(name)), n)
  await quiet(net)
}
