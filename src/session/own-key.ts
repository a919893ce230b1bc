import { createdAtWire } from '../client/compare.ts'
import type { Engine } from '../client/engine.ts'
import type { WatchHandle } from '../client/watch-hub.ts'
import { Backoff } from '../support/backoff.ts'
import { sleep } from '../support/bounded.ts'
import type { Timer } from '../support/runtime.ts'
import type { Init } from '../wire/codec.ts'
import { EtcdError } from '../wire/errors.ts'
import type { KeyValue } from '../wire/gen/kv.g.ts'
import type { RequestOp, TxnRequest } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'

/** What an own key needs of its session. */
export interface OwnKeySession {
  readonly engine: Engine
  readonly signal: AbortSignal
  /** Aborts before `signal`: nobody may begin to wait for the key any more. */
  readonly closing: AbortSignal
  /** Somebody else may have left keys on its lease. */
  readonly resumed: boolean
  background(work: Promise<void>): void
}

/** The right of one task to deal with the key. Everybody else of this session waits until it is given back. */
export interface Turn {
  /** Only when it is known what became of the key: the next task must not meet the token of the one before. */
  end(): void
}

const PERSIST = { initialMs: 50, maxMs: 2000 }
const NO_END = new Uint8Array(0)

/**
 * One key of this session: who in this process deals with it, which of its creations were given out as tokens,
 * and the ghosts it may still produce.
 *
 * A ghost is a creation nobody waits for. A create-if-absent whose answer was lost may be applied much later,
 * even after its retry was granted and released; the key would then block the name for as long as the session
 * lives. So from the first unanswered attempt on the key is watched, and what appears while nobody has the
 * turn is deleted under its create revision; if the cluster refuses to tell, it is asked again. The watch ends with
 * the session, or when every unanswered attempt has been accounted for.
 */
export class OwnKey {
  readonly key: Uint8Array
  readonly #session: OwnKeySession
  readonly #forget: () => void
  #taken = false
  /** How to give each of those the turn who wait for it, first come first served. Whoever gives up is forgotten at once. */
  readonly #waiting = new Set<() => void>()
  /** The latest create revision that somebody was told. */
  #lastToken = 0n
  /** Unanswered attempts that may still create the key. */
  #ghosts = 0
  #ghostWatch: WatchHandle | undefined
  /** Of looks and watches that were refused while there were ghosts; what works in between does not shorten it. */
  #refusals: Backoff | undefined
  #again: Timer | undefined
  #sweeping = false
  /** While whoever has the turn does nothing with the key. */
  #rest: object | undefined

  constructor(key: Uint8Array, session: OwnKeySession, forget: () => void) {
    this.key = key
    this.#session = session
    this.#forget = forget
  }

