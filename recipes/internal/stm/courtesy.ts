import type { Engine } from '../../../src/client/engine.ts'

/** So many commits in a row while nobody else seems to be there, */
const MOST_IN_A_ROW = 32
/** and so many where somebody has been in the way. */
const FEWEST_IN_A_ROW = 4
/** A pause others can make use of lets them send what they have just learned: two round trips. */
const ROUND_TRIPS = 2
const LONGEST_PAUSE_MS = 500

/**
 * Lets other clients go first now and then. Whoever commits without a pause wins every time: what another has read
 * is out of date before its commit arrives, round for round, and of those who lose nobody hears.
 */
export class Courtesy {
  #most = MOST_IN_A_ROW
  #inARow = 0
  /** Of those in a row: about a round trip, whatever may have held up the others. */
  #fastestMs = LONGEST_PAUSE_MS
  #hasPaused = false

  /** A commit took so long, in milliseconds. How long to pause after it: zero, as a rule. */
  committed(tookMs: number): number {
    // Nobody has made use of the pause.
    if (this.#hasPaused) this.#most = Math.min(MOST_IN_A_ROW, 2 * this.#most)
    this.#hasPaused = false
    this.#inARow += 1
    this.#fastestMs = Math.min(this.#fastestMs, tookMs)
    if (this.#inARow < this.#most) return 0
    const pauseMs = Math.min(LONGEST_PAUSE_MS, ROUND_TRIPS * this.#fastestMs)
    this.#begin()
    this.#hasPaused = true
    return pauseMs
  }

  /** Somebody else was faster. */
  lost(): void {
    this.#begin()
    this.#hasPaused = false
    this.#most = FEWEST_IN_A_ROW
  }

  #begin(): void {
    this.#inARow = 0
    this.#fastestMs = LONGEST_PAUSE_MS
  }
}

/**
 * The pauses of all lanes of a client. Lanes that pause at the same time go on in the same tick: those that have
 * nothing to do with each other go on to travel in one request.
 */
export class SharedPause {
  readonly #engine: Engine
  #under: Promise<void> | undefined

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Resolves with the pause that is under way, or after so many milliseconds. */
  take(ms: number): Promise<void> {
    this.#under ??= new Promise(resolve => {
      this.#engine.runtime.setTimer(ms, () => {
        this.#under = undefined
        resolve()
      })
    })
    return this.#under
  }
}
