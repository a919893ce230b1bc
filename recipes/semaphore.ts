import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { checkInteger, checkOneOf, checkOptions, checkSignal } from '../src/support/options.ts'
import { showAs } from '../src/support/shown.ts'
import { type Bytes, text } from '../src/wire/bytes.ts'
import type { Contender } from './contender.ts'
import { type Explanation, explainSemaphore } from './explain.ts'
import { checkBody, runWith } from './internal/run-with.ts'
import { type LimitMismatch, permitsIn, readLimit, SemaphoreLimit } from './internal/semaphore/limit.ts'
import { readSemaphore, type SlotHolder } from './internal/semaphore/reading.ts'
import { acquireSlots } from './internal/semaphore/slot-acquisition.ts'
import type { SlotClaim, SlotPool } from './internal/semaphore/slot-claim.ts'
import { PERMITS_LIMIT, SlotKeys } from './internal/semaphore/slot-keys.ts'
import { SlotMemory } from './internal/semaphore/slot-memory.ts'
import { tryAcquireSlots } from './internal/semaphore/slot-try.ts'
import { checkName } from './lock-options.ts'
import { Permit } from './permit.ts'

export interface SemaphoreOptions {
  /** How many permits there are, if nobody has said so yet: 1 to 9999. */
  readonly permits: number
  /** What to do if there are more or fewer already. Default: `adopt`, which goes by the number there is. */
  readonly mismatch?: LimitMismatch | undefined
}

export interface AcquireOptions {
  /** So many at once, or none. Default: 1. As many as fit into one transaction: 64. */
  readonly count?: number | undefined
  /** Gives up waiting: you lose your place in the line, and nothing of you stays in it. */
  readonly signal?: AbortSignal | undefined
}

/** One operation for each, and etcd takes 128 in a transaction together with those it is nested in. */
const COUNT_LIMIT = 64

/** What can be asked about a semaphore without wanting anything of it. */
export class SemaphoreView {
  readonly #engine: Engine
  readonly #name: Uint8Array
  readonly #ours: bigint | undefined
  protected readonly keys: SlotKeys

