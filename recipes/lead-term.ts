import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { onAbort } from '../src/support/abort.ts'
import type { LazyAbort } from '../src/support/lazy-abort.ts'
import { checkOptions } from '../src/support/options.ts'
import { EtcdError } from '../src/wire/errors.ts'
import type { Elected } from './internal/lead/candidate-campaign.ts'
import { type LeadKeys, ranked } from './internal/lead/candidate-entry.ts'
import { readCandidates } from './internal/lead/candidate-wire.ts'
import { handOver } from './internal/lead/hand-over.ts'
import { endTurns } from './internal/line/claim.ts'
import { Leadership } from './leadership.ts'

/** Who is to lead next: whoever says it is this owner, or has this lease. */
export type Successor = { readonly owner: string } | { readonly leaseId: bigint }

/**
 * One term of `lead()`, from the election to whatever ends it.
 *
 * When it is to end in order, `signal` aborts first: we still lead, and `held` is true, until the function has
 * settled or the grace period is over. Then the best candidate becomes the leader in the same revision in which we
 * cease to.
 */
export class Term extends Leadership {
  readonly #session: SessionContext
  readonly #keys: LeadKeys
  readonly #elected: Elected
  readonly #ending: LazyAbort
  #successor: bigint | undefined

  /** `ending` aborts when it is to end; it aborts by itself when the term is lost. */
  constructor(session: SessionContext, keys: LeadKeys, elected: Elected, ending: LazyAbort) {
    const { claim, value } = elected
    super(session, keys.name, claim, { value, modRevision: claim.createRevision })
    this.#session = session
    this.#keys = keys
    this.#elected = elected
    this.#ending = ending
    onAbort(super.signal, reason => ending.abort(() => reason))
  }

  /** Aborts when it is time to stop: in order, or because the term is lost. The reason is an EtcdError, or that of the signal `lead()` was given. */
  override get signal(): AbortSignal {
    return this.#ending.signal
  }

  /**
   * Chooses who leads next and ends the term for that: `signal` aborts, and what follows is as at every end of a
   * term. Resolves with true as soon as that is decided, with false, and nothing has changed, if there is no such
   * candidate. Should it be gone when the time has come, the best of the others follows. One round trip.
   */
  async transfer(to: Successor, options: CallOptions = {}): Promise<boolean> {
    const wanted = checkOptions<Partial<Record<'owner' | 'leaseId', unknown>>>(
      to,
      ['owner', 'leaseId'],
      'transfer',
    )
    if (typeof wanted?.owner !== 'string' && typeof wanted?.leaseId !== 'bigint')
      throw new TypeError('transfer: names who is to follow by an owner or a leaseId')
    const { signal, timeoutMs } = checkCall(options, [], 'transfer')
    this.assertHeld()
    const kvs = await readCandidates(this.#session, this.#keys, { signal, timeoutMs })
    const found = ranked(kvs, this.#keys).find(
      ({ owner, leaseId }) =>
        leaseId !== this.#session.leaseId &&
        (leaseId === wanted.leaseId || (owner !== undefined && owner === wanted.owner)),
    )
    if (found === undefined) return false
    this.assertHeld()
    this.#successor = found.leaseId
    const why = `${this.name} is handed over to ${found.owner ?? found.leaseId.toString(16)}`
    this.#ending.abort(
      () => new EtcdError('LOCK_RELEASED', `[LOCK_RELEASED] ${why}`, { outcome: 'rejected' }),
    )
    return true
  }

  protected override async letGo(refused: (error: EtcdError) => void): Promise<void> {
    const { stands, createRevision } = this.#elected.claim
    const mine = { key: this.key, createRevision }
    const isGone = await handOver(this.#session, this.#keys, mine, () => this.#successor)
    if (isGone) endTurns(stands)
    else await super.letGo(refused)
  }
}
