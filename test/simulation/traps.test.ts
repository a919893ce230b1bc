import test from 'ava'
import { withoutGlobals } from './traps.ts'

const uses: readonly { readonly name: string; readonly use: () => unknown }[] = [
  { name: 'Date.now', use: () => Date.now() },
  { name: 'performance.now', use: () => performance.now() },
  { name: 'Math.random', use: () => Math.random() },
  { name: 'setTimeout', use: () => setTimeout(() => {}, 0) },
  { name: 'setInterval', use: () => setInterval(() => {}, 1) },
  { name: 'setImmediate', use: () => setImmediate(() => {}) },
  { name: 'queueMicrotask', use: () => queueMicrotask(() => {}) },
]

for (const { name, use } of uses) {
  test.serial(`${name} throws inside a simulation, and works again after it`, async t => {
    await withoutGlobals(async () => {
      t.throws(use, { message: /of the machine was used inside a simulation/ })
    })
    t.notThrows(() => {
      const timer = use()
      if (name === 'setImmediate') clearImmediate(timer as NodeJS.Immediate)
      else if (name.startsWith('set')) clearTimeout(timer as NodeJS.Timeout)
    })
  })
}

test.serial('the traps are taken down also when the simulation fails', async t => {
  await t.throwsAsync(
    withoutGlobals(async () => {
      throw new Error('on purpose')
    }),
    { message: 'on purpose' },
  )
  t.notThrows(() => Date.now())
})
