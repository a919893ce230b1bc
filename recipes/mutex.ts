import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { checkInteger, checkRevision } from '../src/support/options.ts'
import { showAs } from '../src/support/shown.ts'
import { type Bytes, text } from '../src/wire/bytes.ts'
import { type Contender, readContenders } from './contender.ts'
import { type Explanation, explainLine } from './explain.ts'
import { Hold } from './hold.ts'
import { timeOf } from './internal/call-time.ts'
import { acquire } from './internal/line/acquisition.ts'
import { type Claim, linePrefix, type Wish } from './internal/line/claim.ts'
import { oneAtATime } from './internal/line/rule.ts'
import { tryAcquire } from './internal/line/try-acquire.ts'
import { LockDelay } from './internal/mutex/lock-delay.ts'
import { askToRevoke, breakHold, revocationKey } from './internal/mutex/revocation.ts'
import { checkBody, runWith } from './internal/run-with.ts'
import { checkedLock, checkedMutex, checkName, type LockOptions, type MutexOptions } from './lock-options.ts'

export interface RevocationOptions extends CallOptions {
  /** Told to the holder. */
  readonly reason?: string | undefined
  /** The request is forgotten after so many seconds. Default: 30. */
  readonly ttl?: number | undefined
}

const REVOCATION_SECONDS = 30

/** What can be asked about a mutex without standing in its line. */
export class MutexView {
  readonly #engine: Engine
  readonly #space: KeySpace
  readonly #name: Uint8Array
  readonly #ours: bigint | undefined
  /** Of all keys in its line, as etcd has them. */
  protected readonly prefix: Uint8Array

