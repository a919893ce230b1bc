import { Agenda } from '../support/agenda.ts'
import type { DeadlineEntry } from '../support/deadline-heap.ts'
import type { Runtime } from '../support/runtime.ts'
import { EtcdError } from '../wire/errors.ts'
import { LeaseClock, type SendInstant } from './lease-clock.ts'
import { believable, LeaseLife, type LeaseLossReason, type LeaseState } from './lease-life.ts'
import { RenewalLine } from './renewal-line.ts'
import type { StreamSource } from './streams.ts'

/** A lease somebody was granted. `keeper.instant()`, read before the request was handed over, gives both instants. */
export interface GrantedLease {
  readonly id: bigint
  readonly ttlMs: number
  /** Monotonic, before the grant was handed to the transport. */
  readonly sentAtMs: number
  /** How long the machine had slept by then. Left out, it is taken not to have slept since. */
  readonly sleptMs?: number | undefined
}

export interface LeaseListener {
  /**
   * The lease entered a state of another kind. Called synchronously, also from inside a read of `state`. Not
   * called during `keep`, nor for `stopped`, nor ever after it.
   */
  changed(state: LeaseState): void
}

/** A lease that is renewed until it is lost or stopped. Every read looks at the clock first and may itself find the loss. */
export interface KeptLease {
  readonly id: bigint
  readonly state: LeaseState
  /** As the server last said. */
  readonly ttlMs: number
  /** Monotonic. Once lost or stopped, the last one there was. */
  readonly deadlineMs: number
  /** How long the lease may be believed in if nothing more is heard; 0 when it may not be. */
  readonly remainingMs: number
  /** When the latest request was sent that the server answered with the lease alive. */
  readonly lastAcknowledgedSendMs: number
  /** Asks the server now. Does nothing while a renewal is on its way. */
  renewNow(): void
  /** Somebody learnt elsewhere that the lease is gone. */
  lose(reason: LeaseLossReason, cause?: unknown): void
  /** Renews no more; the lease itself is left as it is. No listener is called any more. Quiet after a loss. */
  stop(): void
}

/**
 * Keeps every lease of one client alive, over one stream and with one timer.
 *
 * A lease is renewed after a third of its TTL. When an answer takes too long, all that is unanswered is asked
 * again over a fresh stream, to another member if there is one: a server works through a stream one request at
 * a time, so behind a paused leader a stream is stuck for 7 s while a fresh one works within two. The old stream
 * is still listened to, because any answer counts, from when *its* request was sent.
 *
 * No failure of a stream loses a lease. A TTL of 0 does, and the deadline, and whoever knows better.
 */
export class LeaseKeeper {
  readonly #clock: LeaseClock
  readonly #runtime: Runtime
  readonly #agenda: Agenda
  readonly #line: RenewalLine
  readonly #leases = new Map<bigint, LeaseInCare>()
  #closed = false

