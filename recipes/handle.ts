import { Compare, createdAt } from '../src/client/compare.ts'
import { KV } from '../src/client/kv.ts'
import { checkTxn, type Op, op, type TxnResult, type TxnSpec } from '../src/client/op.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { within } from '../src/support/bounded.ts'
import { LazyAbort } from '../src/support/lazy-abort.ts'
import { checkOptions, checkSignal } from '../src/support/options.ts'
import { showAs } from '../src/support/shown.ts'
import { text } from '../src/wire/bytes.ts'
import { EtcdError } from '../src/wire/errors.ts'
import { type Claim, giveUp, keysByLine } from './internal/line/claim.ts'
import { watchOwnKeys } from './internal/line/own-key-watch.ts'

const DISPOSE_MS = 5000

export interface ReleaseOptions {
  /** Aborting stops waiting for the confirmation, with the signal's reason; what was held is given up all the same. */
  readonly signal?: AbortSignal | undefined
}

/**
 *               given up                known to be gone
 * held ───────────────────▶ releasing ────────────────────▶ over
 *   └──────── lost: the session, or a key ────────────────────▲
 */
type State =
  | { readonly kind: 'held' }
  | { readonly kind: 'releasing'; readonly done: Promise<void> }
  | { readonly kind: 'lost'; readonly reason: unknown }

/**
 * Something owned: a key at the head of its line, or several.
 *
 * Holding it is a belief, for a process may be stopped while time goes on: `held` and `signal` follow the clock
 * as well as they can. What cannot be wrong is the fencing token: give it to whatever is protected, and let that
 * refuse a smaller one than it has seen; inside etcd, use `txn()` or `guard()`.
 */
export abstract class Handle implements AsyncDisposable {
  /** As it was asked for. */
  readonly name: string
  /** The key in etcd that stands for it; of several, the first. */
  readonly key: Uint8Array
  /** All keys in etcd that stand for it, in the order of their bytes. */
  readonly keys: readonly Uint8Array[]
  /** Larger than that of every earlier owner of this name, in whatever process or language; never given twice. */
  readonly fencingToken: bigint
  readonly #session: SessionContext
  readonly #claim: Claim
  /** What became of it when it was given up, as in `x was unlocked`. */
  readonly #givenUp: string
  readonly #end = new LazyAbort()
  readonly #keyWatches: readonly { stop(): void }[]
  #forgetSession: () => void = () => {}
  #state: State = { kind: 'held' }

  static {
    showAs<Handle>(Handle, ({ key, keys, held, ...facts }) => ({
      ...facts,
      ...(keys.length > 1 ? { keys: keys.map(text) } : { key: text(key) }),
      held,
    }))
  }

  constructor(session: SessionContext, name: string, claim: Claim, givenUp: string) {
    this.keys = claim.stands.map(({ own }) => own.key)
    this.name = name
    this.key = this.keys[0]!
    this.fencingToken = claim.createRevision
    this.#session = session
    this.#claim = claim
    this.#givenUp = givenUp
    this.#keyWatches = keysByLine(claim).map(keys =>
      watchOwnKeys(session, keys, this.fencingToken, error => this.#lose(error)),
    )
    this.#forgetSession = session.engine.aborts.on(session.signal, reason => this.#lose(reason))
  }

  /** Aborts when it is lost, before anybody else can own it, and when it is given up. The reason is an EtcdError. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  /** May it be relied on now? Reads the clock, so it is right also just after the event loop stood still. */
  get held(): boolean {
    try {
      this.assertHeld()
      return true
    } catch {
      return false
    }
  }

  /** Throws LOCK_LOST, LOCK_RELEASED or what became of the session, when it cannot be relied on now. */
  assertHeld(): void {
    switch (this.#state.kind) {
      case 'held':
        return this.#session.assertAlive()
      case 'releasing':
        throw this.#released()
      case 'lost':
        throw this.#state.reason
    }
  }