  static {
    showAs<MutexView>(MutexView, view => ({ name: text(view.#name) }))
  }

  /** `ours`: the lease of places to be told apart from others. */
  constructor(engine: Engine, space: KeySpace, name: Bytes, ours?: bigint) {
    this.#engine = engine
    this.#space = space
    this.#name = checkName(name)
    this.#ours = ours
    this.prefix = linePrefix(space, this.#name)
  }

  /** Resolves with whoever holds it, undefined if it is free. One round trip. */
  async holder(options: CallOptions = {}): Promise<Contender | undefined> {
    options = checkCall(options, [], 'holder')
    return (await readContenders(this.#engine, this.prefix, oneAtATime.keys, options))[0]
  }

  /** Resolves with everybody behind the holder, in the order of their turn. One round trip. */
  async waiters(options: CallOptions = {}): Promise<readonly Contender[]> {
    options = checkCall(options, [], 'waiters')
    return (await readContenders(this.#engine, this.prefix, oneAtATime.keys, options)).slice(1)
  }

  /** Resolves with who holds it, who waits, since when and for whom, to be read by people. One round trip. */
  async explain(options: CallOptions = {}): Promise<Explanation> {
    options = checkCall(options, [], 'explain')
    const line = await readContenders(this.#engine, this.prefix, oneAtATime.keys, options)
    return explainLine({ kind: 'mutex', name: this.#name, ours: this.#ours }, line, {
      holding: Math.min(1, line.length),
    })
  }

  /**
   * Asks the holder to unlock, which hears of it if it gave `onRevocation`. Resolves with whom it asked, undefined if
   * the lock is free or just being passed on. The request is bound to that hold: its successors never hear of it.
   * Three round trips.
   */
  async requestRevocation(options: RevocationOptions = {}): Promise<Contender | undefined> {
    options = checkCall(options, ['reason', 'ttl'], 'requestRevocation')
    const { reason, ttl = REVOCATION_SECONDS } = options
    if (reason !== undefined && typeof reason !== 'string')
      throw new TypeError('requestRevocation: reason is a string')
    checkInteger(ttl, 'ttl', { min: 1 })
    const time = timeOf(this.#engine, options)
    const holder = await this.holder(time())
    if (holder === undefined) return undefined
    const key = revocationKey(this.#space, this.#name, holder.createRevision)
    const leaseOptions = { space: this.#space, ttl }
    const asked = await askToRevoke(this.#engine, { key, leaseOptions }, holder, reason, time)
    return asked ? holder : undefined
  }

  /**
   * Takes the lock from the hold with this token, and from no other: whoever holds it by now is never hit. Resolves
   * with whether that hold was there. Its holder hears of it within a second or so and may work on until then; what
   * it writes is told by its smaller token. Two round trips.
   */
  async breakLock(options: CallOptions & { readonly token: bigint }): Promise<boolean> {
    if (options === undefined) throw new TypeError('breakLock takes { token }: whose hold is to be broken?')
    options = checkCall(options, ['token'], 'breakLock')
    const { token } = options
    checkRevision(token, 'token', 1n)
    const time = timeOf(this.#engine, options)
    const holder = await this.holder(time())
    if (holder?.createRevision !== token) return false
    return breakHold(this.#engine, holder, time())
  }
}

/**
 * A mutual-exclusion lock, granted in order of arrival.
 *
 * Keys      `<name>/<lease in hex>`, the layout of Go's `concurrency.Mutex`, of `etcdctl lock` and of the server's
 *           own lock service: all of them share a line with us. The value tells owner, host, process and age.
 * Steps     1. wait for the other tasks of this session   2. in one transaction, create my key if it is absent and
 *           read the line   3. somebody earlier? wait, in the watch all waiters of this client share, until every
 *           earlier key is gone   4. mine until unlocked or lost
 * Safety    at most one key is the oldest at any revision, and `guard()` and `txn()` hold to that. A process that
 *           was stopped may still believe; what it wrote outside etcd is told by its smaller fencing token. A lock
 *           resumed after `orphan()` keeps its token.
 * Liveness  first come, first served, across processes and languages. A crashed holder is followed after its TTL.
 *           What a client left behind for want of an answer is cleared by its session, at the latest with its lease.
 * Not       re-entrant: a second `lock` of the session waits for the first. `a` and `a/b` are not apart: the keys of
 *           `a/b` stand in the line of `a`. Another session's are waited for and named by a warning, our own refused.
 * Cost      free: 1 round trip to lock, 1 to unlock. Contended: 1 to stand in line, and none from the release to
 *           the next holder. Up to 64 ahead, one message per release for each client that waits; beyond, none until
 *           the predecessor leaves. Options that are not used cost nothing.
 */
export class Mutex extends MutexView {
  readonly #session: SessionContext
  readonly #name: Uint8Array
  readonly #options: MutexOptions
  readonly #delay: LockDelay | undefined

  constructor(session: SessionContext, name: Bytes, options: MutexOptions = {}) {
    super(session.engine, session.space, name, session.leaseId)
    this.#session = session
    this.#name = checkName(name)
    this.#options = checkedMutex(options)
    const { lockDelayMs } = this.#options
    this.#delay = lockDelayMs === undefined ? undefined : new LockDelay(session, this.#name, lockDelayMs)
  }

  /**
   * Resolves when the lock is ours. Waits for every earlier contender. Rejects with the signal's reason at once,
   * with SESSION_LOST or SESSION_CLOSED when the session ends, with LOCK_LOST when somebody deletes our place,
   * with NAME_CLASH when it would wait for this session itself. Cancelling: you lose your place in the line.
   */
  async lock(options: LockOptions = {}): Promise<Hold> {
    const { signal } = checkedLock(options, 'lock')
    const claim = await acquire(this.#session, [this.#wish()], signal)
    if (this.#delay !== undefined) await this.#delay.pass(claim, signal, 'lock')
    return this.#hold(claim)
  }

  /**
   * Resolves with the lock if nobody holds or waits for it, else with undefined, and nothing was written. A Go
   * program that tries it in the same instant may make it look taken. With `lockDelayMs` it waits that long after a
   * loss. One round trip, none if this session has it.
   */
  async tryLock(options: LockOptions = {}): Promise<Hold | undefined> {
    const { signal } = checkedLock(options, 'tryLock')
    const claim = await tryAcquire(this.#session, [this.#wish()], signal)
    if (claim === undefined) return undefined
    if (this.#delay !== undefined) await this.#delay.pass(claim, signal, 'tryLock')
    return this.#hold(claim)
  }

  /**
   * Runs `body` with the lock and unlocks whatever comes of it. Resolves with what `body` returned. Its error
   * comes first; if it returned although the lock had been lost before, rejects with LOCK_LOST. Trouble with
   * unlocking after a success is nobody's error: the key goes in the background.
   */
  async run<Result>(
    body: (hold: Hold) => Result | Promise<Result>,
    options: LockOptions = {},
  ): Promise<Result> {
    checkBody(body)
    return runWith(this.#session, await this.lock(options), body)
  }

  #hold(claim: Claim): Hold {
    const { maxHoldMs, onRevocation } = this.#options
    return new Hold(this.#session, this.#name, claim, { delay: this.#delay, maxHoldMs, onRevocation })
  }

  #wish(): Wish {
    return { prefix: this.prefix, rule: oneAtATime, value: this.#session.placeValue() }
  }
}
