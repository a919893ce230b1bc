import type { Engine } from '../../../src/client/engine.ts'
import type { Timer } from '../../../src/support/runtime.ts'
import { prefixEnd } from '../../../src/wire/bytes.ts'
import { watchKeys } from '../watched-keys.ts'
import { type Candidate, type LeadKeys, ranked } from './candidate-entry.ts'

export interface Preemption {
  readonly engine: Engine
  readonly keys: LeadKeys
  readonly priority: number
  readonly stabilizationMs: number
  readonly everyMs: number
}

/**
 * Watches, while we lead, for somebody with a higher priority. Calls `due`, once, when the best of them has been
 * there for the whole of the stabilization time: who comes and goes moves nobody. Returns how to stop.
 */
export function awaitBetter(
  { engine, keys, priority, stabilizationMs, everyMs }: Preemption,
  due: (better: Candidate) => void,
): () => void {
  let waiting: { readonly candidate: Candidate; readonly timer: Timer } | undefined
  const { stop } = watchKeys(
    engine,
    { key: keys.candidates, rangeEnd: prefixEnd(keys.candidates), everyMs },
    {
      changed: ({ kvs }) => {
        const [best] = ranked(kvs.values(), keys)
        const better = best !== undefined && best.priority > priority ? best : undefined
        if (better?.createRevision === waiting?.candidate.createRevision) return
        waiting?.timer.cancel()
        waiting = better && {
          candidate: better,
          timer: engine.runtime.setTimer(stabilizationMs, () => due(better)).unref(),
        }
      },
      // Whoever may not read the candidates leads on.
      ended: () => waiting?.timer.cancel(),
    },
  )
  return () => {
    waiting?.timer.cancel()
    stop()
  }
}