  static {
    showAs<SemaphoreView>(SemaphoreView, view => ({ name: text(view.#name) }))
  }

  /** `ours`: the lease of places to be told apart from others. */
  constructor(engine: Engine, space: KeySpace, name: Bytes, ours?: bigint) {
    this.#engine = engine
    this.#name = checkName(name, 'a semaphore')
    this.#ours = ours
    this.keys = new SlotKeys(space, this.#name)
  }

  /** Resolves with how many permits there are, undefined if nobody has said so yet. One round trip. */
  async permits(options: CallOptions = {}): Promise<number | undefined> {
    options = checkCall(options, [], 'permits')
    const kv = await readLimit(this.#engine, this.keys, options)
    return kv && permitsIn(kv)
  }

  /** Resolves with how many permits nobody holds, undefined if nobody has said how many there are. One round trip. */
  async available(options: CallOptions = {}): Promise<number | undefined> {
    options = checkCall(options, [], 'available')
    const { permits, holders } = await readSemaphore(this.#engine, this.keys, options)
    return permits === undefined ? undefined : Math.max(0, permits - holders.length)
  }

  /** Resolves with whoever holds a permit, once for each, by its number. One round trip. */
  async holders(options: CallOptions = {}): Promise<readonly SlotHolder[]> {
    options = checkCall(options, [], 'holders')
    return (await readSemaphore(this.#engine, this.keys, options)).holders
  }

  /** Resolves with whoever waits, in the order of their turn. One round trip. */
  async waiters(options: CallOptions = {}): Promise<readonly Contender[]> {
    options = checkCall(options, [], 'waiters')
    return (await readSemaphore(this.#engine, this.keys, options)).waiters
  }

  /** Resolves with who holds permits, who waits, since when and for whom, to be read by people. One round trip. */
  async explain(options: CallOptions = {}): Promise<Explanation> {
    options = checkCall(options, [], 'explain')
    const about = { kind: 'semaphore', name: this.#name, ours: this.#ours } as const
    return explainSemaphore(about, await readSemaphore(this.#engine, this.keys, options))
  }
}

/**
 * A number of permits, given out in order of arrival, each with a number of its own.
 *
 * Keys      `<name>/limit`, how many permits there are; `<name>/s/<number>`, four digits, one for each permit held;
 *           `<name>/w/<lease in hex>-<n>`, one for everybody who waits. The last two go with the lease, and their
 *           value tells which claim they are of, and owner, host, process and age.
 * Steps     1. in one transaction: nobody waits and the limit is as believed? take the first free slot; else stand
 *           in line   2. wait until nobody is earlier   3. the head watches slots and limit, and takes what it wants
 *           as soon as there is enough, all at once, leaving the line in that transaction   4. mine until released
 *           or lost
 * Safety    whenever a slot is taken there are, with it, no more than the limit of that revision. A permit's token
 *           is the revision it was taken at: larger than all before it. A slot number is one holder's at a time.
 * Liveness  first come, first served, also for many at once: nobody passes the head of the line. The permits of a
 *           crashed holder are free after its TTL. What a client left behind for want of an answer is cleared by its
 *           session, at the latest with its lease.
 * Not       re-entrant: a session that waits for itself waits for ever; give the wait a signal. A lowered limit takes
 *           nothing from anybody: nothing is given out until enough was released. Permits left by `orphan()` are
 *           given, under their tokens, to whoever resumes the lease and asks for as many at once; those nobody asks
 *           for stay taken until it ends. Not for a name some mutex or election has: those would wait for its keys.
 * Cost      free: 1 round trip to acquire, 1 to release, whatever the number. Contended: 1 to stand in line, up to 2
 *           at its head before there is enough, and 1 from the release to the permit. A release is one message, to
 *           the head of the line; a permit given to it one for each client that waits.
 */
export class Semaphore extends SemaphoreView {
  readonly #session: SessionContext
  readonly #name: Uint8Array
  readonly #pool: SlotPool

  constructor(session: SessionContext, name: Bytes, options: SemaphoreOptions) {
    super(session.engine, session.space, name, session.leaseId)
    const { permits, mismatch } = checkSemaphore(options)
    this.#session = session
    this.#name = checkName(name, 'a semaphore')
    this.#pool = {
      keys: this.keys,
      limit: new SemaphoreLimit(session.engine, this.keys, permits, mismatch),
      memory: new SlotMemory(),
    }
  }

  /**
   * Resolves when so many permits are ours, all at once. Waits for everybody who came earlier. Rejects with the
   * signal's reason at once, with SESSION_LOST or SESSION_CLOSED when the session ends, with LOCK_LOST when
   * somebody deletes our place, with FAILED_PRECONDITION when there will never be so many, at the latest when its
   * turn comes, or when there are not as many as `mismatch: 'fail'` demands. Cancelling: you lose your place.
   */
  async acquire(options: AcquireOptions = {}): Promise<Permit> {
    const { count, signal } = checkAcquire(options, 'acquire')
    return this.#permit(await acquireSlots(this.#session, this.#pool, count, signal))
  }

  /**
   * Resolves with so many permits if they are free and nobody waits, else with undefined, and nothing was written.
   * One round trip, more when slots are being taken or given back at the same time; all of them together have the time
   * of one request.
   */
  async tryAcquire(options: AcquireOptions = {}): Promise<Permit | undefined> {
    const { count, signal } = checkAcquire(options, 'tryAcquire')
    const claim = await tryAcquireSlots(this.#session, this.#pool, count, signal)
    return claim && this.#permit(claim)
  }

  /** Runs `body` with permits and releases them whatever comes of it; as {@link Mutex.run}. */
  async run<Result>(
    body: (permit: Permit) => Result | Promise<Result>,
    options: AcquireOptions = {},
  ): Promise<Result> {
    checkBody(body)
    return runWith(this.#session, await this.acquire(options), body)
  }

  /**
   * Changes how many permits there are, for everybody. Of fewer, none is given out until enough were released; who
   * wants more at once than there will be is rejected. Cancelling stops waiting; the change may still be made. Two
   * round trips.
   */
  async resize(permits: number, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'resize')
    await this.#pool.limit.resize(checkPermits(permits), options)
  }

  #permit(claim: SlotClaim): Permit {
    return new Permit(this.#session, this.#name, claim, this.#pool.memory)
  }
}

function checkSemaphore(options: SemaphoreOptions): Required<SemaphoreOptions> & { mismatch: LimitMismatch } {
  if (options === undefined) throw new TypeError('semaphore: permits is a number, got undefined')
  options = checkOptions(options, ['permits', 'mismatch'], 'semaphore')
  return {
    permits: checkPermits(options.permits),
    mismatch: checkOneOf(options.mismatch ?? 'adopt', MISMATCHES, 'mismatch'),
  }
}

function checkPermits(permits: number): number {
  return checkInteger(permits, 'permits', { min: 1, max: PERMITS_LIMIT })
}

function checkAcquire(
  options: AcquireOptions,
  where: string,
): { readonly count: number; readonly signal: AbortSignal | undefined } {
  options = checkOptions(options, ['count', 'signal'], where)
  const { count = 1, signal } = options
  checkSignal(signal, where)
  return { count: checkInteger(count, 'count', { min: 1, max: COUNT_LIMIT }), signal }
}

const MISMATCHES = ['adopt', 'fail', 'set'] as const
