import type { Mine } from './arrival.ts'
import type { Rounds } from './rounds.ts'

/** How those who gather want it. */
export interface Gathering {
  /** For messages. */
  readonly name: string
  readonly rounds: Rounds
  readonly parties: number
  /** When one of them is lost before all have come: it is over for everybody, or another may take the place. */
  readonly onLoss: 'break' | 'wait'
  /** A broken round stays until it is reset, or the next one begins by itself. */
  readonly onBreak: 'stay' | 'renew'
  /** One too many waits for the next round, or is refused. */
  readonly onFull: 'wait' | 'refuse'
  /** When all have come they stay until they leave, or the next round begins at once. */
  readonly onComplete: 'open' | 'passed'
  /** Run by the last to come, before anybody passes. Its error breaks the round. */
  readonly action?: (() => unknown) | undefined
}

/** Somebody who came, and passed together with all others of the round. */
export interface Passage extends Mine {
  readonly generation: number
}
