import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { showAs } from '../src/support/shown.ts'
import { type Bytes, text } from '../src/wire/bytes.ts'
import { type Contender, readContenders } from './contender.ts'
import { type Explanation, explainLine } from './explain.ts'
import { acquire } from './internal/line/acquisition.ts'
import { linePrefix, type Wish } from './internal/line/claim.ts'
import { tryAcquire } from './internal/line/try-acquire.ts'
import { type Mode, rules, valueIn } from './internal/read-write/read-write.ts'
import { checkBody, runWith } from './internal/run-with.ts'
import { checkedLock, checkName, type LockOptions } from './lock-options.ts'
import { ReadWriteHold } from './read-write-hold.ts'

/** What can be asked about a read-write lock without standing in its line. */
export class RwMutexView {
  readonly #engine: Engine
  readonly #name: Uint8Array
  readonly #ours: bigint | undefined
  /** Of all keys in its line, as etcd has them. */
  protected readonly prefix: Uint8Array

  static {
    showAs<RwMutexView>(RwMutexView, view => ({ name: text(view.#name) }))
  }

  /** `ours`: the lease of places to be told apart from others. */
  constructor(engine: Engine, space: KeySpace, name: Bytes, ours?: bigint) {
    this.#engine = engine
    this.#name = checkName(name)
    this.#ours = ours
    this.prefix = linePrefix(space, this.#name)
  }

  /** Resolves with everybody who holds it: readers, or one writer. One round trip. */
  async holders(options: CallOptions = {}): Promise<readonly Contender[]> {
    options = checkCall(options, [], 'holders')
    const all = await this.#read(options)
    return all.slice(0, holding(all))
  }

  /** Resolves with everybody who waits, in the order of their turn. One round trip. */
  async waiters(options: CallOptions = {}): Promise<readonly Contender[]> {
    options = checkCall(options, [], 'waiters')
    const all = await this.#read(options)
    return all.slice(holding(all))
  }

  /** Resolves with who holds it, who waits, since when and for whom, to be read by people. One round trip. */
  async explain(options: CallOptions = {}): Promise<Explanation> {
    options = checkCall(options, [], 'explain')
    const all = await this.#read(options)
    return explainLine({ kind: 'read-write lock', name: this.#name, ours: this.#ours }, all, {
      holding: holding(all),
      shares: ({ mode }) => mode === 'read',
    })
  }

  #read(options: CallOptions): Promise<readonly Contender[]> {
    return readContenders(this.#engine, this.prefix, 'many', options)
  }
}

/**
 * A lock that readers share and a writer has alone, granted in order of arrival.
 *
 * Keys      `<name>/<lease in hex>-<n>`, n the lowest number no other task of the session uses. The value begins
 *           with the mode, `{"mode":"read"` or `{"mode":"write"`, then tells owner, host, process and age. A layout
 *           of its own: Go's experimental one orders by modification, so it cannot change a mode in place.
 * Steps     1. in one transaction, create my key if it is absent and read the line; a reader is told by a compare
 *           if all in it are readers   2. a reader waits until no writer is before it, a writer until nobody is
 *           3. mine until unlocked or lost; a mode changes by a write to my key, which keeps its place
 * Safety    at no revision is there a writer with nobody before it and anybody else to whom the same is true.
 *           `guard()` holds to that, while writing to the mode as well. Readers get tokens, too: every hold of the
 *           name has a larger one than all that came before it.
 * Liveness  first come, first served: no reader passes a writer that waits, no writer waits for readers behind it.
 *           A crashed holder is followed after its TTL.
 * Not       re-entrant: a session may hold and wait several times, each by itself, and can wait for itself for ever;
 *           give the wait a signal. Not shared with `mutex` of the same name, though each waits for the other. Who
 *           resumes a lease that `orphan()` left takes up the locks on it, the oldest first, each by asking for its
 *           mode; those nobody asks for stay until the lease ends.
 * Cost      free, or readers only: 1 round trip to lock, 1 to unlock, 1 to change the mode. Contended: 1 to stand in
 *           line and none from the release to the next. Up to 64 in line, one message per change for each client
 *           that waits; behind more, none until the nearest one it waits for goes. 1 more to take up what was left
 *           with a lease, and 1 to look for it.
 */
export class RwMutex extends RwMutexView {
  readonly #session: SessionContext
  readonly #name: Uint8Array

  constructor(session: SessionContext, name: Bytes) {
    super(session.engine, session.space, name, session.leaseId)
    this.#session = session
    this.#name = checkName(name)
  }

  /** Resolves when no writer is before us. Otherwise as {@link Mutex.lock}. */
  readLock(options: LockOptions = {}): Promise<ReadWriteHold> {
    return this.#lock('read', options, 'readLock')
  }

  /** Resolves when nobody is before us. Otherwise as {@link Mutex.lock}. */
  writeLock(options: LockOptions = {}): Promise<ReadWriteHold> {
    return this.#lock('write', options, 'writeLock')
  }

  /** Resolves with the lock if no writer holds or waits for it, else with undefined, and nothing was written. One round trip. */
  tryReadLock(options: LockOptions = {}): Promise<ReadWriteHold | undefined> {
    return this.#tryLock('read', options, 'tryReadLock')
  }

  /** Resolves with the lock if nobody holds or waits for it, else with undefined, and nothing was written. One round trip. */
  tryWriteLock(options: LockOptions = {}): Promise<ReadWriteHold | undefined> {
    return this.#tryLock('write', options, 'tryWriteLock')
  }

  /** Runs `body` with the lock for reading; as {@link Mutex.run}. */
  async read<Result>(
    body: (hold: ReadWriteHold) => Result | Promise<Result>,
    options: LockOptions = {},
  ): Promise<Result> {
    checkBody(body)
    return runWith(this.#session, await this.readLock(options), body)
  }

  /** Runs `body` with the lock for writing; as {@link Mutex.run}. */
  async write<Result>(
    body: (hold: ReadWriteHold) => Result | Promise<Result>,
    options: LockOptions = {},
  ): Promise<Result> {
    checkBody(body)
    return runWith(this.#session, await this.writeLock(options), body)
  }

  async #lock(mode: Mode, options: LockOptions, where: string): Promise<ReadWriteHold> {
    const { signal } = checkedLock(options, where)
    const claim = await acquire(this.#session, [this.#wish(mode)], signal)
    return new ReadWriteHold(this.#session, this.#name, claim, mode)
  }

  async #tryLock(mode: Mode, options: LockOptions, where: string): Promise<ReadWriteHold | undefined> {
    const { signal } = checkedLock(options, where)
    const claim = await tryAcquire(this.#session, [this.#wish(mode)], signal)
    return claim === undefined ? undefined : new ReadWriteHold(this.#session, this.#name, claim, mode)
  }

  #wish(mode: Mode): Wish {
    return { prefix: this.prefix, rule: rules[mode], value: valueIn(mode, this.#session.placeValue()) }
  }
}

/** How many of the line hold: all readers before the first writer, or that writer if it is the first. */
function holding(line: readonly Contender[]): number {
  const writer = line.findIndex(({ mode }) => mode !== 'read')
  if (writer === -1) return line.length
  return Math.max(writer, 1)
}
