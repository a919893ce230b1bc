import { createdAtWire } from '../../../src/client/compare.ts'
import type { Engine } from '../../../src/client/engine.ts'
import type { KeySpace } from '../../../src/client/key-space.ts'
import { Lease } from '../../../src/client/lease.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import { concat, toBytes } from '../../../src/wire/bytes.ts'
import { methods } from '../../../src/wire/methods.ts'
import type { Contender } from '../../contender.ts'
import { saidIn } from '../said.ts'
import { watchKeys } from '../watched-keys.ts'

/** Somebody asks a holder to give the lock up. */
export interface RevocationRequest {
  /** Why, in the words of whoever asks. */
  readonly reason?: string
  readonly host?: string
  readonly pid?: number
}

const NO_END = new Uint8Array(0)

/** `<name>.revoke/<token in hex>`: what is asked of one holder is never heard by the next. */
export function revocationKey(space: KeySpace, name: Uint8Array, token: bigint): Uint8Array {
  return space.key(concat(name, toBytes(`.revoke/${token.toString(16)}`)))
}

/** Tells of every request for this token, also one made before it was listened for. */
export function watchRevocation(
  engine: Engine,
  key: Uint8Array,
  onRequest: (request: RevocationRequest) => void,
): { readonly stop: () => void } {
  let told = 0n
  return watchKeys(
    engine,
    { key, rangeEnd: NO_END },
    {
      changed: ({ kvs }) => {
        for (const { modRevision, value } of kvs.values()) {
          if (modRevision <= told) continue
          told = modRevision
          try {
            onRequest(requestIn(value))
          } catch (error) {
            // It harms nobody here: it surfaces on a turn of its own, as an uncaught one.
            engine.runtime.defer(() => {
              throw error
            })
          }
        }
      },
      // Who may not read it hears nothing, and holds on.
      ended: () => {},
    },
  )
}

/** Asks this holder. False if the lock was not his any more. Two round trips. */
export async function askToRevoke(
  engine: Engine,
  {
    key,
    leaseOptions,
  }: { readonly key: Uint8Array; readonly leaseOptions: { readonly space: KeySpace; readonly ttl: number } },
  { key: held, createRevision }: Contender,
  reason: string | undefined,
  time: () => CallOptions,
): Promise<boolean> {
  const { submitter, keeper, runtime, connections } = engine
  const { space, ttl } = leaseOptions
  const lease = new Lease({ submitter, keeper, runtime, space, closing: connections.closing })
  const { id } = await lease.grant(ttl, time())
  const { host, pid } = runtime.identity()
  let asked = false
  let unanswered = false
  try {
    const { succeeded } = await submitter.submit({
      method: methods.txn,
      request: {
        compare: [createdAtWire(held, createRevision)],
        success: [
          {
            request: {
              kind: 'put',
              value: { key, value: toBytes(JSON.stringify({ v: 1, reason, host, pid })), lease: id },
            },
          },
        ],
      },
      footprint: {
        reads: [{ key: held, end: NO_END }],
        writes: [{ key, end: NO_END }],
      },
      // Says the same twice, to the same holder.
      repeat: 'idempotent',
      onUnanswered: () => {
        unanswered = true
      },
      ...time(),
    })
    asked = succeeded
    // He was there when we looked, and an attempt of ours that got no answer may be why he has left since.
    return succeeded || unanswered
  } finally {
    // With nothing on it, or nobody to answer for it, the lease need not last.
    if (!asked) void lease.revoke(id).catch(() => {})
  }
}

/** Deletes the key of this holder, and of nobody else. Was he there? One round trip. */
export async function breakHold(
  engine: Engine,
  { key, createRevision }: Contender,
  { signal, timeoutMs }: CallOptions,
): Promise<boolean> {
  const span = { key, end: NO_END }
  let unanswered = false
  const { succeeded } = await engine.submitter.submit({
    method: methods.txn,
    request: {
      compare: [createdAtWire(key, createRevision)],
      success: [{ request: { kind: 'deleteRange', value: { key } } }],
    },
    footprint: { reads: [span], writes: [span] },
    repeat: 'idempotent',
    onUnanswered: () => {
      unanswered = true
    },
    signal,
    timeoutMs,
  })
  // He was there when we looked, and an attempt of ours that got no answer may be why he is not now.
  return succeeded || unanswered
}

function requestIn(value: Uint8Array): RevocationRequest {
  const { reason, host, pid } = saidIn<'reason' | 'host' | 'pid'>(value) ?? {}
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof host === 'string' ? { host } : {}),
    ...(typeof pid === 'number' ? { pid } : {}),
  }
}
