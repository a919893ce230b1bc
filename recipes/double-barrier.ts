import { createdAtWire } from '../src/client/compare.ts'
import { part } from '../src/client/response-part.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { within } from '../src/support/bounded.ts'
import { checkInteger, checkOneOf, checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, prefixEnd, text } from '../src/wire/bytes.ts'
import type { KeyValue } from '../src/wire/gen/kv.g.ts'
import { methods } from '../src/wire/methods.ts'
import { gather } from './internal/barrier/gather.ts'
import type { Gathering, Passage } from './internal/barrier/gathering.ts'
import { endOf, isThere, type Round, Rounds } from './internal/barrier/rounds.ts'
import {
  checkedName,
  deleteOf,
  firstOfAll,
  listOf,
  NO_END,
  persist,
  readOf,
} from './internal/barrier/wire.ts'
import { orAborted } from './internal/signals.ts'
import { untilKeys } from './internal/watched-keys.ts'

const DISPOSE_MS = 5000

export interface DoubleBarrierOptions {
  /**
   * What becomes of those who wait when one of them is lost, or gives up, before all have come. `break`: all of
   * them reject with BARRIER_BROKEN, and the next round begins. `wait`: another may take the place. Default:
   * `break`. All participants must choose the same.
   */
  readonly onLoss?: 'break' | 'wait' | undefined
}

export interface EnterOptions {
  /** Gives up: you are not counted, and under `onLoss: 'break'` the round is over for those who wait. */
  readonly signal?: AbortSignal | undefined
}

export interface LeaveOptions {
  /** Stops waiting for the others. You have left all the same. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Has a number of participants enter together and leave together: nobody is let in before all have come, and
 * nobody is let go before all are done.
 *
 * Keys      `<name>/state` says how far it is; `<name>/<generation>/m/<lease in hex>-<random>` is somebody who has
 *           come, on the lease of its session; the version of `<name>/<generation>/n` counts who has come. Not
 *           Go's layout: there a participant that is fast enough to enter again is counted among those who have
 *           not left yet, a crash leaves `ready` behind, and `waiters` has no slash to end it.
 * Steps     enter: 1. in one transaction, create my key in this round and read who is there   2. the last to come
 *           opens the round   3. the others wait until it is open   leave: 4. delete my key and read who is left
 *           5. nobody? begin the next round   6. else wait for that; now and then look whether all are gone
 * Safety    nobody enters before as many have come, alive, in that round: whatever arrives late names a round that
 *           is over and does nothing. Who has entered may be lost like everybody: `session.signal` tells.
 * Liveness  a participant that is lost before all have come ends the wait of all with BARRIER_BROKEN, at the latest
 *           when its lease has run out, or, under `onLoss: 'wait'`, makes room. One that is lost inside counts as
 *           having left. A round of which nobody is left is closed by the next who comes.
 * Not       first come, first served; for changing numbers of participants: all must name the same count.
 * Cost      enter: 1 round trip for the last (2 with opening), 3 for those who wait; 1 more if the barrier was used
 *           through another object since, and 1 with `onLoss: 'wait'`. From the opening to each who waits one message. Leave: 1 round trip, and
 *           for those who wait 2 more, and again when the one goes whom it watches, of which there are few.
 */
export class DoubleBarrier {
  readonly #session: SessionContext
  readonly #gathering: Gathering
  #inside: DoubleBarrierEntry | undefined

  constructor(session: SessionContext, name: Bytes, count: number, options: DoubleBarrierOptions = {}) {
    const bytes = checkedName(name, 'a double barrier')
    const parties = checkInteger(count, 'count', { min: 1 })
    const { onLoss = 'break' } = checkOptions(options, ['onLoss'], 'doubleBarrier')
    this.#session = session
    this.#gathering = {
      name: text(bytes),
      rounds: new Rounds(session.engine, session.space, bytes, 'a double barrier'),
      parties,
      onLoss: checkOneOf(onLoss, ['break', 'wait'], 'onLoss'),
      onBreak: 'renew',
      onFull: 'refuse',
      onComplete: 'open',
    }
  }

