import type { SessionContext } from '../../../src/session/session-context.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { printable } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { methods } from '../../../src/wire/methods.ts'
import { type Attempt, claimFailed, giveUp, untilGivenUp } from '../line/claim.ts'
import { firstOf } from '../signals.ts'
import { takeLeft } from './left-slots.ts'
import { admit, newWish, type SlotClaim, type SlotPool, slotClaim } from './slot-claim.ts'
import { GhostsOfSlots, type Taken } from './slot-ghosts.ts'
import { freeSlots } from './slot-memory.ts'
import {
  type ClaimAnswer,
  claimedOrLeft,
  claimFootprint,
  claimOrLeave,
  type Missed,
  type SlotWish,
} from './slot-wire.ts'

/** How often slots that looked free may be found taken before there count as none. */
const LOOKS = 3

/**
 * Slots, if so many are free and nobody waits; undefined otherwise, and nothing was written. All its requests together
 * have the time of one.
 */
export async function tryAcquireSlots(
  session: SessionContext,
  pool: SlotPool,
  count: number,
  signal: AbortSignal | undefined,
): Promise<SlotClaim | undefined> {
  const { engine } = session
  const { runtime, requestTimeoutMs } = engine
  const { abort, stop } = firstOf(engine, [signal])
  const giveUp = () => abort.abort(() => tooLate(pool, requestTimeoutMs))
  let timer = runtime.setTimer(requestTimeoutMs, () => {
    // A request that took all of it ends in this very instant, and says more.
    timer = runtime.setTimer(0, giveUp)
  })
  try {
    await admit(session, pool, count, abort.signal)
    const attempt = new ImmediateSlots(session, pool, newWish(session, pool, count))
    return await untilGivenUp(session, attempt, abort.signal)
  } finally {
    timer.cancel()
    stop()
  }
}

class ImmediateSlots implements Attempt<SlotClaim | undefined> {
  readonly #session: SessionContext
  readonly #pool: SlotPool
  readonly #wish: SlotWish
  readonly #ghosts: GhostsOfSlots
  readonly #abandoned = new LazyAbort()
  #hasUnanswered = false
  #claim: SlotClaim | undefined

  constructor(session: SessionContext, pool: SlotPool, wish: SlotWish) {
    this.#session = session
    this.#pool = pool
    this.#wish = wish
    this.#ghosts = session.engine.shared(GhostsOfSlots)
  }

  async run(): Promise<SlotClaim | undefined> {
    try {
      this.#claim = await this.#take()
      await this.#session.reliable()
      this.#abandoned.throwIfAborted()
    } catch (error) {
      this.#session.background(this.#undo())
      throw claimFailed(this.#session, error)
    }
    this.#ghosts.find(this.#session, this.#wish.keys)?.settled(this.#wish.value, this.#claim?.createRevision)
    this.#pool.memory.taken(this.#claim?.slots ?? [])
    return this.#claim
  }

  abandon(reason: unknown): void {
    this.#abandoned.abort(() => reason)
  }

  async #take(): Promise<SlotClaim | undefined> {
    const left = await takeLeft(this.#session, this.#wish, this.#abandoned)
    if (left !== undefined) return this.#adopted(left)
    const { limit, memory } = this.#pool
    const { count } = this.#wish
    let seen: Missed | undefined
    for (let look = 1; ; look++) {
      limit.check(count)
      const free = seen && freeSlots(seen.held, limit.permits, count)
      const alternatives = free === undefined ? memory.alternatives(count, limit.permits) : [free]
      const answer = await this.#ask(alternatives, free && seen?.revision)
      if (answer.kind !== 'other-limit') limit.agreed()
      if (answer.kind === 'granted')
        return slotClaim(this.#session, this.#wish, answer.slots, answer.revision, false)
      memory.seen(answer.held)
      if (answer.kind === 'other-limit') {
        await limit.found(answer.limit)
        seen = undefined
      } else {
        const earlier = await this.#takenEarlier()
        if (earlier !== undefined) return earlier
        if (answer.someWait || look > LOOKS) return undefined
        if (freeSlots(answer.held, limit.permits, count) === undefined) return undefined
        seen = answer
      }
      await this.#session.reliable()
      this.#abandoned.throwIfAborted()
    }
  }

  async #ask(
    alternatives: readonly (readonly number[])[],
    since: bigint | undefined,
  ): Promise<ClaimAnswer | Missed> {
    const response = await this.#session.engine.submitter.submit({
      method: methods.txn,
      request: claimOrLeave(this.#wish, this.#pool.limit.raw, alternatives, since),
      footprint: claimFootprint(this.#wish),
      // Made twice, it takes other slots, and what it took first is given back.
      repeat: 'idempotent',
      noMoreAttempts: this.#abandoned,
      onUnanswered: () => this.#unanswered(),
    })
    try {
      return claimedOrLeft(response, this.#wish, alternatives)
    } catch (error) {
      this.#unanswered()
      throw error
    }
  }

  #unanswered(): void {
    this.#hasUnanswered = true
    this.#ghosts.of(this.#session, this.#wish.keys).unanswered(this.#wish.value)
  }

  /** By an attempt without an answer, whose repeat found no others. */
  async #takenEarlier(): Promise<SlotClaim | undefined> {
    if (!this.#hasUnanswered) return undefined
    const taken = await this.#ghosts.takenEarlier(this.#session, this.#wish)
    return taken && this.#adopted(taken)
  }

  #adopted({ keys, createRevision }: Taken): SlotClaim {
    const slots = this.#wish.keys.numbersOf(keys.map(key => ({ key })))
    return slotClaim(this.#session, this.#wish, slots, createRevision, true)
  }

  async #undo(): Promise<void> {
    if (this.#claim !== undefined) await giveUp(this.#session, this.#claim)
    this.#ghosts.find(this.#session, this.#wish.keys)?.settled(this.#wish.value, undefined)
  }
}

function tooLate({ keys }: SlotPool, timeoutMs: number): EtcdError {
  return new EtcdError(
    'TIMEOUT',
    `[TIMEOUT] tryAcquire of ${printable(keys.limit)}: no answer in ${timeoutMs} ms; what was taken is given back`,
    { outcome: 'unknown' },
  )
}
