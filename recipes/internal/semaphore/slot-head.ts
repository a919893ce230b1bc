import type { SessionContext } from '../../../src/session/session-context.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { type Deferred, deferred } from '../../../src/support/deferred.ts'
import type { LazyAbort } from '../../../src/support/lazy-abort.ts'
import type { Timer } from '../../../src/support/runtime.ts'
import { equalBytes, mapKey } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import type { Entry } from '../line/entry.ts'
import { watchOwnKeys } from '../line/own-key-watch.ts'
import { placeGone, placeTaken } from '../line/place.ts'
import { isFinal } from '../trouble.ts'
import { watchKeys } from '../watched-keys.ts'
import type { SlotPool } from './slot-claim.ts'
import { slotsWith } from './slot-ghosts.ts'
import { freeSlots } from './slot-memory.ts'
import { claimAsHead, claimedAsHead, claimFootprint, type Refused, type SlotWish } from './slot-wire.ts'

const AGAIN_MS = 500

export interface TakenSlots {
  readonly slots: readonly number[]
  readonly createRevision: bigint
  /** Taken by an attempt without an answer, and found later. */
  readonly adopted: boolean
}

/** The slots and the limit, as they stood together. */
interface Seen {
  readonly limit: KeyValue | undefined
  readonly held: readonly number[]
}

/**
 * The head of the line of a semaphore: looks, and if there is not enough for it waits, watching the slots and the
 * limit, which nobody behind it does.
 */
export class HeadOfLine {
  readonly #session: SessionContext
  readonly #pool: SlotPool
  readonly #wish: SlotWish
  readonly #mine: Entry
  readonly #abandoned: LazyAbort
  #ownWatch: { stop(): void } | undefined
  #ownTimer: Timer | undefined
  #view: { readonly stop: () => void } | undefined
  #news: Seen | undefined
  #arrival: Deferred<Seen | undefined> | undefined
  #ended: { readonly reason: unknown } | undefined
  #mayHold = false

  constructor(
    session: SessionContext,
    pool: SlotPool,
    wish: SlotWish,
    place: { readonly mine: Entry; readonly abandoned: LazyAbort },
  ) {
    this.#session = session
    this.#pool = pool
    this.#wish = wish
    this.#mine = place.mine
    this.#abandoned = place.abandoned
  }

  /** Some attempt got no answer: slots may have been taken with our place. */
  get mayHold(): boolean {
    return this.#mayHold
  }

  abandon(reason: unknown): void {
    this.#end(reason)
  }