  /**
   * Resolves when all have come. Rejects with TOO_MANY_PARTICIPANTS when as many are there already, with
   * BARRIER_BROKEN when somebody is lost before, with SESSION_LOST or SESSION_CLOSED when the session ends, and at
   * once with the signal's reason. Cancelling: you are not counted; see `onLoss` for the others.
   */
  async enter(options: EnterOptions = {}): Promise<DoubleBarrierEntry> {
    options = checkOptions(options, ['signal'], 'enter')
    checkSignal(options.signal, 'enter')
    const passage = await gather(this.#session, this.#gathering, options.signal)
    this.#inside = new DoubleBarrierEntry(this.#session, this.#gathering.rounds, passage)
    return this.#inside
  }

  /** As `leave()` of what the latest `enter()` of this object resolved with. Quiet if there was none. */
  async leave(options: LeaveOptions = {}): Promise<void> {
    options = checkedLeave(options)
    await this.#inside?.leave(options)
  }
}

/** The presence of one participant inside a double barrier. */
export class DoubleBarrierEntry implements AsyncDisposable {
  /** Which round of the barrier it is, from 0 on: the same for all who entered together. */
  readonly generation: number
  readonly #session: SessionContext
  readonly #rounds: Rounds
  readonly #passage: Passage
  #left: Promise<void> | undefined

  constructor(session: SessionContext, rounds: Rounds, passage: Passage) {
    this.generation = passage.generation
    this.#session = session
    this.#rounds = rounds
    this.#passage = passage
  }

  /**
   * Resolves when all have left, or are lost. Rejects with SESSION_LOST or SESSION_CLOSED when the session ends
   * before, and at once with the signal's reason; you have left all the same. Waits for the same end when repeated.
   * Rejects if the cluster refuses; call it again when that is mended.
   */
  async leave(options: LeaveOptions = {}): Promise<void> {
    const { signal } = checkedLeave(options)
    if (this.#left === undefined) {
      this.#left = this.#leave()
      const quiet = this.#left.catch(() => {
        this.#left = undefined
      })
      this.#session.background(quiet)
    }
    // A request that is on its way when the session ends goes on without whoever waits for it.
    return orAborted(this.#session.engine, [signal, this.#session.signal], this.#left)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within(this.#session.engine.runtime, DISPOSE_MS, this.leave()).catch(() => {})
  }

  async #leave(): Promise<void> {
    const { engine, closing } = this.#session
    for (;;) {
      const { round, present } = await persist(engine, this.#session.signal, () => this.#depart())
      if (this.#isOver(round)) return
      if (present.length === 0) {
        const next = await persist(engine, this.#session.signal, () => this.#rounds.advance(round, 'passed'))
        if (this.#isOver(next)) return
        continue
      }
      closing.throwIfAborted()
      const other = this.#toWatch(present)
      const everyMs = 2 * this.#session.ttl * 1000
      await firstOfAll<true>([
        signal =>
          untilKeys(
            engine,
            { key: this.#rounds.state, rangeEnd: NO_END, everyMs },
            ({ kvs }) => this.#isOver(this.#rounds.roundIn(kvs)) || undefined,
            [closing, signal],
          ),
        signal =>
          untilKeys(
            engine,
            { key: other, rangeEnd: NO_END, everyMs, keysOnly: true },
            ({ kvs }) => ![...kvs.values()].some(isThere) || undefined,
            [closing, signal],
          ),
      ])
    }
  }

  #isOver(round: Round): boolean {
    return round.generation !== this.generation || endOf(this.generation, round) !== 'passed'
  }

  /**
   * Of those still inside, the next one after us in the order in which they came. So the leavers watch different
   * ones: if all who are left are lost, somebody notices, and whoever leaves is news for few.
   */
  #toWatch(present: readonly KeyValue[]): Uint8Array {
    const { createRevision } = this.#passage
    return (present.find(kv => kv.createRevision > createRevision) ?? present[0]!).key
  }

  /** Our key goes. Who is left, and how far the barrier is. One round trip. */
  async #depart(): Promise<{ readonly round: Round; readonly present: readonly KeyValue[] }> {
    const { key, createRevision } = this.#passage
    const below = this.#rounds.below(this.generation)
    const look = [readOf(this.#rounds.state), listOf(this.#rounds.members(this.generation))]
    const { responses } = await this.#session.engine.submitter.submit({
      method: methods.txn,
      request: {
        compare: [createdAtWire(key, createRevision)],
        success: [deleteOf(key), ...look],
        failure: look,
      },
      footprint: {
        reads: [{ key: this.#rounds.state, end: NO_END }],
        writes: [{ key: below, end: prefixEnd(below) }],
      },
      // Guarded by the create revision: made twice, it deletes once.
      repeat: 'idempotent',
    })
    const [state, members] = responses.slice(-2).map(answer => part(answer, 'range').kvs)
    return { round: this.#rounds.roundOf(state?.[0]), present: (members ?? []).filter(isThere) }
  }
}

function checkedLeave(options: LeaveOptions): LeaveOptions {
  options = checkOptions(options, ['signal'], 'leave')
  checkSignal(options.signal, 'leave')
  return options
}
