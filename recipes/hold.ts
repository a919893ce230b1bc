import { type Compare, createdAt } from '../src/client/compare.ts'
import { KV } from '../src/client/kv.ts'
import { checkTxn, type Op, op, type TxnResult, type TxnSpec } from '../src/client/op.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { within } from '../src/support/bounded.ts'
import { LazyAbort } from '../src/support/lazy-abort.ts'
import { checkOptions, checkSignal } from '../src/support/options.ts'
import { text } from '../src/wire/bytes.ts'
import { EtcdError } from '../src/wire/errors.ts'
import { type Claim, giveUp } from './internal/claim.ts'
import { watchOwnKey } from './internal/own-key-watch.ts'

const DISPOSE_MS = 5000

export interface UnlockOptions {
  /** Aborting stops waiting for the confirmation, with the signal's reason; the lock is given up all the same. */
  readonly signal?: AbortSignal | undefined
}

/**
 *                unlock()                known to be gone
 * held ───────────────────▶ releasing ────────────────────▶ over
 *   └──────── lost: the session, or the key ──────────────────▲
 */
type HoldState =
  | { readonly kind: 'held' }
  | { readonly kind: 'releasing'; readonly done: Promise<void> }
  | { readonly kind: 'lost'; readonly reason: unknown }

/**
 * Something owned: the key of a lock at the head of its line.
 *
 * Holding it is a belief, for a process may be stopped while time goes on: `held` and `signal` follow the clock
 * as well as they can. What cannot be wrong is the fencing token: give it to whatever the lock protects, and let
 * that refuse a smaller one than it has seen; inside etcd, use `txn()` or `guard()`.
 */
export class Hold implements AsyncDisposable {
  /** Of the lock, as it was asked for. */
  readonly name: string
  /** The key in etcd that stands for it. */
  readonly key: Uint8Array
  /** Larger than that of every earlier hold of this name, in whatever process or language; never given twice. */
  readonly fencingToken: bigint
  readonly #session: SessionContext
  readonly #claim: Claim
  readonly #end = new LazyAbort()
  readonly #keyWatch: { stop(): void }
  #forgetSession: () => void = () => {}
  #state: HoldState = { kind: 'held' }

  constructor(session: SessionContext, name: Uint8Array, claim: Claim) {
    this.name = text(name)
    this.key = claim.own.key
    this.fencingToken = claim.createRevision
    this.#session = session
    this.#claim = claim
    this.#keyWatch = watchOwnKey(session, this.key, this.fencingToken, error => this.#lose(error))
    this.#forgetSession = session.engine.aborts.on(session.signal, reason => this.#lose(reason))
  }

  /** Aborts when the lock is lost, before anybody else can have it, and when it is unlocked. The reason is an EtcdError. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  /** May the lock be relied on now? Reads the clock, so it is right also just after the event loop stood still. */
  get held(): boolean {
    try {
      this.assertHeld()
      return true
    } catch {
      return false
    }
  }

  /** Throws LOCK_LOST, LOCK_RELEASED or what became of the session, when the lock cannot be relied on now. */
  assertHeld(): void {
    switch (this.#state.kind) {
      case 'held':
        return this.#session.assertAlive()
      case 'releasing':
        throw released(this.name)
      case 'lost':
        throw this.#state.reason
    }
  }

  /** A compare for your own transaction: holds exactly while this hold does, whatever anybody believes. */
  guard(): Compare {
    return createdAt(this.key, this.fencingToken)
  }

  /**
   * A transaction that is applied only if the lock is still ours at that very revision; rejects with LOCK_LOST,
   * and nothing is written, if it is not. Compares of its own choose between its `then` and its `else`. Not
   * repeated when its outcome is unknown. One round trip.
   */
  async txn<const Then extends readonly Op[] = readonly [], const Else extends readonly Op[] = readonly []>(
    spec: TxnSpec<Then, Else>,
    options: CallOptions = {},
  ): Promise<TxnResult<Then, Else>> {
    const { if: conditions = [], then = [] } = checkTxn(spec)
    const nested = op.txn(spec)
    this.assertHeld()
    const kv = new KV(this.#session.engine.submitter, this.#session.space)
    // Without compares of its own there is nothing to nest: servers before 3.5.30 check no permissions inside.
    const flat = conditions.length === 0
    const result = flat
      ? await kv.txn({ if: [this.guard()], then }, options)
      : await kv.txn({ if: [this.guard()], then: [nested] }, options)
    // With no compares the `then` side is what ran, and its answers are those of the whole.
    if (result.succeeded) return (flat ? result : result.results[0]) as TxnResult<Then, Else>
    const error = new EtcdError(
      'LOCK_LOST',
      `[LOCK_LOST] ${this.name} is no longer held by us; nothing was written`,
      {
        outcome: 'rejected',
      },
    )
    this.#lose(error)
    throw error
  }

  /**
   * Resolves when the lock is known to be free for others. `signal` aborts at once. Repeated in the background
   * until that is known; if the session ends meanwhile it resolves then, and the key goes when the cluster ends
   * the lease. Rejects if the cluster refuses. Quiet when repeated, and after a loss. One round trip.
   */
  async unlock(options: UnlockOptions = {}): Promise<void> {
    options = checkOptions(options, ['signal'], 'unlock')
    const { signal } = options
    checkSignal(signal, 'unlock')
    if (this.#state.kind === 'held') this.#release()
    const state = this.#state as HoldState
    if (state.kind !== 'releasing') return
    if (signal === undefined) return state.done
    signal.throwIfAborted()
    let stopListening = () => {}
    await Promise.race([
      state.done,
      new Promise<never>((_, reject) => {
        stopListening = this.#session.engine.aborts.on(signal, reject)
      }),
    ]).finally(stopListening)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.#session.engine.runtime, DISPOSE_MS, this.unlock()).catch(() => {})
  }

  #release(): void {
    const done = new Promise<void>((resolve, reject) => {
      const gone = giveUp(this.#claim, reject)
      this.#session.background(gone)
      void gone.then(resolve)
    })
    // Whoever unlocks hears of it; disposing need not.
    done.catch(() => {})
    this.#finish({ kind: 'releasing', done }, () => released(this.name))
  }

  #lose(reason: unknown): void {
    if (this.#state.kind !== 'held') return
    this.#finish({ kind: 'lost', reason }, () => reason)
    this.#session.doubt()
    // If the key is there after all, it must not stay: nobody holds it.
    this.#session.background(giveUp(this.#claim))
  }

  #finish(next: HoldState, reason: () => unknown): void {
    this.#state = next
    this.#keyWatch.stop()
    this.#forgetSession()
    this.#end.abort(reason)
  }
}

function released(name: string): EtcdError {
  return new EtcdError('LOCK_RELEASED', `[LOCK_RELEASED] ${name} was unlocked`, { outcome: 'rejected' })
}
