import type { WatchHandle } from '../../../src/client/watch-hub.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { methods } from '../../../src/wire/methods.ts'
import { isFinal } from '../trouble.ts'
import { placeGone, placeTaken } from './place.ts'

const NO_END = new Uint8Array(0)

/** A hold shorter than this pays nothing for being told of the loss of its key. */
const ARM_AFTER_MS = 1000
const AGAIN_MS = 500

/**
 * Tells, once, when the key of a hold is deleted, or taken off its lease, by somebody else. A lease that lives is
 * no proof that the key does: an operator may delete it, and servers are known to renew a lease whose keys are
 * gone. Armed when the hold outlives a second: then a watch from now on and one read after it was created.
 */
export function watchOwnKey(
  session: SessionContext,
  key: Uint8Array,
  createRevision: bigint,
  lost: (error: EtcdError) => void,
): { stop(): void } {
  const { runtime, recipeWatches, submitter } = session.engine
  const stopped = new LazyAbort()
  let watch: WatchHandle | undefined
  const lose = (error: EtcdError) => {
    if (!stopped.aborted) lost(error)
  }
  const look = async (atLeast: bigint): Promise<void> => {
    while (!stopped.aborted) {
      try {
        const request = { key }
        const footprint = { reads: [{ key, end: NO_END }], writes: [] }
        const { header, kvs } = await submitter.submit({
          method: methods.range,
          request,
          footprint,
          consistency: 'linearizable',
          atLeast,
        })
        if (kvs[0]?.createRevision !== createRevision) lose(placeGone({ key }, header?.revision ?? 0n))
        else if (kvs[0].lease !== session.leaseId) lose(placeTaken({ key }))
        return
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
      { key, rangeEnd: NO_END, onBreak: 'restart' },
      {
        opened: revision => void look(revision),
        revision: (revision, events) => {
          for (const { type, kv } of events) {
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
