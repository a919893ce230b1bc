import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { checkInteger, checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, text } from '../src/wire/bytes.ts'
import { gather } from './internal/barrier/gather.ts'
import type { Gathering } from './internal/barrier/gathering.ts'
import { Rounds } from './internal/barrier/rounds.ts'
import { checkedName, persist } from './internal/barrier/wire.ts'
import { timeOf } from './internal/call-time.ts'
import { firstOf, orAborted } from './internal/signals.ts'

export interface CyclicBarrierOptions {
  /**
   * Run by the last to come, once per round, before anybody passes. If it throws, its own error rejects that
   * `await`, and the barrier is broken for the others. All participants should give the same.
   */
  readonly action?: (() => unknown) | undefined
}

export interface AwaitOptions {
  /** Gives up, which breaks the barrier for all who wait at it. */
  readonly signal?: AbortSignal | undefined
}

/** One round that was passed. */
export interface Arrival {
  /** In which order we came: 0 for the first, one less than the parties for the last, who ran the action. */
  readonly index: number
  /** Which round it was, from 0 on: the same for all who passed together. */
  readonly generation: number
}

export interface CyclicBarrierStatus {
  readonly generation: number
  /** How many have come in this round. */
  readonly waiting: number
  readonly broken: boolean
}

/**
 * Has a number of parties wait for one another, round after round.
 *
 * Keys      `<name>/state` says how far it is; `<name>/<generation>/m/<lease in hex>-<random>` is somebody who has
 *           come, on the lease of its session; the version of `<name>/<generation>/n` counts who has come. Keys of a
 *           round that was passed go when their session comes again: they tell who was counted.
 * Steps     1. in one transaction, create my key in this round, if there is room, and read who is there   2. the
 *           last to come runs the action and begins the next round   3. the others watch the one key that tells,
 *           and for keys that go   4. a key went before that? somebody is lost: break the barrier
 * Safety    a round is passed by as many as there are parties, all of whom came in it, or by nobody. A request
 *           that is applied late names a round that is over and does nothing. That somebody is lost after it came
 *           is known when its lease has run out: if the last comes before, the round is passed.
 * Liveness  who waits and aborts, closes or loses its session breaks the barrier for all others, the latter
 *           within the TTL of that session. Then all reject with BARRIER_BROKEN, and so does whoever comes, until
 *           `reset()`. A round of which nobody is left is begun anew by the next who comes.
 * Not       for changing numbers of parties: all must name the same. One too many waits for the next round.
 * Cost      the last to come: 2 round trips. The others: 3, and one message when the round ends. 1 more if the
 *           barrier was used through another object since. `reset`: 2.
 */
export class CyclicBarrier {
  readonly #session: SessionContext
  readonly #gathering: Gathering

  constructor(session: SessionContext, name: Bytes, parties: number, options: CyclicBarrierOptions = {}) {
    const bytes = checkedName(name, 'a cyclic barrier')
    checkInteger(parties, 'parties', { min: 1 })
    const { action } = checkOptions(options, ['action'], 'cyclicBarrier')
    if (action !== undefined && typeof action !== 'function')
      throw new TypeError('cyclicBarrier: action is a function')
    this.#session = session
    this.#gathering = {
      name: text(bytes),
      rounds: new Rounds(session.engine, session.space, bytes, 'a cyclic barrier'),
      parties,
      onLoss: 'break',
      onBreak: 'stay',
      onFull: 'wait',
      onComplete: 'passed',
      action,
    }
  }

  /**
   * Resolves when as many as there are parties have come. Rejects with BARRIER_BROKEN when one of them is lost,
   * gives up, or resets the barrier, with SESSION_LOST or SESSION_CLOSED when the session ends, and at once with
   * the signal's reason. Cancelling: the barrier is broken for all who wait at it.
   */
  async await(options: AwaitOptions = {}): Promise<Arrival> {
    options = checkOptions(options, ['signal'], 'await')
    checkSignal(options.signal, 'await')
    const { index, generation } = await gather(this.#session, this.#gathering, options.signal)
    return { index, generation }
  }

  /**
   * Resolves when a new round has begun. Whoever waits in the one before rejects with BARRIER_BROKEN. Two round
   * trips, more if others change the barrier at the same time.
   */
  async reset(options: AwaitOptions = {}): Promise<void> {
    options = checkOptions(options, ['signal'], 'reset')
    const { signal } = options
    checkSignal(signal, 'reset')
    signal?.throwIfAborted()
    this.#session.assertOpen()
    const { engine, closing } = this.#session
    const { abort, stop } = firstOf(engine, [signal, closing])
    try {
      await orAborted(engine, [abort.signal], this.#renew(abort.signal))
    } finally {
      stop()
    }
  }

  /** Resolves with how far it is. One round trip, two where it was used through another object since. */
  async status(options: CallOptions = {}): Promise<CyclicBarrierStatus> {
    const time = timeOf(this.#session.engine, checkCall(options, [], 'status'))
    const { rounds } = this.#gathering
    for (let { generation } = rounds.latest; ; ) {
      const { round, present } = await rounds.look(generation, time())
      if (round.generation === generation)
        return { generation, waiting: present.length, broken: round.phase === 'broken' }
      generation = round.generation
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { rounds } = this.#gathering
    const { engine } = this.#session
    const { round } = await persist(engine, signal, () => rounds.look(rounds.latest.generation, { signal }))
    let now = round
    // Whoever is faster may have ended the round as well, which is what was asked for, or have broken it.
    while (now.generation === round.generation)
      now = await persist(engine, signal, () => rounds.advance(now, 'void'))
  }
}
