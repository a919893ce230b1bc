import test from 'ava'
import { nodeRuntime } from '../../src/support/node-runtime.ts'

test('a timer beyond 2^31 ms waits, and Node finds nothing wrong with it', async t => {
  const runtime = nodeRuntime()
  const warnings: string[] = []
  const hear = ({ name }: Error) => void warnings.push(name)
  process.on('warning', hear)
  t.teardown(() => process.off('warning', hear))
  let rang = false
  const long = runtime.setTimer(2 ** 31 + 1000, () => {
    rang = true
  })
  t.teardown(() => long.cancel())
  await new Promise<void>(resolve => void runtime.setTimer(20, resolve))
  t.false(rang)
  t.deepEqual(warnings, [])
})

test('when a timer rings its time has passed, although Node counts in whole milliseconds', async t => {
  const runtime = nodeRuntime()
  // Of a hundred timers Node has about one ring early, by up to a millisecond.
  for (let n = 0; n < 600; n++) {
    const phaseMs = runtime.now() + runtime.random()
    while (runtime.now() < phaseMs) {
      // On to another fraction of a millisecond.
    }
    const dueAtMs = runtime.now() + 1
    const rangAtMs = await new Promise<number>(resolve => {
      runtime.setTimer(1, () => resolve(runtime.now()))
    })
    if (rangAtMs < dueAtMs) return t.fail(`${dueAtMs - rangAtMs} ms early`)
  }
  t.pass()
})
