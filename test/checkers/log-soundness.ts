import { type Assumptions, exact } from './assumptions.ts'
import type { History, Violation } from './history.ts'
import type { ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/** The log is what a store of revisions can have done: every revision once, in order, versions counted right. */
export function checkLog(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  return [...truth.flaws]
}
