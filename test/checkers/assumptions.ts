import { type LineRule, oneAtATime } from './line-rule.ts'

/** Under what a history is judged: what its clocks, its recorder and its server may be blamed for. */
export interface Assumptions {
  /**
   * Milliseconds a process may go on believing after an operator took its place: until the watch of its own key
   * has told it. Counts only while the process runs.
   */
  readonly noticeMs: number
  /** Milliseconds a belief may outlast a lease that ended in time, because clocks run at different speeds. */
  readonly clockSlackMs: number
  /** Milliseconds by which `at` of a commit may be later than the server applied it. 0 where the server itself tells. */
  readonly recorderLagMs: number
  /** Known server bugs are injected: nobody can rely on belief then. Tokens, guards and order must still hold. */
  readonly hostile: boolean
  /** The server answers linearizable reads from the past, which who was told nothing later cannot see. Absent: it does not. */
  readonly staleReads?: boolean
  /** The server withholds events from watchers, which no client can see. Absent: it does not. */
  readonly lostEvents?: boolean
  /** Nothing keeps leases from being renewed: sessions of processes that run end with their leases only. Absent: something may. */
  readonly leasesAreSafe?: boolean
  /** After how long whoever holds in a line gives that up by itself, as lost. Absent: never. */
  readonly maxHoldMs?: (line: string) => number | undefined
  /** What owning means in each line. Absent: one at a time, everywhere. */
  readonly ruleOf?: (line: string) => LineRule
  /** How many steps the search for an order may take for each object before it is `undecided`. Absent: 200,000. */
  readonly maxSteps?: number
}

/** Nothing is late and nobody errs: a simulation with a sound server. */
export const exact: Assumptions = { noticeMs: 0, clockSlackMs: 0, recorderLagMs: 0, hostile: false }

export function ruleOf(assumptions: Assumptions, line: string): LineRule {
  return assumptions.ruleOf?.(line) ?? oneAtATime
}
