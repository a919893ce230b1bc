import type { SessionContext } from '../src/session/session-context.ts'
import { text } from '../src/wire/bytes.ts'
import type { EtcdError } from '../src/wire/errors.ts'
import { Handle, type ReleaseOptions } from './handle.ts'
import type { Claim } from './internal/line/claim.ts'
import type { LockDelay } from './internal/mutex/lock-delay.ts'
import { MaxHold } from './internal/mutex/max-hold.ts'
import { type RevocationRequest, revocationKey, watchRevocation } from './internal/mutex/revocation.ts'

/** What more a hold was asked to do than to last until it is unlocked or lost. */
export interface HoldTerms {
  readonly delay?: LockDelay | undefined
  readonly maxHoldMs?: number | undefined
  readonly onRevocation?: ((request: RevocationRequest, hold: Hold) => void) | undefined
}

/** A lock that is ours. */
export class Hold extends Handle {
  readonly #claim: Claim
  readonly #delay: LockDelay | undefined
  readonly #maxHold: MaxHold | undefined

  constructor(session: SessionContext, name: Uint8Array, claim: Claim, terms: HoldTerms = {}) {
    super(session, text(name), claim, 'unlocked')
    const { delay, maxHoldMs, onRevocation } = terms
    const { engine, space } = session
    this.#claim = claim
    this.#delay = delay
    if (maxHoldMs !== undefined) this.#maxHold = new MaxHold(engine.runtime, maxHoldMs, () => this.#tooLong())
    if (this.#maxHold !== undefined) engine.aborts.on(this.signal, () => this.#maxHold?.stop())
    if (onRevocation === undefined) return
    const key = revocationKey(space, name, this.fencingToken)
    const requests = watchRevocation(engine, key, request => onRevocation(request, this))
    engine.aborts.on(this.signal, () => requests.stop())
  }

  override assertHeld(): void {
    // Also where no timer has run yet.
    if (this.#maxHold?.isOver === true) this.#tooLong()
    super.assertHeld()
  }

  /**
   * Resolves when the lock is known to be free for others. `signal` aborts at once. Repeated in the background
   * until that is known; if the session ends meanwhile it resolves then, and the key goes when the cluster ends
   * the lease. Rejects if the cluster refuses. Quiet when repeated, and after a loss. One round trip.
   */
  unlock(options: ReleaseOptions = {}): Promise<void> {
    return this.giveUp(options, 'unlock')
  }

  /** With a delay after losses, that this is none is told in the transaction that deletes the key. */
  protected override letGo(refused: (error: EtcdError) => void): Promise<void> {
    return this.#delay === undefined ? super.letGo(refused) : this.#delay.release(this.#claim, refused)
  }

  #tooLong(): void {
    const { signal } = this
    if (!signal.aborted && this.#maxHold !== undefined) this.lose(this.#maxHold.error(this.name))
  }
}
