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
  const early: number[] = []
  const rings: Promise<void>[] = []
  // Set at so many different fractions of a millisecond that Node would have some of them ring early.
  for (let n = 0; n < 200; n++) {
    const startedAtMs = runtime.now()
    const dueAtMs = startedAtMs + 5
    rings.push(
      new Promise(resolve => {
        runtime.setTimer(5, () => {
          if (runtime.now() < dueAtMs) early.push(dueAtMs - runtime.now())
          resolve()
        })
      }),
    )
    while (runtime.now() < startedAtMs + 0.03) {
      // On to the next fraction.
    }
  }
  await Promise.all(rings)
  t.deepEqual(early, [])
})
