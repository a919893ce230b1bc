import type { SessionContext } from '../src/session/session-context.ts'
import { text } from '../src/wire/bytes.ts'
import type { EtcdError } from '../src/wire/errors.ts'
import { Handle, type ReleaseOptions } from './handle.ts'
import type { SlotClaim } from './internal/semaphore/slot-claim.ts'
import type { SlotMemory } from './internal/semaphore/slot-memory.ts'

/** One or several permits of a semaphore that are ours, each with a number nobody else has meanwhile. */
export class Permit extends Handle {
  /** The numbers, from 0 up to and without the limit there was when they were given, in ascending order. */
  readonly slots: readonly number[]
  readonly #memory: SlotMemory

  constructor(session: SessionContext, name: Uint8Array, claim: SlotClaim, memory: SlotMemory) {
    super(session, text(name), claim, 'released')
    this.slots = claim.slots
    this.#memory = memory
  }

  /** The first of `slots`: of a permit acquired alone, its number. */
  get slot(): number {
    return this.slots[0]!
  }

  /** As {@link Hold.unlock}, for all of them in one transaction. */
  release(options: ReleaseOptions = {}): Promise<void> {
    return this.giveUp(options, 'release')
  }

  protected override async letGo(refused: (error: EtcdError) => void): Promise<void> {
    await super.letGo(refused)
    this.#memory.released(this.slots)
  }
}
