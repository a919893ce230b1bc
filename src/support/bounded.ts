import { ONCE } from './abort.ts'
import type { Runtime } from './runtime.ts'

/** Waits for `work` at most `ms`; resolves whether it was done in time. What it rejects with is passed on. */
export function within(
  runtime: Runtime,
  ms: number,
  work: Promise<unknown>,
): Promise<'done' | 'still going'> {
  return new Promise((resolve, reject) => {
    const timer = runtime.setTimer(ms, () => resolve('still going'))
    work.then(
      () => {
        timer.cancel()
        resolve('done')
      },
      error => {
        timer.cancel()
        reject(error)
      },
    )
  })
}

export function sleep(runtime: Runtime, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve()
    const done = () => {
      timer.cancel()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = runtime.setTimer(ms, done)
    signal.addEventListener('abort', done, ONCE)
  })
}
