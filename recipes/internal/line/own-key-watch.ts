import type { WatchHandle } from '../../../src/client/watch-hub.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { concat, mapKey } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { isFinal } from '../trouble.ts'
import { placeGone, placeTaken } from './place.ts'

const NO_END = new Uint8Array(0)

/** A hold shorter than this pays nothing for being told of the loss of its key. */
const ARM_AFTER_MS = 1000
const AGAIN_MS = 500

/**
 * Tells, once, when a key of a hold is deleted, or taken off its lease, by somebody else. A lease that lives is
 * no proof that the key does: an operator may delete it, and servers are known to renew a lease whose keys are
 * gone. Armed when the hold outlives a second: then a watch from now on and one read after it was created, of the
 * key or, of several in one line, from the first to the last.
 */
export function watchOwnKeys(
  session: SessionContext,
  keys: readonly Uint8Array[],
  createRevision: bigint,
  lost: (error: EtcdError) => void,
): { stop(): void } {
  const { runtime, recipeWatches, submitter } = session.engine
  const ours = new Map(keys.map(key => [mapKey(key), key]))
  const key = keys[0]!
  const rangeEnd = keys.length === 1 ? NO_END : concat(keys.at(-1)!, Uint8Array.of(0))
  const stopped = new LazyAbort()
  let watch: WatchHandle | undefined
  const lose = (error: EtcdError) => {
    if (!stopped.aborted) lost(error)
  }
  const compareWith = (kvs: readonly KeyValue[], revision: bigint) => {
    const found = new Map(kvs.map(kv => [mapKey(kv.key), kv]))
    for (const [name, key] of ours) {
      const kv = found.get(name)
      if (kv?.createRevision !== createRevision) lose(placeGone({ key }, revision))
      else if (kv.lease !== session.leaseId) lose(placeTaken({ key }))
    }
  }
  const look = async (atLeast: bigint): Promise<void> => {
    while (!stopped.aborted) {
      try {
        const request = { key, rangeEnd, keysOnly: true }
        const footprint = { reads: [{ key, end: rangeEnd }], writes: [] }
        const { header, kvs } = await submitter.submit({
          method: methods.range,
          request,
          footprint,
          consistency: 'linearizable',
          atLeast,
        })
        return compareWith(kvs, header?.revision ?? 0n)
      } catch (error) {
        // Whoever may not read its own key is left with what the lease tells.
        if (!EtcdError.is(error) || isFinal(error)) return
        // No answer, no news.
        await sleep(runtime, AGAIN_MS, stopped.signal)
      }
    }
  }
  const arm = () => {
    watch = recipeWatches.watch(
      { key, rangeEnd, onBreak: 'restart' },
      {
        opened: revision => void look(revision),
        revision: (revision, events) => {
          for (const { type, kv } of events) {
            const key = kv && ours.get(mapKey(kv.key))
            if (key === undefined) continue
            // The deletion of an earlier creation may come late.
            if (type === 1 && revision > createRevision) lose(placeGone({ key }, revision))
            else if (type === 0 && kv?.createRevision === createRevision && kv.lease !== session.leaseId)
              lose(placeTaken({ key }))
          }
        },
        broken: () => {},
        ended: () => {},
      },
    )
  }
  const timer = runtime.setTimer(ARM_AFTER_MS, arm).unref()
  return {
    stop: () => {
      stopped.abort(() => undefined)
      timer.cancel()
      watch?.cancel()
    },
  }
}