  /** A compare for your own transaction: holds exactly while we own it, whatever anybody believes. */
  guard(): Compare {
    return Compare.all(this.#claim.stands.map(({ own }) => createdAt(own.key, this.fencingToken)))
  }

  /**
   * A transaction that is applied only if what is held is still ours at that very revision; rejects with LOCK_LOST,
   * and nothing is written, if it is not, or with what `assertHeld()` throws where that is known before it is sent.
   * Compares of its own choose between its `then` and its `else`. Not repeated when its outcome is unknown. One round
   * trip.
   */
  async txn<const Then extends readonly Op[] = readonly [], const Else extends readonly Op[] = readonly []>(
    spec: TxnSpec<Then, Else>,
    options: CallOptions = {},
  ): Promise<TxnResult<Then, Else>> {
    const { if: conditions = [], then = [] } = checkTxn(spec)
    const nested = op.txn(spec)
    this.assertMayWrite()
    const guard = this.guard()
    const kv = new KV(this.#session.engine.submitter, this.#session.space)
    // Without compares of its own there is nothing to nest: servers before 3.5.30 check no permissions inside.
    const flat = conditions.length === 0
    const result = flat
      ? await kv.txn({ if: [guard], then }, options)
      : await kv.txn({ if: [guard], then: [nested] }, options)
    // With no compares the `then` side is what ran, and its answers are those of the whole.
    if (result.succeeded) return (flat ? result : result.results[0]) as TxnResult<Then, Else>
    const error = this.#lostError()
    this.guardFailed(guard, error)
    throw error
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.#session.engine.runtime, DISPOSE_MS, this.giveUp({}, 'dispose')).catch(() => {})
  }

  /** Resolves when it is known to be free for others; what else is true of it is said where it is called. */
  protected async giveUp(options: ReleaseOptions, where: string): Promise<void> {
    options = checkOptions(options, ['signal'], where)
    const { signal } = options
    checkSignal(signal, where)
    if (this.#state.kind === 'held') this.#release()
    const state = this.#state as State
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

  /** As `assertHeld`. What became of a lost session may be unknown; that nothing was written is not. */
  protected assertMayWrite(): void {
    try {
      this.assertHeld()
    } catch (error) {
      if (!EtcdError.is(error) || error.outcome !== 'unknown') throw error
      throw new EtcdError(error.code, `${error.message}; nothing was sent`, {
        outcome: 'not-sent',
        cause: error,
      })
    }
  }

  /** Deletes what is held. Resolves when it is known to be gone; `refused` is told if the cluster will not delete it. */
  protected letGo(refused: (error: EtcdError) => void): Promise<void> {
    return giveUp(this.#session, this.#claim, refused)
  }

  /** A transaction found its guard broken. */
  protected guardFailed(_guard: Compare, error: EtcdError): void {
    this.#lose(error)
  }

  /** It is not ours any more: the cluster says so, or whatever the error says. Returns what to throw. */
  protected lose(error: EtcdError = this.#lostError()): EtcdError {
    this.#lose(error)
    return error
  }

  #release(): void {
    const done = new Promise<void>((resolve, reject) => {
      const gone = this.letGo(reject)
      this.#session.background(gone)
      // With the session the key goes too, whatever becomes of the request that is on its way.
      const stopSession = this.#session.engine.aborts.on(this.#session.signal, () => resolve())
      void gone.then(resolve).finally(stopSession)
    })
    // Whoever gives it up hears of it; disposing need not.
    done.catch(() => {})
    this.#finish({ kind: 'releasing', done }, () => this.#released())
  }

  #lose(reason: unknown): void {
    if (this.#state.kind !== 'held') return
    this.#finish({ kind: 'lost', reason }, () => reason)
    this.#session.doubt()
    // If a key is there after all, it must not stay: nobody holds it.
    this.#session.background(giveUp(this.#session, this.#claim))
  }

  #finish(next: State, reason: () => unknown): void {
    this.#state = next
    for (const watch of this.#keyWatches) watch.stop()
    this.#forgetSession()
    this.#end.abort(reason)
  }

  #released(): EtcdError {
    const message = `[LOCK_RELEASED] ${this.name} was ${this.#givenUp}`
    return new EtcdError('LOCK_RELEASED', message, { outcome: 'rejected' })
  }

  #lostError(): EtcdError {
    return new EtcdError(
      'LOCK_LOST',
      `[LOCK_LOST] ${this.name} is no longer held by us; nothing was written`,
      {
        outcome: 'rejected',
      },
    )
  }
}
