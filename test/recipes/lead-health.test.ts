import test from 'ava'
import { Health } from '../../recipes/internal/lead/health.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'

const EVERY_MS = 100

test('without a check all is well, and no timer runs', t => {
  const runtime = new FakeRuntime()
  const health = new Health(runtime, undefined, EVERY_MS)
  t.true(health.isWell)
  t.is(runtime.pendingTimers, 0)
})

test('nothing is well before the first answer, and each change is told once', async t => {
  const runtime = new FakeRuntime()
  let answer = true
  const health = new Health(runtime, () => answer, EVERY_MS)
  const told: boolean[] = []
  const stop = health.onChange(() => told.push(health.isWell))
  t.false(health.isWell)
  await settled()
  t.true(health.isWell)
  await pass(runtime)
  answer = false
  await pass(runtime)
  await pass(runtime)
  t.deepEqual(told, [true, false])
  stop()
  answer = true
  await pass(runtime)
  t.true(health.isWell)
  t.deepEqual(told, [true, false])
  health.stop()
  t.is(runtime.pendingTimers, 0)
})

test('a check that throws, rejects, says something else than true, or is late says no', async t => {
  for (const check of [
    () => {
      throw new Error('ill')
    },
    () => Promise.reject(new Error('ill')),
    () => 1 as unknown as boolean,
    () => new Promise<boolean>(() => {}),
  ]) {
    const runtime = new FakeRuntime()
    let isWell = true
    const health = new Health(runtime, () => (isWell ? true : check()), EVERY_MS)
    await settled()
    t.true(health.isWell)
    isWell = false
    await pass(runtime)
    await pass(runtime)
    t.false(health.isWell)
    isWell = true
    await pass(runtime)
    t.true(health.isWell, 'it is asked again')
    health.stop()
  }
})

async function pass(runtime: FakeRuntime): Promise<void> {
  await runtime.advance(EVERY_MS)
  await settled()
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
}
