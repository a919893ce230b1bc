import type { Client } from '../client/client.ts'
import type { Engine } from '../client/engine.ts'
import type { KeySpace } from '../client/key-space.ts'
import { checkCall } from '../client/kv.ts'
import { checkLeaseId, checkTtl } from '../client/lease.ts'
import type { KeptLease } from '../client/lease-keeper.ts'
import { believable, type LeaseState } from '../client/lease-life.ts'
import type { CallOptions } from '../client/submitter.ts'
import { onAbort, quietController } from '../support/abort.ts'
import { Background } from '../support/background.ts'
import { within } from '../support/bounded.ts'
import { deferred } from '../support/deferred.ts'
import { Emitter } from '../support/emitter.ts'
import { checkInteger, checkOptions } from '../support/options.ts'
import { ownOnly } from '../support/own.ts'
import { Resources } from '../support/resources.ts'
import { showAs } from '../support/shown.ts'
import { EtcdError } from '../wire/errors.ts'
import { openLease } from './open-lease.ts'
import { OwnKeys } from './own-keys.ts'
import type { SessionContext } from './session-context.ts'

const DEFAULT_TTL_SECONDS = 15
/** Below, an election of a new leader in the cluster can outlast the lease. */
const SHORT_TTL_SECONDS = 5
const CLOSE_MS = 5000

export interface SessionOptions extends CallOptions {
  /**
   * How long, in whole seconds, the cluster waits for a sign of life before it gives the session's keys to
   * others. Default: 15. Below 5, a change of leader in the cluster may cost the session, and a warning says so.
   */
  readonly ttl?: number | undefined
  /** Go on with a lease that `orphan()` left, here or in another process, instead of a new one. */
  readonly resume?: bigint | undefined
  /** Shown to whoever asks who holds or waits. */
  readonly owner?: string | undefined
  /** `none`: keys of this session say nothing about owner, host, process and age. */
  readonly metadata?: 'none' | undefined
  /**
   * Decides what keys of this session say to whoever asks who holds or waits: given what they would say, returns
   * what they do. Leave out or replace what is nobody's business, add a `purpose`. Called for every place; what it
   * throws rejects the acquisition.
   */
  readonly describe?: ((place: PlaceDescription) => Partial<PlaceDescription>) | undefined
}

/** What a place in a line says about its owner. */
export interface PlaceDescription {
  readonly owner: string | undefined
  readonly host: string | undefined
  readonly pid: number | undefined
  /** In milliseconds since the epoch. */
  readonly sinceMs: number | undefined
  readonly purpose?: string | undefined
}

const KNOWN = ['ttl', 'resume', 'owner', 'metadata', 'describe']

/**
 * - `active`: keys of the session are ours
 * - `suspended`: a renewal is late, or the machine slept; nothing is lost yet
 * - `lost`: final, others may own what was ours
 * - `closed`: final, by `close()` or `orphan()`
 */
export type SessionState = 'active' | 'suspended' | 'lost' | 'closed'

export interface CloseOptions {
  /** How long to wait in all, in milliseconds. Default: 5000. */
  readonly timeoutMs?: number | undefined
}

/**
 *  open ──▶ closing ──▶ over        `lost` is not among them: that is what the lease says, whatever we do
 */
type Phase =
  | { readonly kind: 'open' }
  | { readonly kind: 'closing'; readonly done: Promise<void> }
  | { readonly kind: 'over'; readonly done: Promise<void> }

/** A lease kept alive, the news of its loss, and what is to be put in order when it ends. */
export class SessionCore implements SessionContext, AsyncDisposable {
  readonly engine: Engine
  readonly space: KeySpace
  readonly leaseId: bigint
  readonly resumed: boolean
  readonly ownKeys: OwnKeys
  readonly #client: Client
  readonly #kept: KeptLease
  readonly #options: SessionOptions
  readonly #closing: AbortController = quietController()
  readonly #end: AbortController = quietController()
  readonly #events: Emitter<{ state: SessionState }>
  readonly #attached = new Resources()
  readonly #background = new Background()
  #phase: Phase = { kind: 'open' }

  static {
    showAs<SessionCore>(SessionCore, ({ leaseId, state, ttl, remainingMs }) => ({
      leaseId,
      state,
      ttl,
      remainingMs,
    }))
  }

