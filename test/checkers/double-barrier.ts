import { roundsOf } from './barrier-rounds.ts'
import type { Commit, Violation } from './history.ts'

/** One who came to a double barrier. Without an end, nobody heard of it. */
export interface DoubleBarrierStay {
  readonly startedAt: number
  readonly entered?: { readonly generation: number; readonly at: number }
  readonly leftAt?: number
}

export interface DoubleBarrierUse {
  readonly name: string
  readonly parties: number
  readonly stays: readonly DoubleBarrierStay[]
  /** By how much a commit may be dated later than it was made. */
  readonly recorderLagMs: number
}

/** Nobody enters before all are there together, and nobody is let go before all have left. */
export function checkDoubleBarrier(
  log: readonly Commit[],
  { name, parties, stays, recorderLagMs }: DoubleBarrierUse,
): Violation[] {
  const violations: Violation[] = []
  const say = (rule: string, what: string) => {
    violations.push({ rule, message: `${name}: ${what}`, involved: [] })
  }
  const opened = new Map<number, number>()
  const closed = new Map<number, number>()
  for (const { generation, how, commit, together, left } of roundsOf(log, name)) {
    if (how === 'open') {
      opened.set(generation, commit.at)
      if (together < parties)
        say('opened-without-all', `round ${generation} was opened, but only ${together} were there together`)
    }
    if (how !== 'passed') continue
    closed.set(generation, commit.at)
    if (!opened.has(generation)) say('closed-unopened', `round ${generation} was closed before it was open`)
    if (left > 0) say('closed-with-some-inside', `round ${generation} was closed with ${left} still inside`)
  }
  const entries = new Map<number, number>()
  for (const { startedAt, entered, leftAt } of stays) {
    if (entered === undefined) continue
    const { generation, at } = entered
    entries.set(generation, (entries.get(generation) ?? 0) + 1)
    const openedAt = opened.get(generation)
    if (openedAt === undefined || openedAt - recorderLagMs > at || startedAt > openedAt)
      say(
        'entered-out-of-time',
        `somebody entered round ${generation} from ${startedAt} to ${at}, which opened at ${openedAt ?? 'no time'}`,
      )
    const closedAt = closed.get(generation)
    if (leftAt !== undefined && (closedAt === undefined || closedAt - recorderLagMs > leftAt))
      say(
        'left-before-end',
        `somebody was let go from round ${generation} at ${leftAt}, which ended at ${closedAt ?? 'no time'}`,
      )
  }
  for (const [generation, count] of entries)
    if (count > parties)
      say('barrier-overfull', `${count} entered in round ${generation}, for ${parties} parties`)
  return violations
}
