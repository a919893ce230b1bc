import type { Side, Work } from './job.ts'
import type { Outcome } from './rounds.ts'

/** Something worth measuring, under several settings. */
export interface Scenario {
  readonly name: string
  /** What is counted and timed, in one sentence. */
  readonly about: string
  /** `quorate` first: the others are what it is compared with. */
  readonly sides: readonly Side[]
  readonly settings: readonly Setting[]
}

export interface Setting {
  readonly label: string
  readonly work: Work
  readonly targets: readonly Target[]
}

/** A figure that is to be reached. */
export interface Target {
  readonly text: string
  measure(outcome: Outcome): number
  isMet(measured: number): boolean
}

/** Median of our rate against Go's, round by round. */
export function rateAgainstGo(times: number): Target {
  return {
    text: `at least ${times} times the rate of Go`,
    measure: ({ against }) => against.go!.rate.median,
    isMet: measured => measured >= times,
  }
}

/** Median of our median time against Go's, round by round. */
export function timeAgainstGo(times: number): Target {
  return {
    text: `at most ${times} times the median time of Go`,
    measure: ({ against }) => against.go!.p50.median,
    isMet: measured => measured <= times,
  }
}

export function p50Below(ms: number): Target {
  return {
    text: `half of them in less than ${ms} ms`,
    measure: ({ sides }) => sides.quorate!.p50Ms.median,
    isMet: measured => measured < ms,
  }
}

export function p99Below(ms: number): Target {
  return {
    text: `99 of 100 in less than ${ms} ms`,
    measure: ({ sides }) => sides.quorate!.p99Ms.median,
    isMet: measured => measured < ms,
  }
}