  /** Sessions are opened by `openSession`: the lease comes first. */
  constructor(
    client: Client,
    options: SessionOptions,
    keep: (changed: (state: LeaseState) => void) => KeptLease,
  ) {
    this.engine = client.engine
    this.space = client.space
    this.#client = client
    this.#options = ownOnly(options)
    this.#events = new Emitter(client.engine.runtime)
    this.#kept = keep(state => this.#leaseChanged(state))
    this.leaseId = this.#kept.id
    this.resumed = this.#options.resume !== undefined
    this.ownKeys = new OwnKeys(this)
    this.engine.aborts.keep(this.closing)
    this.engine.aborts.keep(this.signal)
    client.attach(this)
  }

  /** In seconds, as the cluster granted it last. */
  get ttl(): number {
    return this.#kept.ttlMs / 1000
  }

  /** Aborts when the session is lost or closed, before anybody else can own what was ours; the reason is an EtcdError. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Reads the clock: after the event loop stood still it tells the truth before any timer has run. */
  get state(): SessionState {
    const lease = this.#kept.state
    if (lease.kind === 'lost') return 'lost'
    if (this.#phase.kind === 'over') return 'closed'
    return lease.kind === 'active' ? 'active' : 'suspended'
  }

  /** How long keys of the session can still be relied on if nothing more is heard, in milliseconds; 0 if they cannot. */
  get remainingMs(): number {
    return this.#phase.kind === 'over' ? 0 : this.#kept.remainingMs
  }

  /** Throws SESSION_LOST, SESSION_CLOSED or, after the machine slept, SESSION_SUSPENDED, when keys of the session cannot be relied on now. */
  assertAlive(): void {
    const lease = this.#kept.state
    if (lease.kind === 'lost') throw lease.error
    if (this.#phase.kind === 'over') throw this.#closedError()
    if (believable(lease)) return
    throw new EtcdError(
      'SESSION_SUSPENDED',
      '[SESSION_SUSPENDED] the machine slept longer than the lease lasts; whether it still exists is being asked',
      { outcome: 'rejected' },
    )
  }

  assertOpen(): void {
    const lease = this.#kept.state
    if (lease.kind === 'lost') throw lease.error
    if (this.#phase.kind !== 'open') throw this.#closedError()
  }

  async reliable(): Promise<void> {
    const lease = this.#kept.state
    if (lease.kind !== 'doubtful') return this.assertAlive()
    await new Promise<void>(resolve => {
      const done = () => {
        stopState()
        stopEnd()
        resolve()
      }
      const stopState = this.#events.on('state', done)
      const stopEnd = onAbort(this.#end.signal, done)
    })
    return this.reliable()
  }

  /** Calls `listener` with each change of state. Returns how to stop. */
  on(event: 'state', listener: (state: SessionState) => void): () => void {
    if (event !== 'state') throw new TypeError(`a session tells of 'state', not of '${String(event)}'`)
    return this.#events.on('state', listener)
  }

  placeValue(): Uint8Array {
    const { metadata, owner, describe } = this.#options
    if (metadata === 'none') return NOTHING
    const { host, pid } = this.engine.runtime.identity()
    const sinceMs = this.engine.runtime.wallNow()
    if (describe === undefined) return encoder.encode(JSON.stringify({ v: 1, owner, host, pid, sinceMs }))
    const said = ownOnly(describe({ owner, host, pid, sinceMs }))
    const { purpose } = said
    const shown = { owner: said.owner, purpose, host: said.host, pid: said.pid, sinceMs: said.sinceMs }
    return encoder.encode(JSON.stringify({ v: 1, ...shown }))
  }

  leaseGone(cause: unknown): void {
    this.#kept.lose('revoked', cause)
  }

  doubt(): void {
    this.#kept.renewNow()
  }

  background(work: Promise<void>): void {
    this.#background.add(work)
  }

  /**
   * A resource of yours that is to be disposed of while the session's keys still hold, when it is closed. Throws
   * SESSION_CLOSED once closing has begun: then it stays yours.
   */
  attach(resource: AsyncDisposable): void {
    if (typeof resource?.[Symbol.asyncDispose] !== 'function')
      throw new TypeError('attach: a resource has a method [Symbol.asyncDispose]')
    if (this.#phase.kind !== 'open') throw this.#closedError()
    this.#attached.attach(resource)
  }

  detach(resource: AsyncDisposable): void {
    this.#attached.detach(resource)
  }

  /**
   * Leaves the lease, and the keys on it, to whoever resumes it before it runs out. Resolves with its id once
   * every acquisition under way has been undone. Locks held through this session are no longer held here. What
   * an unanswered attempt creates later is found by whoever resumes the lease and locks that name. Rejects with
   * TIMEOUT, the lease left all the same, when undoing takes longer than `timeoutMs`; with SESSION_LOST when the
   * session is lost meanwhile.
   */
  async orphan(options: CloseOptions = {}): Promise<bigint> {
    const timeoutMs = checkedTimeout(options, 'orphan')
    this.assertOpen()
    await this.#begin('orphan', timeoutMs)
    return this.leaseId
  }

  /**
   * Disposes of what is attached, latest first, then aborts `signal` and revokes the lease: all keys of the
   * session are gone, at one revision, when it resolves. Rejects when that is not known within `timeoutMs`; what is
   * attached is waited for no longer than that, and the lease then runs out by itself. Quiet when repeated, and
   * after a loss. One round trip.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const timeoutMs = checkedTimeout(options, 'close')
    if (this.#phase.kind === 'open') {
      // Whoever closes waits only so long; what comes of it later is nobody's unhandled rejection.
      this.#begin('revoke', timeoutMs).catch(() => {})
    }
    const { done } = this.#phase as Exclude<Phase, { kind: 'open' }>
    // Lost while it was being left to others: for whoever closes it that is an end like any other.
    const over = done.catch(error => {
      if (!EtcdError.is(error, 'SESSION_LOST')) throw error
    })
    if ((await within(this.engine.runtime, timeoutMs, over)) === 'done') return
    throw tookTooLong('the session was not closed', timeoutMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => {})
  }

  /** What is attached may close the session while it is disposed of: by then it is known to be closing. */
  #begin(lease: 'revoke' | 'orphan', timeoutMs: number): Promise<void> {
    const { promise: done, resolve, reject } = deferred<void>()
    this.#phase = { kind: 'closing', done }
    this.#leave(lease, timeoutMs, done).then(resolve, reject)
    return done
  }

  /** The way out. What was attached goes first, while our keys still hold; then belief ends; then the lease. */
  async #leave(lease: 'revoke' | 'orphan', timeoutMs: number, done: Promise<void>): Promise<void> {
    this.#closing.abort(this.#closedError())
    const errors: unknown[] = []
    const disposed = this.#attached.disposeAll().catch(error => void errors.push(error))
    // An orphaned lease stays: no place in a line and no late acquisition may stay on it with nobody behind it.
    const settled = lease === 'orphan' ? disposed.then(() => this.#settledOrLost()) : disposed
    const isLate = (await within(this.engine.runtime, timeoutMs, settled)) !== 'done'
    if (isLate) errors.push(tookTooLong(UNSETTLED[lease], timeoutMs))
    const { state } = this.#kept
    const lost = state.kind === 'lost'
    this.#kept.stop()
    this.#phase = { kind: 'over', done }
    if (!lost) {
      this.#end.abort(this.#closedError())
      this.#events.emit('state', 'closed')
      if (lease === 'revoke') await this.#revoke().catch(error => errors.push(error))
    }
    this.ownKeys.end()
    const ended = this.#background.done().then(() => this.#client.detach(this))
    // Nothing is left to anybody, and that is known without waiting until the cluster knows it too.
    if (lease === 'orphan' && lost) throw state.error
    // Whoever was late has waited long enough.
    if (!isLate) await ended
    if (errors.length === 1) throw errors[0]
    if (errors.length > 1) throw new AggregateError(errors, 'the session could not be closed in order')
  }

  /** On a lease that is lost nothing stays, whatever is still under way. */
  #settledOrLost(): Promise<void> {
    return new Promise((resolve, reject) => {
      const stopListening = onAbort(this.#end.signal, () => resolve())
      void this.#settle().then(resolve, reject).finally(stopListening)
    })
  }

  async #settle(): Promise<void> {
    // Undoing an attempt begins only when its answer is there.
    await this.#background.done()
    await this.ownKeys.settle()
    await this.#background.done()
  }

  async #revoke(): Promise<void> {
    await this.#client.lease.revoke(this.leaseId).catch(error => {
      if (!EtcdError.is(error, 'LEASE_NOT_FOUND')) throw error
    })
  }