  /** Waits for the turn, first come first served. Rejects with the reason of whichever signal aborts first. */
  enter(signal?: AbortSignal): Promise<Turn> {
    return new Promise((resolve, reject) => {
      let hasLeft = false
      let stopListening = noop
      const take = () => {
        stopListening()
        resolve(this.#take())
      }
      const giveUp = (reason: unknown) => {
        hasLeft = true
        stopListening()
        this.#waiting.delete(take)
        this.#forgetIfUnused()
        reject(reason)
      }
      const stopCaller = this.#session.engine.aborts.on(signal, giveUp)
      const stopSession = hasLeft ? noop : this.#session.engine.aborts.on(this.#session.closing, giveUp)
      stopListening = () => {
        stopCaller()
        stopSession()
      }
      // A signal that had aborted already was told before there was anything to stop.
      if (hasLeft) stopListening()
      else if (this.#taken) this.#waiting.add(take)
      else take()
    })
  }

  /** The turn, if nobody has it or waits for it. */
  tryEnter(): Turn | undefined {
    return this.#taken ? undefined : this.#take()
  }

  /** May an existing key, created at this revision, be taken over? Not if somebody was given that token before. */
  mayAdopt(createRevision: bigint): boolean {
    return createRevision > this.#lastToken
  }

  /** May an attempt of which nothing is known still create it, or have created it? */
  get isHaunted(): boolean {
    return this.#ghosts > 0
  }

  /** A key that was found existing, and told to nobody: it was one of the ghosts, unless it was left on a lease that was resumed. */
  ghostFound(): void {
    // Which of the two nobody can tell, so the ghosts are waited for on.
    if (!this.#session.resumed) this.#laid()
  }

  /** Somebody is told this token. */
  granted(createRevision: bigint): void {
    if (createRevision > this.#lastToken) this.#lastToken = createRevision
  }

  /** An attempt to create the key got no answer: it may be applied any time. */
  unanswered(): void {
    if (this.#session.signal.aborted) return
    this.#ghosts += 1
    this.#watch()
  }

  /**
   * Whoever has the turn keeps it, and does nothing with the key until `goOn`: it waits for the turn of another one.
   * What it waits for may in the end wait for a ghost of this key to go, so ghosts are deleted meanwhile.
   */
  rest(): void {
    this.#rest = {}
    if (this.#sweeping) this.#session.background(this.#layWhileResting())
  }

  goOn(): void {
    this.#rest = undefined
  }

  /** As {@link removeKeys}, for this one. */
  remove(createRevision: bigint, refused?: (error: EtcdError) => void): Promise<void> {
    return removeKeys(this.#session, [this.key], createRevision, refused)
  }

  /**
   * Deletes a ghost that has appeared, unless somebody has the turn. For a lease that is left to others: what
   * appears later stays until they adopt it.
   */
  async settle(): Promise<void> {
    if (this.#ghosts === 0) return
    const turn = this.tryEnter()
    if (turn !== undefined) await this.#lay(turn)
  }

  /** The session is over. */
  end(): void {
    this.#ghosts = 0
    this.#stopLooking()
  }

  #take(): Turn {
    this.#taken = true
    let ended = false
    return {
      end: () => {
        if (ended) return
        ended = true
        this.#rest = undefined
        this.#taken = false
        this.#passOn()
      },
    }
  }

  #passOn(): void {
    const [next] = this.#waiting
    if (next === undefined) return this.#forgetIfUnused()
    this.#waiting.delete(next)
    next()
  }

  #forgetIfUnused(): void {
    if (!this.#taken && this.#ghosts === 0) this.#forget()
  }

  #watch(): void {
    // Assigned before the hub can call.
    this.#ghostWatch ??= this.#session.engine.recipeWatches.watch(
      { key: this.key, rangeEnd: NO_END, filter: 'no-deletes', onBreak: 'restart' },
      {
        opened: () => this.#sweep(),
        revision: (_, events) => {
          if (events.some(({ kv }) => kv !== undefined && this.mayAdopt(kv.createRevision))) this.#sweep()
        },
        broken: () => {},
        ended: error => {
          this.#ghostWatch = undefined
          this.#refused(error)
        },
      },
    )
  }

  /** Looks for a ghost when it is nobody's turn. One at a time; what comes before the read is seen by it. */
  #sweep(): void {
    if (this.#session.signal.aborted) return
    if (this.#rest !== undefined) this.#session.background(this.#layWhileResting())
    if (this.#sweeping) return
    this.#sweeping = true
    this.#session.background(this.#sweepInTurn())
  }

  async #sweepInTurn(): Promise<void> {
    const turn = await this.enter().catch(() => undefined)
    this.#sweeping = false
    if (turn !== undefined) await this.#lay(turn)
  }

  async #lay(turn: Turn): Promise<void> {
    try {
      await this.#layIf(() => true)
    } finally {
      turn.end()
    }
  }

  /** Whoever goes on while we look finds the ghost itself, and makes of it what it likes, also if it rests again. */
  #layWhileResting(): Promise<void> {
    const rest = this.#rest
    return this.#layIf(() => this.#rest === rest)
  }

  async #layIf(isOurs: () => boolean): Promise<void> {
    const ghost = await this.#read()
    if (ghost === undefined || !this.mayAdopt(ghost.createRevision) || !isOurs()) return
    // From here on nobody takes it over, also who goes on before it is gone.
    this.granted(ghost.createRevision)
    await this.remove(ghost.createRevision)
    this.#laid()
  }

  /** The key as it is now; undefined also when the session ended or the cluster will not tell, which is asked again later. */
  async #read(): Promise<KeyValue | undefined> {
    const { runtime, submitter } = this.#session.engine
    const backoff = new Backoff(runtime, PERSIST)
    while (!this.#session.signal.aborted) {
      try {
        const { kvs } = await submitter.submit({
          method: methods.range,
          request: { key: this.key },
          footprint: { reads: [{ key: this.key, end: NO_END }], writes: [] },
          consistency: 'linearizable',
        })
        return kvs[0]
      } catch (error) {
        if (!EtcdError.is(error)) return undefined
        // Nobody of this session is to wait for the cluster to change its mind.
        if (error.outcome === 'rejected' || error.code === 'CLIENT_CLOSED') return this.#refused(error)
        await sleep(runtime, backoff.delay(), this.#session.signal)
      }
    }
    return undefined
  }

  /**
   * The cluster will not tell, or not let us watch. Rights come back and tokens are renewed, and a ghost would block
   * the name for as long as the session lives: so it is looked for again, unless nobody would delete it any more.
   */
  #refused({ code }: EtcdError): undefined {
    const { engine, closing } = this.#session
    if (code === 'CLIENT_CLOSED' || this.#ghosts === 0 || this.#again !== undefined) return
    this.#refusals ??= new Backoff(engine.runtime, PERSIST)
    const timer = engine.runtime.setTimer(this.#refusals.delay(), () => {
      this.#again = undefined
      if (closing.aborted) return
      this.#watch()
      this.#sweep()
    })
    this.#again = timer.unref()
  }

  #stopLooking(): void {
    this.#ghostWatch?.cancel()
    this.#ghostWatch = undefined
    this.#again?.cancel()
    this.#again = undefined
    this.#refusals = undefined
  }

