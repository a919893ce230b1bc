import { type Assumptions, ruleOf } from './assumptions.ts'
import type { History } from './history.ts'
import { ServerTruth } from './server-truth.ts'

export function truthOf(history: History, assumptions: Assumptions): ServerTruth {
  return new ServerTruth(history, line => ruleOf(assumptions, line))
}
