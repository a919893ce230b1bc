import type { Engine } from '../../../src/client/engine.ts'
import { part } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import { prefixEnd } from '../../../src/wire/bytes.ts'
import { SortOrder, SortTarget } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { type Contender, contenderOf } from '../../contender.ts'
import { entryOf, isForeign } from '../line/entry.ts'
import { permitsIn } from './limit.ts'
import type { SlotKeys } from './slot-keys.ts'

/** Somebody who holds a permit. */
export interface SlotHolder extends Contender {
  /** The number of the permit. */
  readonly slot: number
}

/** A semaphore as it stood at one revision. */
export interface SemaphoreReading {
  readonly permits: number | undefined
  readonly holders: readonly SlotHolder[]
  readonly waiters: readonly Contender[]
}

/** One round trip. */
export async function readSemaphore(
  engine: Engine,
  keys: SlotKeys,
  { signal, timeoutMs }: CallOptions,
): Promise<SemaphoreReading> {
  const waitersEnd = prefixEnd(keys.waiters)
  const { responses } = await engine.submitter.submit({
    method: methods.txn,
    request: {
      success: [
        { request: { kind: 'range', value: { key: keys.limit } } },
        { request: { kind: 'range', value: { key: keys.slots, rangeEnd: keys.slotsEnd } } },
        {
          request: {
            kind: 'range',
            value: {
              key: keys.waiters,
              rangeEnd: waitersEnd,
              sortOrder: SortOrder.ascend,
              sortTarget: SortTarget.createRevision,
            },
          },
        },
      ],
    },
    footprint: {
      reads: [
        { key: keys.limit, end: new Uint8Array(0) },
        { key: keys.slots, end: keys.slotsEnd },
        { key: keys.waiters, end: waitersEnd },
      ],
      writes: [],
    },
    repeat: 'read',
    consistency: 'linearizable',
    signal,
    timeoutMs,
  })
  const nowMs = engine.runtime.wallNow()
  const limit = part(responses[0], 'range').kvs[0]
  const holders = part(responses[1], 'range').kvs.flatMap(kv => {
    const slot = keys.numberOf(kv.key)
    return slot === undefined ? [] : [{ ...contenderOf(kv, false, nowMs), slot }]
  })
  const waiters = part(responses[2], 'range').kvs.map(kv =>
    contenderOf(kv, isForeign(entryOf(kv), keys.waiters.length, 'many'), nowMs),
  )
  return { permits: limit && permitsIn(limit), holders, waiters }
}
