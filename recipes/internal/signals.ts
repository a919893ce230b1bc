import type { Engine } from '../../src/client/engine.ts'
import { LazyAbort } from '../../src/support/lazy-abort.ts'

/** One signal that aborts with whichever of these does first, and how to stop listening to them. */
export function firstOf(
  { aborts }: Engine,
  signals: readonly (AbortSignal | undefined)[],
): { readonly abort: LazyAbort; stop(): void } {
  const abort = new LazyAbort()
  const stops: (() => void)[] = []
  for (const signal of signals) stops.push(aborts.on(signal, reason => abort.abort(() => reason)))
  return {
    abort,
    stop: () => {
      for (const stop of stops) stop()
    },
  }
}

/** What becomes of the work, or at once the reason of whichever of these signals aborts first. */
export function orAborted<Result>(
  { aborts }: Engine,
  signals: readonly (AbortSignal | undefined)[],
  work: Promise<Result>,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const stops = signals.map(signal => aborts.on(signal, reject))
    const stop = () => {
      for (const one of stops) one()
    }
    work.then(resolve, reject).finally(stop)
  })
}
