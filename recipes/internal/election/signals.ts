import type { Engine } from '../../../src/client/engine.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'

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

/** What becomes of the work, or at once the reason of the signal when that aborts first. */
export async function orAborted<Result>(
  { aborts }: Engine,
  signal: AbortSignal | undefined,
  work: Promise<Result>,
): Promise<Result> {
  if (signal === undefined) return work
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = aborts.on(signal, reject)
  })
  return Promise.race([work, aborted]).finally(stop)
}
