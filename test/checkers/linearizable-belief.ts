import { type Assumptions, exact, ruleOf } from './assumptions.ts'
import { type Belief, beliefs } from './belief.ts'
import { grouped } from './grouped.ts'
import type { History, Violation } from './history.ts'
import { oneAtATime } from './line-rule.ts'
import { linearize, type ObjectCall } from './linearizability.ts'
import { type LockInput, type LockOutput, lockModel } from './models.ts'
import type { ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/**
 * A second opinion on belief, by search and without the log: what processes believed could have been the doing of
 * one lock. Only for lines where one owns at a time; a search that is not finished is no proof.
 */
export function checkLinearizableBelief(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  if (assumptions.hostile) return []
  const violations: Violation[] = []
  const lines = grouped(beliefs(history, assumptions, truth), ({ acquisition }) => acquisition.line)
  for (const [line, believers] of lines) {
    if (ruleOf(assumptions, line) !== oneAtATime) continue
    const calls = lockCalls(believers, assumptions)
    const verdict = linearize(lockModel, calls, assumptions.maxSteps)
    switch (verdict.kind) {
      case 'linearizable':
        break
      case 'not-linearizable':
        violations.push({
          rule: 'belief-not-linearizable',
          message: `No order of who had ${line} fits what was believed: after ${
            verdict.order.at(-1) ?? 'nothing'
          } nothing could follow of ${verdict.stuck.join(', ')}.`,
          involved: [...new Set([...verdict.order.slice(-1), ...verdict.stuck].map(acquisitionOf))],
        })
        break
      case 'undecided':
        violations.push({
          rule: 'undecided',
          message: `Whether what was believed about ${line} fits one lock is not known after ${verdict.steps} steps.`,
          involved: [],
        })
    }
  }
  return violations
}

const PART = '#'

/** Each span of belief is one lock taken, by when it began, and given back, not before it ended. */
function lockCalls(
  believers: readonly Belief[],
  { clockSlackMs }: Assumptions,
): ObjectCall<LockInput, LockOutput>[] {
  const calls: ObjectCall<LockInput, LockOutput>[] = []
  for (const { acquisition, spans } of believers) {
    let earliest = acquisition.invokedAt
    spans.forEach(({ from, until }, position) => {
      if (until - clockSlackMs <= from) return
      const owner = `${acquisition.id}${PART}${position}`
      calls.push({
        id: owner,
        input: { kind: 'acquire', owner },
        output: 'done',
        invokedAt: Math.min(earliest, from),
        settledAt: from,
      })
      earliest = until
      if (until === Infinity) return
      calls.push({
        id: `${owner}${PART}end`,
        input: { kind: 'expire', owner },
        output: 'done',
        invokedAt: until - clockSlackMs,
        settledAt: Infinity,
      })
    })
  }
  return calls
}

function acquisitionOf(call: string): string {
  return call.slice(0, call.indexOf(PART))
}