  #leaseChanged(lease: LeaseState): void {
    switch (lease.kind) {
      case 'active':
        return void this.#events.emit('state', 'active')
      case 'suspended':
      case 'doubtful':
        return void this.#events.emit('state', 'suspended')
      case 'lost':
        this.#end.abort(lease.error)
        this.#closing.abort(lease.error)
        this.ownKeys.end()
        this.#events.emit('state', 'lost')
        // It is over for us either way: others need not wait for the server to find out.
        this.background(this.#revoke().catch(() => {}))
        void this.#background.done().then(() => this.#client.detach(this))
        return
      case 'stopped':
        return
    }
  }

  #closedError(): EtcdError {
    return new EtcdError('SESSION_CLOSED', '[SESSION_CLOSED] the session was closed', { outcome: 'rejected' })
  }
}

/** What was not done in time. */
const UNSETTLED = {
  revoke: 'what is attached to the session was not disposed of',
  orphan: 'not every acquisition under way could be undone',
} as const
const NOTHING = new Uint8Array(0)
const encoder = new TextEncoder()

/** Grants or resumes the lease, then makes the session. Nothing is left behind when it rejects. */
export async function openSession<Session extends SessionCore>(
  client: Client,
  options: SessionOptions,
  make: (keep: (changed: (state: LeaseState) => void) => KeptLease) => Session,
): Promise<Session> {
  options = checkSessionOptions(options)
  client.assertOpen()
  const { ttl = DEFAULT_TTL_SECONDS, resume } = options
  if (resume === undefined && ttl < SHORT_TTL_SECONDS) {
    client.engine.warn({
      code: 'SHORT_TTL',
      message: `a session with a TTL of ${ttl} s may be lost when the cluster changes its leader; ${SHORT_TTL_SECONDS} s and more outlast that`,
    })
  }
  let changed: (state: LeaseState) => void = () => {}
  const listener = { changed: (state: LeaseState) => changed(state) }
  const leaving = new AbortController()
  const { signal, timeoutMs } = options
  const opening = openLease(client, { ttl, resume, signal, timeoutMs, noMoreAttempts: leaving }, listener)
  // A client that is closed meanwhile waits for the lease, to revoke it.
  const pending: AsyncDisposable = {
    async [Symbol.asyncDispose]() {
      leaving.abort()
      await opening.catch(() => {})
    },
  }
  client.attach(pending)
  const kept = await opening.finally(() => client.detach(pending))
  return make(listen => {
    changed = listen
    return kept
  })
}

function checkedTimeout(options: CloseOptions, where: string): number {
  options = checkOptions(options, ['timeoutMs'], where)
  return checkInteger(options.timeoutMs ?? CLOSE_MS, 'timeoutMs', { min: 1 })
}

function tookTooLong(what: string, timeoutMs: number): EtcdError {
  return new EtcdError('TIMEOUT', `[TIMEOUT] ${what} within ${timeoutMs} ms; the lease runs out by itself`, {
    outcome: 'unknown',
  })
}

function checkSessionOptions(options: SessionOptions): SessionOptions {
  options = checkCall(options, KNOWN, 'session')
  const { ttl, resume, owner, metadata, describe } = options
  if (ttl !== undefined) checkTtl(ttl)
  if (resume !== undefined) checkLeaseId(resume)
  if (ttl !== undefined && resume !== undefined)
    throw new TypeError('session: a resumed lease has its TTL already')
  if (owner !== undefined && typeof owner !== 'string') throw new TypeError('session: owner is a string')
  if (metadata !== undefined && metadata !== 'none')
    throw new TypeError("session: metadata is 'none' or left out")
  if (describe !== undefined && typeof describe !== 'function')
    throw new TypeError('session: describe is a function')
  return options
}
