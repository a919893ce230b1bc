import type { Engine } from '../../../src/client/engine.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { type Interval, nameOf, spanOf } from './interval.ts'

/** Servers have been known to forget an event: so often the function looks for itself, in milliseconds. */
const CHECK_MS = 30_000

/** Keys, and the revision up to which they are known not to have changed. */
export interface Unchanged {
  readonly interval: Interval
  readonly since: bigint
}

/**
 * Resolves when something in one of these has changed after it was read, or may have. Each watch begins with the
 * revision after the read, so nothing falls between the two. Rejects when it cannot be watched, or the signal aborts.
 */
export function changeIn(
  engine: Engine,
  unchanged: readonly Unchanged[],
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const watches: { cancel(): void }[] = []
    let over = false
    const finish = (settle: () => void) => {
      over = true
      stopListening()
      check.cancel()
      for (const watch of watches) watch.cancel()
      settle()
    }
    let stopListening = () => {}
    const check = engine.runtime.setTimer(CHECK_MS, () => finish(resolve))
    stopListening = engine.aborts.on(signal, reason => finish(() => reject(reason)))
    for (const { interval, since } of distinct(unchanged)) {
      if (over) return
      const { key, end } = spanOf(interval)
      const watch = engine.recipeWatches.watch(
        { key, rangeEnd: end, startRevision: since + 1n, onBreak: 'resume', progress: true },
        {
          opened: () => {},
          revision: () => finish(resolve),
          broken: () => {},
          // What was compacted away may have been a change.
          ended: error => finish(() => (EtcdError.is(error, 'COMPACTED') ? resolve() : reject(error))),
        },
      )
      watches.push(watch)
    }
  })
}

/** Each interval once, from its earliest revision on. */
function distinct(unchanged: readonly Unchanged[]): Iterable<Unchanged> {
  const found = new Map<string, Unchanged>()
  for (const one of unchanged) {
    const name = nameOf(one.interval)
    const known = found.get(name)
    if (known === undefined || one.since < known.since) found.set(name, one)
  }
  return found.values()
}