  constructor(streams: StreamSource, runtime: Runtime) {
    this.#runtime = runtime
    this.#clock = new LeaseClock(runtime)
    this.#agenda = new Agenda(runtime)
    this.#line = new RenewalLine(streams, runtime, this.#agenda, {
      opened: () => this.#askAgain(),
      broken: () => this.#takeBack(),
      answered: (id, sent, ttlMs) => this.#leases.get(id)?.answered(sent, ttlMs),
    })
  }

  /** What to note before a grant is handed to the transport. */
  instant(): { readonly sentAtMs: number; readonly sleptMs: number } {
    const { atMs, sleptMs } = this.#clock.instant()
    return { sentAtMs: atMs, sleptMs }
  }

  keep(lease: GrantedLease, listener: LeaseListener): KeptLease {
    if (this.#closed)
      throw new EtcdError('CLIENT_CLOSED', '[CLIENT_CLOSED] the client was closed', { outcome: 'not-sent' })
    if (this.#leases.has(lease.id))
      throw new TypeError(`lease ${lease.id.toString(16)} is being kept already`)
    const kept = new LeaseInCare(lease, {
      runtime: this.#runtime,
      clock: this.#clock,
      agenda: this.#agenda,
      line: this.#line,
      listener,
      left: () => this.#forget(lease.id),
    })
    this.#leases.set(lease.id, kept)
    return kept
  }

  /** Stops all leases. Nothing is left open or pending. */
  close(): void {
    this.#closed = true
    for (const lease of this.#leases.values()) lease.stop()
    this.#line.close()
  }

  #forget(id: bigint): void {
    this.#leases.delete(id)
    // An open stream keeps the process alive, so there is none without a lease.
    if (this.#leases.size === 0) this.#line.hangUp()
  }

  /** A stream was opened: out goes whatever waited for it, the lease with the least time left first. */
  #askAgain(): void {
    const unsent = [...this.#leases.values()].filter(lease => lease.waitsForStream)
    unsent.sort((one, other) => one.deadlineMs - other.deadlineMs)
    for (const lease of unsent) lease.send()
  }

  /** The stream that renewals were sent on is not the current one any more. */
  #takeBack(): void {
    for (const lease of this.#leases.values()) lease.takeBack()
  }
}

/**
 * Where the current renewal of a lease is. `lateAtMs` is when its stream counts as stuck, `suspendAtMs` when the
 * lease has gone unanswered too long, which a renewal sent again does not put off.
 */
type Renewal =
  | { readonly kind: 'resting'; readonly dueAtMs: number }
  | { readonly kind: 'unsent'; readonly suspendAtMs: number }
  | {
      readonly kind: 'sent'
      readonly suspendAtMs: number
      readonly lateAtMs: number
      readonly patience: Patience
    }

/** Has the renewal been given a moment more already, after the event loop stood still? */
type Patience = 'fresh' | 'spent'

interface Care {
  readonly runtime: Runtime
  readonly clock: LeaseClock
  readonly agenda: Agenda
  readonly line: RenewalLine
  readonly listener: LeaseListener
  /** The lease was lost or stopped. */
  left(): void
}

class LeaseInCare implements KeptLease {
  readonly id: bigint
  readonly #care: Care
  readonly #life: LeaseLife
  readonly #entry: DeadlineEntry<() => void>
  #renewal: Renewal

  constructor({ id, ttlMs, sentAtMs, sleptMs }: GrantedLease, care: Care) {
    this.id = id
    this.#care = care
    const { clock, line, agenda, runtime } = care
    this.#life = new LeaseLife({
      id,
      ttlMs,
      sent: { atMs: sentAtMs, sleptMs: sleptMs ?? clock.sleptMs() },
      clock,
      entered: (state, previous) => this.#entered(state, previous),
      trouble: () => line.trouble,
    })
    // Leases granted together, after a restart of everything, would be renewed together for ever.
    const firstAtMs = sentAtMs + (ttlMs / 3) * (1 - 0.1 * runtime.random())
    this.#renewal = { kind: 'resting', dueAtMs: firstAtMs }
    this.#entry = agenda.add(this.#nextAtMs(), () => this.#due())
  }

  get state(): LeaseState {
    return this.#life.look()
  }

  get ttlMs(): number {
    return this.#life.ttlMs
  }

  get deadlineMs(): number {
    this.#life.look()
    return this.#life.deadlineMs
  }

  get remainingMs(): number {
    const state = this.#life.look()
    return believable(state) ? Math.max(0, this.#life.deadlineMs - this.#care.clock.now()) : 0
  }

  get lastAcknowledgedSendMs(): number {
    return this.#life.acknowledged.atMs
  }

  get waitsForStream(): boolean {
    return this.#inCare() && this.#renewal.kind === 'unsent'
  }

  renewNow(): void {
    if (this.#inCare() && this.#renewal.kind === 'resting') this.#renew()
  }

  lose(reason: LeaseLossReason, cause?: unknown): void {
    this.#life.lose(reason, cause)
  }

  stop(): void {
    this.#life.stop()
  }

  answered(sent: SendInstant, ttlMs: number): void {
    const extended = this.#life.answered(sent, ttlMs)
    if (!this.#inCare()) return
    if (this.#renewal.kind === 'sent' && this.#care.line.awaits(this.id)) {
      // The answer came over an older stream; the renewal on the current one is not late again before its time.
      if (extended) this.#await({ ...this.#renewal, suspendAtMs: this.#renewal.lateAtMs })
    } else if (extended) {
      this.#await({ kind: 'resting', dueAtMs: this.#life.acknowledged.atMs + this.#life.ttlMs / 3 })
    } else if (this.#renewal.kind === 'sent') {
      // Answered, and yet not enough to believe in: asked before the machine slept, say.
      this.#await({ kind: 'resting', dueAtMs: this.#care.clock.now() })
    }
  }

  /** Hands the renewal to the current stream; without one it goes out as soon as there is. */
  send(): void {
    const { line, clock } = this.#care
    if (!this.#inCare() || this.#renewal.kind !== 'unsent') return
    if (!line.ready) return line.open()
    const sent = clock.instant()
    const lateAtMs = sent.atMs + patienceMs(this.#life.ttlMs)
    this.#await({ kind: 'sent', suspendAtMs: this.#renewal.suspendAtMs, lateAtMs, patience: 'fresh' })
    line.send(this.id, sent)
  }

  takeBack(): void {
    if (this.#renewal.kind !== 'sent') return
    this.#await({ kind: 'unsent', suspendAtMs: this.#renewal.suspendAtMs })
  }

  #renew(): void {
    this.#await({ kind: 'unsent', suspendAtMs: this.#care.clock.now() + patienceMs(this.#life.ttlMs) })
    this.send()
  }

  /** Its instant on the agenda has come. */
  #due(): void {
    if (!this.#inCare()) return
    const nowMs = this.#care.clock.now()
    const renewal = this.#renewal
    switch (renewal.kind) {
      case 'resting':
        if (nowMs >= renewal.dueAtMs) this.#renew()
        break
      case 'unsent':
        if (nowMs >= renewal.suspendAtMs) this.#life.overdue()
        break
      case 'sent':
        if (nowMs - renewal.lateAtMs > STALL_MS && renewal.patience === 'fresh') {
          // The event loop stood still, and the answer may be waiting in the socket behind this very timer.
          const untilMs = nowMs + STALL_MS
          this.#await({ kind: 'sent', suspendAtMs: untilMs, lateAtMs: untilMs, patience: 'spent' })
          break
        }
        if (nowMs >= renewal.suspendAtMs || nowMs >= renewal.lateAtMs) this.#life.overdue()
        // The listener that was just told may have stopped the lease, or everything.
        if (nowMs >= renewal.lateAtMs && this.#inCare()) this.#care.line.replace()
        break
      default:
        return unreachable(renewal)
    }
    this.#schedule()
  }

  /** Bookkeeping comes first, so that a listener may do with this lease and all others what it likes. */
  #entered(state: LeaseState, previous: LeaseState): void {
    if (state.kind === 'lost' || state.kind === 'stopped') {
      this.#care.agenda.remove(this.#entry)
      this.#care.left()
    } else if (state.kind === 'doubtful' && previous.kind !== 'doubtful') {
      this.#hurry(state.sinceMs)
    } else {
      this.#schedule()
    }
    if (state.kind === previous.kind || state.kind === 'stopped') return
    try {
      this.#care.listener.changed(state)
    } catch (error) {
      this.#care.runtime.defer(() => {
        throw error
      })
    }
  }

  /** A renewal sent before the machine slept decides nothing: ask at once, not behind it but over a fresh stream. */
  #hurry(nowMs: number): void {
    switch (this.#renewal.kind) {
      case 'resting':
        return this.#await({ kind: 'resting', dueAtMs: nowMs })
      case 'unsent':
        return this.#schedule()
      case 'sent':
        return this.#await({ kind: 'sent', suspendAtMs: nowMs, lateAtMs: nowMs, patience: 'spent' })
      default:
        return unreachable(this.#renewal)
    }
  }

  #inCare(): boolean {
    const { kind } = this.#life.look()
    return kind !== 'lost' && kind !== 'stopped'
  }

  /** The only place that changes the renewal, so the agenda always knows what comes next. */
  #await(renewal: Renewal): void {
    this.#renewal = renewal
    this.#schedule()
  }

  #schedule(): void {
    this.#care.agenda.move(this.#entry, this.#nextAtMs())
  }

  #nextAtMs(): number {
    // Not `look`: that would schedule, and so never end.
    return Math.min(this.#life.deadlineMs, this.#attentionAtMs())
  }

  #attentionAtMs(): number {
    const renewal = this.#renewal
    const suspendAtMs =
      renewal.kind !== 'resting' && this.#life.known.kind === 'active' ? renewal.suspendAtMs : Infinity
    switch (renewal.kind) {
      case 'resting':
        return renewal.dueAtMs
      case 'unsent':
        return suspendAtMs
      case 'sent':
        return Math.min(suspendAtMs, renewal.lateAtMs)
      default:
        return unreachable(renewal)
    }
  }
}

/** When the event loop was late by this much, it stood still; and so long it then gets to read what came meanwhile. */
const STALL_MS = 100

/** How long a renewal may go unanswered. Two attempts and an election fit into what a TTL of 5 s leaves after its third. */
function patienceMs(ttlMs: number): number {
  return Math.min(2000, Math.max(300, ttlMs / 6))
}

function unreachable(state: never): never {
  throw new Error(`no such state: ${JSON.stringify(state)}`)
}
