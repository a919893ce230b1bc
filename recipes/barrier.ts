import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { quietController } from '../src/support/abort.ts'
import { within } from '../src/support/bounded.ts'
import { checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, equalBytes, mapKey, text } from '../src/wire/bytes.ts'
import { EtcdError } from '../src/wire/errors.ts'
import type { KeyValue } from '../src/wire/gen/kv.g.ts'
import { BarrierKey } from './internal/barrier/key.ts'
import { checkedName, encoded, NO_END, persist } from './internal/barrier/wire.ts'
import { orAborted } from './internal/signals.ts'
import { untilKeys } from './internal/watched-keys.ts'

const DISPOSE_MS = 5000

export interface BarrierHoldOptions {
  /**
   * Opens the barrier by itself when this session, of the same client, ends. Without one it stays closed until
   * somebody releases it.
   */
  readonly session?: SessionContext | undefined
  /** Gives up: the barrier is not, or no longer, closed by this call. */
  readonly signal?: AbortSignal | undefined
}

export interface BarrierWaitOptions {
  /** Stops waiting. Safe: nothing was taken. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Why a barrier let somebody through.
 *
 * - `absent`: it was open already
 * - `released`: whoever closed it, or somebody else, released it
 * - `abandoned`: the session of whoever closed it ended before that, or its key was deleted by other means
 * - `unknown`: it opened, and was closed and released again before this client, cut off from the cluster, heard of it
 */
export type BarrierOpening = 'absent' | 'released' | 'abandoned' | 'unknown'

/**
 * Holds many back until somebody opens it.
 *
 * Keys      `<name>` closes the barrier by being there, as in Go's recipe: both can wait at, hold and release the same
 *           one. `<name>.state` says which creation of it was released last; it stays when the barrier is open.
 * Steps     hold: create the key if it is absent   release: delete it, if it is still that one, and say so beside it,
 *           in one transaction   wait: 1. read the key; absent? go on   2. watch it until it is gone
 * Safety    one hold at a time; a release by handle opens no later hold. No wait ends because a watch was lost: the
 *           key is read again. A hold whose request is applied late, after it was given up or released, does
 *           nothing, since each compares when the barrier was released last.
 * Liveness  a hold with a session opens when that ends; one without stays until it is released, whoever crashes.
 * Not       fair or exclusive among those who wait: all go at once. A hold that Go made and whose process died
 *           stays. With Go's release of a hold of ours that has a lease, `wait` says `abandoned`.
 * Cost      hold: 1 round trip, 1 more where the name was used before. Release: 1. Wait: 1 if it is open, else 2, then
 *           one message when it opens, and 1 to learn why if it was held with a session.
 */
export class Barrier {
  readonly name: string
  readonly #engine: Engine
  readonly #key: BarrierKey

  constructor(engine: Engine, space: KeySpace, name: Bytes) {
    const bytes = checkedName(name, 'a barrier')
    this.name = text(bytes)
    this.#engine = engine
    this.#key = new BarrierKey(engine, space, bytes)
  }