  /** `held`: all slots that were held, as seen with our place at the head. */
  async take(held: readonly number[] | undefined): Promise<TakenSlots> {
    const { limit, memory } = this.#pool
    const { count } = this.#wish
    let seen = held
    try {
      for (;;) {
        limit.check(count)
        // Another task may change it while we ask: what is free under one limit is claimed under that one, or not at all.
        const { permits, raw } = limit
        const free = seen && freeSlots(seen, permits, count)
        const alternatives = seen === undefined ? memory.alternatives(count, permits) : free ? [free] : []
        if (alternatives.length > 0) {
          const answer = await this.#ask(raw, alternatives, seen !== undefined)
          if (answer === 'again') {
            // Others may have been told meanwhile, late, of a limit from before what we saw.
            seen = undefined
            continue
          }
          if (answer.kind === 'granted')
            return { slots: answer.slots, createRevision: answer.revision, adopted: false }
          if (answer.mine?.createRevision !== this.#mine.createRevision)
            return await this.#placeIsGone(answer)
          if (answer.mine.lease !== this.#session.leaseId) throw placeTaken(this.#mine)
          seen = await this.#heed(answer)
          if (freeSlots(seen, limit.permits, count) !== undefined) continue
        }
        this.#watchOwn()
        const news = await this.#next()
        seen = news && (await this.#heed(news))
      }
    } finally {
      this.#stop()
    }
  }

  async #ask(limit: Uint8Array, alternatives: readonly (readonly number[])[], seen: boolean) {
    const { engine } = this.#session
    const { key, createRevision } = this.#mine
    // It would take our own claim for somebody's deletion of our place.
    this.#stopOwn()
    try {
      this.#throwIfEnded()
      // After the machine slept it is being asked whether the session still exists.
      await this.#session.reliable()
      this.#throwIfEnded()
      const response = await engine.submitter.submit({
        method: methods.txn,
        request: claimAsHead(this.#wish, limit, alternatives, { key, createRevision, seen }),
        footprint: claimFootprint(this.#wish),
        // Done with our place, which it removes: made twice, the second does nothing.
        repeat: 'idempotent',
        noMoreAttempts: this.#abandoned,
        onUnanswered: () => {
          this.#mayHold = true
        },
      })
      try {
        return claimedAsHead(response, this.#wish, alternatives)
      } catch (error) {
        this.#mayHold = true
        throw error
      }
    } catch (error) {
      await this.#untilItPasses(error)
      return 'again' as const
    }
  }

  /** Throws what will not pass. Whoever waits has a session that ends when this goes on. */
  async #untilItPasses(error: unknown): Promise<void> {
    this.#throwIfEnded()
    if (!EtcdError.is(error) || isFinal(error) || error.code === 'PROTOCOL') throw error
    await sleep(this.#session.engine.runtime, AGAIN_MS, this.#abandoned.signal)
    this.#throwIfEnded()
  }

  /** By a claim of ours that got no answer, or by somebody else. What is no longer all of a claim is given back. */
  async #placeIsGone({ revision }: Refused): Promise<TakenSlots> {
    const { keys, value, count } = this.#wish
    const [taken] = (this.#mayHold ? await slotsWith(this.#session, keys, value) : undefined) ?? []
    if (taken?.keys.length === count) {
      const slots = keys.numbersOf(taken.keys.map(key => ({ key })))
      return { slots, createRevision: taken.createRevision, adopted: true }
    }
    this.#session.doubt()
    throw placeGone(this.#mine, revision)
  }

  /** Goes by the limit there is now. */
  async #heed({ limit, held }: Seen): Promise<readonly number[]> {
    if (limit === undefined || !equalBytes(limit.value, this.#pool.limit.raw)) {
      try {
        await this.#pool.limit.found(limit)
      } catch (error) {
        // The next claim is refused, and what is to be done about the limit is done then.
        await this.#untilItPasses(error)
      }
    }
    this.#pool.memory.seen(held)
    return held
  }

  /** What the slots and the limit are, once they are something we have not seen; undefined if that is to be asked. */
  #next(): Promise<Seen | undefined> {
    this.#throwIfEnded()
    const { limit, slotsEnd } = this.#pool.keys
    this.#view ??= watchKeys(
      this.#session.engine,
      { key: limit, rangeEnd: slotsEnd, everyMs: 2000 * this.#session.ttl },
      {
        changed: ({ kvs }) =>
          this.#tell({
            limit: kvs.get(mapKey(limit)),
            held: this.#pool.keys.numbersOf(kvs.values()),
          }),
        ended: error => this.#end(error),
      },
    )
    const arrival = deferred<Seen | undefined>()
    this.#arrival = arrival
    // Told while we were asking: it may be newer than the answer.
    if (this.#news !== undefined) this.#tell(this.#news)
    return arrival.promise
  }

  #tell(news: Seen): void {
    this.#news = this.#arrival === undefined ? news : undefined
    this.#arrival?.resolve(news)
    this.#arrival = undefined
  }

  #askAgain(): void {
    this.#arrival?.resolve(undefined)
    this.#arrival = undefined
  }

  #end(reason: unknown): void {
    this.#ended ??= { reason }
    this.#arrival?.reject(reason)
  }

  #throwIfEnded(): void {
    if (this.#ended !== undefined) throw this.#ended.reason
  }

  /** Nothing in the line tells the head that its place was taken away. Looked at again now and then: servers lose events. */
  #watchOwn(): void {
    this.#stopOwn()
    const { key, createRevision } = this.#mine
    this.#ownWatch = watchOwnKeys(this.#session, [key], createRevision, error => {
      // A claim of ours that got no answer may have been applied only now.
      if (this.#mayHold) return this.#askAgain()
      this.#session.doubt()
      this.#end(error)
    })
    this.#ownTimer = this.#session.engine.runtime
      .setTimer(2000 * this.#session.ttl, () => this.#watchOwn())
      .unref()
  }

  #stopOwn(): void {
    this.#ownWatch?.stop()
    this.#ownTimer?.cancel()
  }

  #stop(): void {
    this.#stopOwn()
    this.#view?.stop()
  }
}
