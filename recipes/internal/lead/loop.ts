import type { Client } from '../../../src/client/client.ts'
import { openSession, SessionCore } from '../../../src/session/session-core.ts'
import { onAbort } from '../../../src/support/abort.ts'
import { Backoff } from '../../../src/support/backoff.ts'
import { sleep, within } from '../../../src/support/bounded.ts'
import { Emitter } from '../../../src/support/emitter.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { type ErrorCode, EtcdError } from '../../../src/wire/errors.ts'
import type { LeadState } from '../../lead-state.ts'
import { Term } from '../../lead-term.ts'
import { firstOf } from '../signals.ts'
import { campaign, type Elected } from './candidate-campaign.ts'
import { type LeadKeys, leadKeys } from './candidate-entry.ts'
import { Health, type HealthCheck } from './health.ts'
import { awaitBetter } from './preemption.ts'

export interface LeadPlan {
  readonly name: Uint8Array
  readonly body: (term: Term) => unknown
  readonly signal: AbortSignal | undefined
  readonly ttl: number | undefined
  readonly owner: string | undefined
  readonly metadata: 'none' | undefined
  readonly value: Uint8Array | ((fencingToken: bigint) => Uint8Array) | undefined
  readonly priority: number
  readonly preempt: 'never' | 'gracefully'
  readonly stabilizationMs: number
  readonly gracePeriodMs: number
  readonly backoff: { readonly initialMs: number; readonly maxMs: number }
  readonly healthy: HealthCheck | undefined
  readonly healthyEveryMs: number
  readonly onError: 'again' | 'reject'
  readonly onState: ((state: LeadState) => void) | undefined
}

/** With these it would never lead, however often it tried. */
const HOPELESS: ReadonlySet<ErrorCode> = new Set([
  'CLIENT_CLOSED',
  'AUTH_FAILED',
  'PERMISSION_DENIED',
  'INVALID_ARGUMENT',
  'UNIMPLEMENTED',
  'TOO_LARGE',
  'NAME_CLASH',
  'CLUSTER_MISMATCH',
])

type Settled = { readonly kind: 'returned' } | { readonly kind: 'threw'; readonly error: unknown }

/** What became of a term: whether the function itself went wrong, and whether it is to rest before the next. */
interface TermEnd {
  readonly error: unknown
  readonly failed: boolean
  readonly rests: boolean
}

/**
 *                 healthy              elected              signal aborts            function settled, key gone
 *   unhealthy ─────────────▶ campaigning ──────▶ leading ───────────────▶ draining ─────┐
 *       ▲                      ▲                    └──── function settled ──────────────┤
 *       │                      └────────────── resting ◀────────────────────────────────┘
 *       └── check says no ── from campaigning at once, from leading by draining        stopped: from anywhere
 */
export class LeadLoop {
  readonly #client: Client
  readonly #plan: LeadPlan
  readonly #keys: LeadKeys
  readonly #backoff: Backoff
  readonly #states: Emitter<{ state: LeadState }>
  readonly #health: Health
  readonly #closed = new LazyAbort()
  readonly #stop: LazyAbort
  readonly #stopListening: () => void

