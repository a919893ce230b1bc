import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { type Bytes, toBytes } from '../src/wire/bytes.ts'
import { type Contender, readContenders } from './contender.ts'
import { Hold } from './hold.ts'
import { acquire } from './internal/acquisition.ts'
import { linePrefix, type Wish } from './internal/claim.ts'
import { oneAtATime } from './internal/rule.ts'
import { checkBody, runWith } from './internal/run-with.ts'
import { tryAcquire } from './internal/try-acquire.ts'
import { checkedLock, checkName, type LockOptions } from './lock-options.ts'

/** What can be asked about a mutex without standing in its line. */
export class MutexView {
  readonly #engine: Engine
  /** Of all keys in its line, as etcd has them. */
  protected readonly prefix: Uint8Array

  constructor(engine: Engine, space: KeySpace, name: Bytes) {
    this.#engine = engine
    this.prefix = linePrefix(space, checkName(name))
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
 *           the predecessor leaves.
 */
export class Mutex extends MutexView {
  readonly #session: SessionContext
  readonly #name: Uint8Array

  constructor(session: SessionContext, name: Bytes) {
    super(session.engine, session.space, name)
    this.#session = session
    this.#name = toBytes(name)
  }

  /**
   * Resolves when the lock is ours. Waits for every earlier contender. Rejects with the signal's reason at once,
   * with SESSION_LOST or SESSION_CLOSED when the session ends, with LOCK_LOST when somebody deletes our place,
   * with NAME_CLASH when it would wait for this session itself. Cancelling: you lose your place in the line.
   */
  async lock(options: LockOptions = {}): Promise<Hold> {
    const { signal } = checkedLock(options, 'lock')
    const claim = await acquire(this.#session, [this.#wish()], signal)
    return new Hold(this.#session, this.#name, claim)
  }

  /**
   * Resolves with the lock if nobody holds or waits for it, else with undefined, and nothing was written. A Go
   * program that tries it in the same instant may make it look taken. One round trip, none if this session has it.
   */
  async tryLock(options: LockOptions = {}): Promise<Hold | undefined> {
    const { signal } = checkedLock(options, 'tryLock')
    const claim = await tryAcquire(this.#session, [this.#wish()], signal)
    return claim === undefined ? undefined : new Hold(this.#session, this.#name, claim)
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

  #wish(): Wish {
    return { prefix: this.prefix, rule: oneAtATime, value: this.#session.placeValue() }
  }
}
