import { OwnKey, type Turn } from '../../../src/session/own-key.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import type { Claim } from '../line/claim.ts'
import { oneAtATime } from '../line/rule.ts'
import { orAborted } from '../signals.ts'
import type { SemaphoreLimit } from './limit.ts'
import type { SlotKeys } from './slot-keys.ts'
import type { SlotMemory } from './slot-memory.ts'
import { claimValue, type SlotWish } from './slot-wire.ts'

/** One semaphore as one of its users knows it. */
export interface SlotPool {
  readonly keys: SlotKeys
  readonly limit: SemaphoreLimit
  readonly memory: SlotMemory
}

/** Slots that are ours, all taken in one transaction. */
export interface SlotClaim extends Claim {
  readonly slots: readonly number[]
}

/** Throws when so many can never be had. That is asked for no longer than the caller and the session want to know. */
export async function admit(
  session: SessionContext,
  { limit }: SlotPool,
  count: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted()
  session.assertOpen()
  if (count <= limit.permits) return
  await orAborted(session.engine, [signal, session.closing], limit.admit(count))
  session.assertOpen()
}

/** A claim like no other, whoever made it: what it wrote can be told by its value. */
export function newWish(session: SessionContext, { keys }: SlotPool, count: number): SlotWish {
  const claim = [...session.engine.runtime.randomBytes(8)].map(hexOfByte).join('')
  return {
    keys,
    lease: session.leaseId,
    value: claimValue(claim, count, session.placeValue()),
    count,
  }
}

export function slotClaim(
  session: SessionContext,
  { keys, value }: SlotWish,
  slots: readonly number[],
  createRevision: bigint,
  adopted: boolean,
): SlotClaim {
  const stands = slots.map(slot => ({
    prefix: keys.slots,
    rule: oneAtATime,
    value,
    // A slot is anybody's: what is ours is this one creation of it, and no other task deals with that.
    own: new OwnKey(keys.slot(slot), session, () => {}),
    turn: NO_TURN,
  }))
  return { stands, slots, createRevision, adopted }
}

const NO_TURN: Turn = { end: () => {} }

function hexOfByte(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