  constructor(client: Client, plan: LeadPlan) {
    const { runtime } = client.engine
    this.#client = client
    this.#plan = plan
    this.#keys = leadKeys(client.space, plan.name)
    this.#backoff = new Backoff(runtime, plan.backoff)
    this.#states = new Emitter(runtime)
    if (plan.onState !== undefined) this.#states.on('state', plan.onState)
    this.#health = new Health(runtime, plan.healthy, plan.healthyEveryMs)
    const { abort, stop } = firstOf(client.engine, [plan.signal, this.#closed.signal])
    this.#stop = abort
    this.#stopListening = stop
  }

  /** Resolves when the signal it was given has stopped it, and its function has settled. */
  async run(): Promise<void> {
    const closing: AsyncDisposable = {
      [Symbol.asyncDispose]: async () => {
        this.#closed.abort(
          () =>
            new EtcdError('CLIENT_CLOSED', '[CLIENT_CLOSED] the client was closed', { outcome: 'not-sent' }),
        )
      },
    }
    this.#client.attach(closing)
    // A function that never settles must not keep the check going for ever.
    const stopHealth = this.#client.engine.aborts.on(this.#stop.signal, () => this.#health.stop())
    try {
      while (!this.#stop.aborted) {
        await this.#untilWell()
        if (!this.#stop.aborted) await this.#withSession()
      }
    } finally {
      this.#client.detach(closing)
      stopHealth()
      this.#health.stop()
      this.#stopListening()
      this.#tell({ kind: 'stopped' })
    }
    // Whoever stops it may close the client before it has ended.
    const { reason } = this.#closed.signal
    if (reason !== undefined && this.#stop.signal.reason === reason) throw reason
  }

  /** Terms, one after the other, until the session ends, or we had better have another one. */
  async #withSession(): Promise<void> {
    const session = await this.#openSession()
    if (session === undefined) return
    try {
      while (!this.#stop.aborted && !session.signal.aborted && this.#health.isWell) {
        const elected = await this.#campaign(session)
        if (elected === undefined) return
        await this.#serve(session, elected)
      }
    } finally {
      // What an attempt without an answer may leave behind goes with the lease.
      await session.close().catch(() => {})
    }
  }

  async #openSession(): Promise<SessionCore | undefined> {
    const { ttl, owner, metadata } = this.#plan
    const options = { ttl, owner, metadata, signal: this.#stop.signal }
    try {
      return await openSession(this.#client, options, keep => new SessionCore(this.#client, options, keep))
    } catch (error) {
      await this.#restAfter(error)
      return undefined
    }
  }

  async #campaign(session: SessionCore): Promise<Elected | undefined> {
    const { priority, value } = this.#plan
    const { abort: leave, stop } = firstOf(this.#client.engine, [this.#stop.signal])
    const forgetHealth = this.#health.onChange(() => leave.abort(() => unhealthy(this.#plan)))
    this.#tell({ kind: 'campaigning' })
    try {
      return await campaign({
        session,
        keys: this.#keys,
        priority,
        value: value instanceof Uint8Array ? value : undefined,
        signal: leave.signal,
      })
    } catch (error) {
      if (leave.aborted) return undefined
      // Who rests is nobody to hand over to, and nothing an attempt without an answer makes may stand meanwhile.
      await session.close().catch(() => {})
      await this.#restAfter(error)
      return undefined
    } finally {
      forgetHealth()
      stop()
    }
  }

  async #serve(session: SessionCore, elected: Elected): Promise<void> {
    const { runtime } = this.#client.engine
    const startedMs = runtime.now()
    const end = await this.#term(session, elected)
    if (end.failed && this.#plan.onError === 'reject') throw end.error
    if (runtime.now() - startedMs >= this.#plan.backoff.maxMs) this.#backoff.reset()
    if (end.rests) await this.#rest(end.error)
  }

  async #term(session: SessionCore, elected: Elected): Promise<TermEnd> {
    const ending = new LazyAbort()
    const term = new Term(session, this.#keys, elected, ending)
    const stopEnding = this.#endsWhenDue(ending)
    try {
      const proclaimed = await this.#proclaim(term, elected)
      if (proclaimed !== undefined) {
        await this.#giveUp(session, term)
        return proclaimed
      }
      this.#tell({ kind: 'leading', term })
      const work = this.#settled(term)
      const first = await Promise.race([work, untilAborted(ending.signal)])
      if (first === 'aborted') await this.#drain(term, work)
      // Released whatever becomes of the function: what it still does is told by its smaller token.
      const wasInOrder = term.held
      await this.#giveUp(session, term)
      // The next term does not begin before this has settled, however long that takes.
      const settled = await work
      if (settled.kind === 'threw' && first !== 'aborted')
        return { error: settled.error, failed: true, rests: true }
      if (first === 'aborted' && wasInOrder) return { error: undefined, failed: false, rests: false }
      // It returned, or resigned by itself, or the term was lost.
      const { reason } = ending.signal
      const error = EtcdError.is(reason, 'LOCK_RELEASED') ? undefined : reason
      return { error, failed: false, rests: true }
    } finally {
      stopEnding()
      await term[Symbol.asyncDispose]()
    }
  }

  /** What ends a term in order, besides its function. */
  #endsWhenDue(ending: LazyAbort): () => void {
    const { engine } = this.#client
    const { priority, preempt, stabilizationMs } = this.#plan
    const stops = [
      engine.aborts.on(this.#stop.signal, reason => ending.abort(() => reason)),
      this.#health.onChange(() => ending.abort(() => unhealthy(this.#plan))),
    ]
    if (preempt === 'gracefully') {
      const everyMs = 2 * stabilizationMs + 1000
      stops.push(
        awaitBetter({ engine, keys: this.#keys, priority, stabilizationMs, everyMs }, better =>
          ending.abort(() =>
            released(`somebody of priority ${better.priority} is to lead instead of ${priority}`),
          ),
        ),
      )
    }
    if (!this.#health.isWell) ending.abort(() => unhealthy(this.#plan))
    return () => {
      for (const stop of stops) stop()
    }
  }

  /** A value that depends on the token can be told only now. */
  async #proclaim(term: Term, { value: said }: Elected): Promise<TermEnd | undefined> {
    const { value } = this.#plan
    if (typeof value !== 'function') return undefined
    try {
      const wanted = value(term.fencingToken)
      if (Buffer.compare(wanted, said) !== 0) await term.proclaim(wanted, { signal: term.signal })
      return undefined
    } catch (error) {
      return { error, failed: !EtcdError.is(error) && !term.signal.aborted, rests: true }
    }
  }

  async #giveUp(session: SessionCore, term: Term): Promise<void> {
    await term.resign().catch(async error => {
      this.#client.engine.warn(notReleased(term, error))
      // As long as the lease is renewed nobody else leads.
      await session.close().catch(() => {})
    })
  }

  async #settled(term: Term): Promise<Settled> {
    try {
      await this.#plan.body(term)
      return { kind: 'returned' }
    } catch (error) {
      return { kind: 'threw', error }
    }
  }

  /** Gives the function the grace period, if there is anything left to be put in order. */
  async #drain(term: Term, work: Promise<Settled>): Promise<void> {
    this.#tell({ kind: 'draining', term, reason: term.signal.reason })
    // The sessions of a client that is closed go with it: nothing is left to be put in order.
    if (!term.held || this.#closed.aborted) return
    await within(this.#client.engine.runtime, this.#plan.gracePeriodMs, work)
  }

  async #untilWell(): Promise<void> {
    const { aborts } = this.#client.engine
    if (this.#health.isWell || this.#stop.aborted) return
    this.#tell({ kind: 'unhealthy' })
    // Whoever was told may have stopped it.
    if (this.#stop.aborted) return
    await new Promise<void>(resolve => {
      const done = () => {
        stopHealth()
        stopStop()
        resolve()
      }
      const stopHealth = this.#health.onChange(done)
      const stopStop = aborts.on(this.#stop.signal, done)
    })
  }

  /** Rejects with what trying again would not mend. */
  async #restAfter(error: unknown): Promise<void> {
    if (this.#stop.aborted) return
    if (!EtcdError.is(error) || HOPELESS.has(error.code)) throw error
    await this.#rest(error)
  }

  async #rest(error: unknown): Promise<void> {
    if (this.#stop.aborted) return
    const ms = this.#backoff.delay()
    this.#tell({ kind: 'resting', ms, error })
    await sleep(this.#client.engine.runtime, ms, this.#stop.signal)
  }

  #tell(state: LeadState): void {
    this.#states.emit('state', state)
  }
}

function untilAborted(signal: AbortSignal): Promise<'aborted'> {
  return new Promise(resolve => void onAbort(signal, () => resolve('aborted')))
}

function unhealthy({ name }: LeadPlan): EtcdError {
  return released(`the health check of ${Buffer.from(name).toString()} says no`)
}

function released(why: string): EtcdError {
  return new EtcdError('LOCK_RELEASED', `[LOCK_RELEASED] ${why}`, { outcome: 'rejected' })
}

function notReleased({ name }: Term, error: unknown): { readonly code: string; readonly message: string } {
  const why = error instanceof Error ? error.message : String(error)
  return { code: 'NOT_RESIGNED', message: `${name} could not be given up and goes with its lease: ${why}` }
}
