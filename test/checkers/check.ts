import { type Assumptions, exact } from './assumptions.ts'
import { checkBelief } from './belief-exclusion.ts'
import { checkFirstCome } from './first-come.ts'
import { checkForeignDeletes } from './foreign-deletes.ts'
import { checkGuardedWrites } from './guarded-writes.ts'
import type { History, Violation } from './history.ts'
import { checkKeyValue } from './key-value.ts'
import { checkLinearizableBelief } from './linearizable-belief.ts'
import { checkLog } from './log-soundness.ts'
import { checkLosses } from './lost-for-nothing.ts'
import { checkReleases } from './releases.ts'
import { checkServerExclusion } from './server-exclusion.ts'
import type { ServerTruth } from './server-truth.ts'
import { checkTokens } from './tokens.ts'
import { truthOf } from './truth-of.ts'
import { checkWatches } from './watches.ts'

export type Checker = (history: History, assumptions?: Assumptions, truth?: ServerTruth) => Violation[]

/** One for each promise. */
export const checkers: readonly Checker[] = [
  checkLog,
  checkServerExclusion,
  checkBelief,
  checkTokens,
  checkFirstCome,
  checkGuardedWrites,
  checkForeignDeletes,
  checkReleases,
  checkLosses,
  checkWatches,
  checkKeyValue,
  checkLinearizableBelief,
]

/** Everything a history can be held to. */
export function checkHistory(history: History, assumptions: Assumptions = exact): Violation[] {
  const truth = truthOf(history, assumptions)
  return checkers.flatMap(check => check(history, assumptions, truth))
}