  #laid(): void {
    if (this.#ghosts === 0) return
    this.#ghosts -= 1
    if (this.#ghosts > 0) return
    this.#stopLooking()
    // One that went while its turn was kept may be known to be gone only after the turn is.
    this.#forgetIfUnused()
  }
}

/**
 * Deletes each of these keys that is still the one created at this revision, all in one request. Resolves when they
 * are known to be gone, with the session at the latest; goes on trying until then. `refused` is told when the
 * cluster will not do it.
 */
export async function removeKeys(
  session: OwnKeySession,
  keys: readonly Uint8Array[],
  createRevision: bigint,
  refused: (error: EtcdError) => void = noop,
): Promise<void> {
  const { runtime } = session.engine
  const backoff = new Backoff(runtime, PERSIST)
  while (!session.signal.aborted) {
    try {
      return await removeOnce(session, keys, createRevision)
    } catch (error) {
      if (!EtcdError.is(error)) throw error
      if (error.code === 'CLIENT_CLOSED') return
      if (error.outcome === 'rejected') refused(error)
      await sleep(runtime, backoff.delay(), session.signal)
    }
  }
}

async function removeOnce(
  { engine }: OwnKeySession,
  keys: readonly Uint8Array[],
  createRevision: bigint,
): Promise<void> {
  const spans = keys.map(key => ({ key, end: NO_END }))
  const removals = keys.map(key => removal(key, createRevision))
  const [only] = removals
  await engine.submitter.submit({
    method: methods.txn,
    request:
      removals.length === 1 && only !== undefined
        ? only
        : { success: removals.map((value): Init<RequestOp> => ({ request: { kind: 'txn', value } })) },
    footprint: { reads: spans, writes: spans },
    // Guarded by the create revision: made twice, it deletes once.
    repeat: 'idempotent',
  })
}

function removal(key: Uint8Array, createRevision: bigint): Init<TxnRequest> {
  return {
    compare: [createdAtWire(key, createRevision)],
    success: [{ request: { kind: 'deleteRange', value: { key } } }],
  }
}

function noop(): void {}
