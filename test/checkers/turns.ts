import { grouped } from './grouped.ts'
import type { Stall, Violation } from './history.ts'
import type { Calm } from './places-of-nobody.ts'

/** When nothing disturbs anybody, how soon whoever waits is to hear that its turn has come. */
export interface Promptness extends Calm {
  readonly withinMs: number
}

/** One who waited, when its turn had come, and when it was told; or when it gave up, not having been told. */
export interface Turn {
  readonly id: string
  readonly process: string
  readonly turnAt: number
  readonly toldAt: number
  /** Its process crashed at this time. */
  readonly diedAt?: number
  /** As in `p1 was granted l/ with token 7`. */
  readonly what: string
}

/** Whoever waits hears of its turn when it comes, and not only when it looks again. */
export function checkTurns(
  turns: Iterable<Turn>,
  stalls: readonly Stall[],
  { from, until, graceMs, withinMs }: Promptness,
): Violation[] {
  const violations: Violation[] = []
  const stallsOf = grouped(stalls, stall => stall.process)
  for (const { id, process, turnAt, toldAt, diedAt = Infinity, what } of turns) {
    const lateAt = turnAt + withinMs
    if (turnAt < from + graceMs || lateAt > until || toldAt <= lateAt || diedAt <= lateAt) continue
    // Who stood still hears late, and may first have to put things in order.
    const stoodStill = (stallsOf.get(process) ?? []).some(
      stall => stall.from < toldAt && stall.until > turnAt - graceMs,
    )
    if (stoodStill) continue
    violations.push({
      rule: 'granted-late',
      message: `${process} was ${what} at ${toldAt}, though its turn had come at ${turnAt}.`,
      involved: [id],
    })
  }
  return violations
}
