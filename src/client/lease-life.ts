import { EtcdError } from '../wire/errors.ts'
import type { LeaseClock, SendInstant } from './lease-clock.ts'

/**
 * What may be believed about a lease. See `LeaseLife` for the way from one state to another.
 *
 * - `active`: ours, and renewals are answered in time
 * - `suspended`: still ours, but a renewal is late
 * - `doubtful`: the machine slept past the deadline, so the lease may be gone; an answer will tell
 * - `lost`: gone, or too old to be believed in; final
 * - `stopped`: no longer renewed by us, what becomes of it is somebody else's business; final
 *
 * `deadlineMs` is the monotonic instant at which the lease is lost unless a renewal is answered before.
 */
export type LeaseState =
  | { readonly kind: 'active'; readonly deadlineMs: number }
  | { readonly kind: 'suspended'; readonly deadlineMs: number; readonly sinceMs: number }
  | { readonly kind: 'doubtful'; readonly deadlineMs: number; readonly sinceMs: number }
  | { readonly kind: 'lost'; readonly reason: LeaseLossReason; readonly error: EtcdError }
  | { readonly kind: 'stopped' }

/**
 * - `expired`: nobody answered a renewal before the deadline
 * - `revoked`: the cluster does not know the lease; it ran out there, or somebody revoked it
 * - `deleted`: somebody deleted a key whose presence stands for the lease
 */
export type LeaseLossReason = 'expired' | 'revoked' | 'deleted'

/** May whoever depends on the lease still act on it? Only for a state read just now. */
export function believable(state: LeaseState): boolean {
  return state.kind === 'active' || state.kind === 'suspended'
}

export interface LeaseLifeOptions {
  readonly id: bigint
  readonly ttlMs: number
  /** When the grant, or whatever proved the lease alive, was sent. */
  readonly sent: SendInstant
  readonly clock: LeaseClock
  /** After every change, also of the deadline alone. What it does may change the state again. */
  entered(state: LeaseState, previous: LeaseState): void
  /** What went wrong last with renewals: becomes the cause of a loss by expiry. */
  trouble(): unknown
}

/**
 * One lease as this client may see it. It knows nothing of streams: it is told what was answered, and reads the
 * clock before it says anything.
 *
 *                   overdue                    deadline
 *        ┌─────────────────────────▶ suspended ─────────┐
 *        │  ┌──────── answer ──────────┘ │              │
 *        │  ▼                            │              ▼
 *      active ───── deadline ────────────┼────────────▶ lost      lost also from anywhere but stopped, by a TTL
 *        │  ▲                            │              ▲         of 0 or `lose`; stopped from anywhere but
 *        │  └─ answer to a renewal ─┐    │ slept past   │         lost. Both are final.
 *        │     sent since then      │    ▼ the deadline │
 *        └── slept past ─────────▶ doubtful ── deadline ┘
 *            the deadline
 *
 * The deadline counts from when the answered renewal was sent, on the monotonic clock. The server counts from
 * when it received it, so our belief ends before the server's; one percent and 50 ms more are taken off for
 * clocks that run at different speeds.
 *
 * A machine that sleeps stops its monotonic clock, not the server's. Sleep is taken off the deadline when it is
 * noticed. Sleep that leaves nothing makes the lease doubtful instead of lost: a new leader may have given
 * it a fresh TTL, or the whole cluster slept too, and one answer tells.
 */
export class LeaseLife {
  readonly #options: LeaseLifeOptions
  #state: LeaseState
  #ttlMs: number
  #acknowledged: SendInstant
  #deadlineMs: number
  /** As of which total of sleep the deadline is right. */
  #sleptMs: number

  constructor(options: LeaseLifeOptions) {
    this.#options = options
    this.#ttlMs = options.ttlMs
    this.#acknowledged = options.sent
    this.#sleptMs = options.sent.sleptMs
    this.#deadlineMs = deadlineOf(options.sent, options.ttlMs)
    this.#state = { kind: 'active', deadlineMs: this.#deadlineMs }
  }

  /** The state as it was when the clock was last looked at. */
  get known(): LeaseState {
    return this.#state
  }

  /** As the server last said. */
  get ttlMs(): number {
    return this.#ttlMs
  }

  /** The latest sending that was answered with the lease alive. */
  get acknowledged(): SendInstant {
    return this.#acknowledged
  }

  /** Of the last state that had one. */
  get deadlineMs(): number {
    return this.#deadlineMs
  }

