import type { SessionContext } from '../../../src/session/session-context.ts'
import { concat, mapKey } from '../../../src/wire/bytes.ts'
import { type KeysState, untilKeys, type WatchedRange } from '../watched-keys.ts'
import { isThere, type Round, type Rounds } from './rounds.ts'
import { NO_END } from './wire.ts'

/** So many were there, and whether nobody had been lost by then. */
export interface Crowd {
  readonly present: number
  readonly isWhole: boolean
}

/** What somebody at a barrier looks out for. Each wait ends with its signal, or when we leave; no watch stays behind. */
export class Lookout {
  readonly #session: SessionContext
  readonly #rounds: Rounds
  readonly #leaving: AbortSignal

  constructor(session: SessionContext, rounds: Rounds, leaving: AbortSignal) {
    this.#session = session
    this.#rounds = rounds
    this.#leaving = leaving
  }

  /** Resolves with how far the barrier is, once it is as it should be. */
  round(isIt: (now: Round) => boolean, signal: AbortSignal): Promise<Round> {
    return this.#until({ key: this.#rounds.state, rangeEnd: NO_END }, signal, ({ kvs }) => {
      const now = this.#rounds.roundIn(kvs)
      return isIt(now) ? now : undefined
    })
  }

  /** Tells when this key is gone, or was taken off its lease. */
  loss(key: Uint8Array, signal: AbortSignal): Promise<'lost'> {
    return this.#until({ key, rangeEnd: NO_END }, signal, ({ kvs }) =>
      isThere(kvs.get(mapKey(key))) ? undefined : 'lost',
    )
  }

  /**
   * Tells when somebody who had come is gone, or was taken off the lease that would end with its owner.
   * Those who come send no news: with many it would be news for each of each. Where nobody has been lost before,
   * each reading is compared with how many have come, for a server may forget to tell of one that both came and went.
   */
  departure(generation: number, { present, isWhole }: Crowd, signal: AbortSignal): Promise<'lost'> {
    const arrivals = this.#rounds.arrivals(generation)
    const range = {
      key: this.#rounds.members(generation),
      // The counter stands right behind the members, and is the last of them.
      rangeEnd: concat(arrivals, Uint8Array.of(0)),
      only: 'deletions',
      keysOnly: true,
    } as const
    return this.#until(range, signal, ({ kvs, departures }) => {
      if (departures > 0) return 'lost'
      const counter = kvs.get(mapKey(arrivals))
      const members = [...kvs.values()].filter(kv => kv !== counter)
      const come = Number(counter?.version ?? 0n)
      // What was missing before is no news.
      const expected = isWhole ? Math.max(present, members.length, come) : present
      return members.filter(isThere).length < expected ? 'lost' : undefined
    })
  }

  #until<Found>(
    range: Omit<WatchedRange, 'everyMs'>,
    signal: AbortSignal,
    found: (state: KeysState) => Found | undefined,
  ): Promise<Found> {
    const everyMs = 2 * this.#session.ttl * 1000
    return untilKeys(this.#session.engine, { ...range, everyMs }, found, [this.#leaving, signal])
  }
}