  /**
   * Resolves when the barrier is closed by us. Rejects with ALREADY_EXISTS when somebody else has closed it, with
   * SESSION_LOST or SESSION_CLOSED when the session ends, without one with CLIENT_CLOSED when the client is closed, and
   * at once with the signal's reason. Cancelling: the barrier is released in the background if it was closed;
   * `session.close()`, or `etcd.close()` without a session, waits for that.
   */
  async hold(options: BarrierHoldOptions = {}): Promise<BarrierHold> {
    options = checkOptions(options, ['session', 'signal'], 'hold')
    const { session, signal } = options
    checkSignal(signal, 'hold')
    if (session !== undefined && typeof session?.assertOpen !== 'function')
      throw new TypeError('hold: session is a session')
    // Another cluster may not know the lease, which would be taken for the end of the session.
    if (session !== undefined && session.engine !== this.#engine)
      throw new TypeError('hold: session is one of the same client')
    signal?.throwIfAborted()
    session?.assertOpen()
    if (session === undefined) this.#engine.leaving.throwIfAborted()
    const holding = new Holding(this.#engine, this.#key, session)
    const held = holding.run(signal)
    // From the beginning: whoever closes must not find nothing to wait for before it is known what to undo.
    const owner = session ?? this.#engine
    owner.background(held.then(noop, noop))
    try {
      const createRevision = await held
      return new BarrierHold(this.name, this.#engine, this.#key, { session, createRevision })
    } catch (error) {
      if (!EtcdError.is(error, 'LEASE_NOT_FOUND') || session === undefined) throw error
      session.leaseGone(error)
      throw session.signal.aborted ? session.signal.reason : error
    }
  }

  /**
   * Opens the barrier, whoever closed it. Resolves with whether it was closed, once it is known not to be any more.
   * Two round trips. Cancelling: the barrier may be opened all the same.
   */
  async release(options: BarrierWaitOptions = {}): Promise<boolean> {
    const { signal } = checkedWait(options, 'release')
    signal?.throwIfAborted()
    const found = await this.#key.read(signal)
    if (found === undefined) return false
    const { closing } = this.#engine.connections
    await orAborted(this.#engine, [signal], this.#key.release(found.createRevision, closing))
    return true
  }

  /**
   * Resolves when the barrier that is closed now, if it is, has opened, and with why. Rejects at once with the
   * signal's reason, and when the key may not be read or the client is closed.
   */
  async wait(options: BarrierWaitOptions = {}): Promise<BarrierOpening> {
    const { signal } = checkedWait(options, 'wait')
    signal?.throwIfAborted()
    let closed = await this.#key.read(signal)
    if (closed === undefined) return 'absent'
    const { key } = this.#key
    const { createRevision } = closed
    const seenAt = await untilKeys(
      this.#engine,
      { key, rangeEnd: NO_END },
      ({ kvs, revision }) => {
        const now = kvs.get(mapKey(key))
        if (now?.createRevision !== createRevision) return { revision }
        // It may have been written again, with or without a lease.
        closed = now
        return undefined
      },
      [signal],
    )
    return this.#why(closed, seenAt.revision, signal)
  }

  async #why(
    { lease, createRevision }: KeyValue,
    atLeast: bigint,
    signal: AbortSignal | undefined,
  ): Promise<BarrierOpening> {
    // No session's end deletes it.
    if (lease === 0n) return 'released'
    const until = signal ?? this.#engine.connections.closing
    // It has opened: a bad connection only keeps us from knowing why.
    const released = await persist(this.#engine, until, () => this.#key.released(atLeast, signal))
    if (released === createRevision) return 'released'
    return released > createRevision ? 'unknown' : 'abandoned'
  }
}

/** A barrier that we keep closed. */
export class BarrierHold implements AsyncDisposable {
  /** Of the barrier, as it was asked for. */
  readonly name: string
  /** The key in etcd that keeps it closed. */
  readonly key: Uint8Array
  /** Larger than that of every earlier hold of this barrier. */
  readonly createRevision: bigint
  readonly #engine: Engine
  readonly #barrier: BarrierKey
  readonly #session: SessionContext | undefined
  #released: Promise<void> | undefined

  /** Made by {@link Barrier.hold}. */
  constructor(
    name: string,
    engine: Engine,
    barrier: BarrierKey,
    {
      session,
      createRevision,
    }: { readonly session: SessionContext | undefined; readonly createRevision: bigint },
  ) {
    this.name = name
    this.key = barrier.key
    this.createRevision = createRevision
    this.#engine = engine
    this.#barrier = barrier
    this.#session = session
  }

  /**
   * Resolves when the barrier is known not to be closed by us any more. Repeated in the background until that is
   * known; rejects if the cluster refuses, or the client is closed before; call it again when that is mended. Quiet
   * when repeated, after the session ended, and when somebody else has released it. One round trip. Cancelling: it
   * is released all the same.
   */
  async release(options: BarrierWaitOptions = {}): Promise<void> {
    const { signal } = checkedWait(options, 'release')
    if (this.#released === undefined) {
      this.#released = this.#release()
      const quiet = this.#released.catch(() => {
        this.#released = undefined
      })
      const owner = this.#session ?? this.#engine
      owner.background(quiet)
    }
    return orAborted(this.#engine, [signal], this.#released)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.#engine.runtime, DISPOSE_MS, this.release()).catch(() => {})
  }

  async #release(): Promise<void> {
    const until = this.#session?.signal ?? this.#engine.connections.closing
    try {
      await orAborted(this.#engine, [until], this.#barrier.release(this.createRevision, until))
    } catch (error) {
      // The cluster ends the lease, and the key with it.
      if (!this.#session?.signal.aborted) throw error
    }
  }
}

/** One attempt to close the barrier, until it is known what came of it. */
class Holding {
  readonly #engine: Engine
  readonly #key: BarrierKey
  readonly #session: SessionContext | undefined
  readonly #value: Uint8Array
  #createRevision: bigint | undefined
  #isInDoubt = false

  constructor(engine: Engine, key: BarrierKey, session: SessionContext | undefined) {
    this.#engine = engine
    this.#key = key
    this.#session = session
    const id = Buffer.from(engine.runtime.randomBytes(12)).toString('hex')
    const { host, pid } = engine.runtime.identity()
    this.#value = encoded({ id, host, pid, sinceMs: engine.runtime.wallNow() })
  }

  /**
   * Resolves with the create revision of our key. When it rejects, the barrier is not closed by us, now or later, once
   * what is then done in the background is done.
   */
  async run(signal: AbortSignal | undefined): Promise<bigint> {
    const { aborts } = this.#engine
    const leaving = quietController()
    const leave = (reason: unknown) => leaving.abort(reason)
    const stopCaller = aborts.on(signal, leave)
    const stopOwner =
      this.#session === undefined
        ? aborts.on(this.#engine.leaving, () => leave(clientClosed()))
        : aborts.on(this.#session.closing, leave)
    try {
      this.#createRevision = await this.#key.create(
        { value: this.#value, leaseId: this.#session?.leaseId ?? 0n },
        {
          signal: leaving.signal,
          unanswered: () => {
            this.#isInDoubt = true
          },
        },
      )
      // An attempt before the one that was answered may still be on its way.
      if (this.#isInDoubt) await orAborted(this.#engine, [leaving.signal], this.#fence())
      // After the machine slept that may take as long as nobody answers.
      if (this.#session !== undefined)
        await orAborted(this.#engine, [leaving.signal], this.#session.reliable())
      leaving.signal.throwIfAborted()
      return this.#createRevision
    } catch (error) {
      this.#giveUp()
      throw error
    } finally {
      stopCaller()
      stopOwner()
    }
  }

  #giveUp(): void {
    if (this.#createRevision === undefined && !this.#isInDoubt) return
    const owner = this.#session ?? this.#engine
    owner.background(this.#undo().catch(noop))
  }

  async #undo(): Promise<void> {
    if (this.#isInDoubt) await this.#fence()
    if (this.#createRevision !== undefined) await this.#key.release(this.#createRevision, this.#until)
  }

  /** From its answer on it is known which of our attempts the key is of, if of any, and none is applied any more. */
  async #fence(): Promise<void> {
    const found = await this.#key.fence(this.#until)
    // A late attempt may have created it again, after somebody deleted what the answered one had created.
    if (found !== undefined && equalBytes(found.value, this.#value))
      this.#createRevision = found.createRevision
  }

  get #until(): AbortSignal {
    return this.#session?.signal ?? this.#engine.connections.closing
  }
}

function checkedWait(options: BarrierWaitOptions, where: string): BarrierWaitOptions {
  options = checkOptions(options, ['signal'], where)
  checkSignal(options.signal, where)
  return options
}

/** Of one whose request is on its way, and may not be undone in the time there is for that. */
function clientClosed(): EtcdError {
  return new EtcdError('CLIENT_CLOSED', '[CLIENT_CLOSED] the client was closed', { outcome: 'unknown' })
}

function noop(): void {}