  /**
   * The state as of now. After an event loop that stood still no timer has run yet, so whoever asks finds out
   * first, and the loss happens here.
   */
  look(): LeaseState {
    const state = this.#state
    switch (state.kind) {
      case 'active':
      case 'suspended':
      case 'doubtful': {
        const nowMs = this.#options.clock.now()
        if (nowMs >= state.deadlineMs) this.#lose('expired', this.#options.trouble())
        else this.#takeOffSleep(state, nowMs)
        return this.#state
      }
      case 'lost':
      case 'stopped':
        return state
      default:
        return unreachable(state)
    }
  }

  /** The server answered the renewal sent at `sent`. Did it extend our belief? A TTL of 0 or less says: no such lease. */
  answered(sent: SendInstant, ttlMs: number): boolean {
    const state = this.look()
    switch (state.kind) {
      case 'active':
      case 'suspended':
        if (ttlMs <= 0) break
        // An answer overtaken by one to a later renewal: that one said more.
        if (sent.atMs < this.#acknowledged.atMs) return false
        return this.#extend(sent, ttlMs)
      case 'doubtful':
        if (ttlMs <= 0) break
        // Sent before the sleep: says nothing about after it.
        if (sent.sleptMs < this.#sleptMs) return false
        return this.#extend(sent, ttlMs)
      case 'lost':
      case 'stopped':
        // An answer that was already on the wire. Nothing resurrects a lost lease: somebody may have acted on the loss.
        return false
      default:
        return unreachable(state)
    }
    this.#lose('revoked', undefined)
    return false
  }

  /** A renewal was not answered in the time it had. */
  overdue(): void {
    const state = this.look()
    if (state.kind !== 'active') return
    this.#enter({ kind: 'suspended', deadlineMs: state.deadlineMs, sinceMs: this.#options.clock.now() })
  }

  /** Somebody else learnt that the lease is gone. */
  lose(reason: LeaseLossReason, cause?: unknown): void {
    const state = this.look()
    if (state.kind === 'lost' || state.kind === 'stopped') return
    this.#lose(reason, cause)
  }

  stop(): void {
    if (this.#state.kind === 'lost' || this.#state.kind === 'stopped') return
    this.#enter({ kind: 'stopped' })
  }

  #takeOffSleep(state: UndecidedState, nowMs: number): void {
    const sleptMs = this.#options.clock.sleptMs()
    const newlySleptMs = sleptMs - this.#sleptMs
    if (newlySleptMs <= 0) return
    this.#sleptMs = sleptMs
    if (state.kind === 'doubtful') return
    const deadlineMs = state.deadlineMs - newlySleptMs
    if (deadlineMs > nowMs) this.#enter({ ...state, deadlineMs })
    else this.#enter({ kind: 'doubtful', deadlineMs: state.deadlineMs, sinceMs: nowMs })
  }

  #extend(sent: SendInstant, ttlMs: number): boolean {
    // `look` has brought the total of sleep up to date: what was slept since the sending is gone from the TTL.
    const deadlineMs = deadlineOf(sent, ttlMs) - (this.#sleptMs - sent.sleptMs)
    if (this.#state.kind === 'doubtful' && deadlineMs <= this.#options.clock.now()) return false
    this.#acknowledged = sent
    this.#ttlMs = ttlMs
    this.#enter({ kind: 'active', deadlineMs })
    return true
  }

  #lose(reason: LeaseLossReason, cause: unknown): void {
    const message = `[SESSION_LOST] lease ${this.#options.id.toString(16)} ${LOSSES[reason]}`
    const error = new EtcdError('SESSION_LOST', message, { outcome: 'unknown', cause })
    this.#enter({ kind: 'lost', reason, error })
  }

  /** The only place that changes the state. */
  #enter(next: LeaseState): void {
    const previous = this.#state
    this.#state = next
    if ('deadlineMs' in next) this.#deadlineMs = next.deadlineMs
    this.#options.entered(next, previous)
  }
}

type UndecidedState = Extract<LeaseState, { deadlineMs: number }>

const LOSSES: Readonly<Record<LeaseLossReason, string>> = {
  expired: 'was not renewed before its deadline',
  revoked: 'is unknown to the cluster: it expired there or was revoked',
  deleted: 'is over: a key that stands for it was deleted',
}

function deadlineOf(sent: SendInstant, ttlMs: number): number {
  return sent.atMs + ttlMs * 0.99 - 50
}

function unreachable(state: never): never {
  throw new Error(`no such state: ${JSON.stringify(state)}`)
}
