import { type Assumptions, exact } from './assumptions.ts'
import type { History, Violation } from './history.ts'
import type { ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/**
 * Whoever was told it owns did own, at the server, at some moment of its call: its key was created at the
 * revision that is its token, and was an owner of the line.
 */
export function checkServerExclusion(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  const violations: Violation[] = []
  const { recorderLagMs } = assumptions
  for (const acquisition of history.acquisitions) {
    if (acquisition.outcome !== 'ok') continue
    const { id, process, key, token, line, invokedAt, settledAt } = acquisition
    const life = truth.lifeOf(acquisition)
    if (life === undefined) {
      violations.push({
        rule: 'grant-without-place',
        message: `${process} was granted ${line} with ${key} and token ${token}, but no such key was created then.`,
        involved: [id],
      })
    } else if (
      !neverHeard(life.gone, settledAt, assumptions, truth) &&
      !life.owned.some(
        ({ from, until }) => truth.at(from) - recorderLagMs <= settledAt && truth.at(until) >= invokedAt,
      )
    ) {
      const when = life.owned.map(({ from, until }) => `${truth.at(from)} to ${truth.at(until)}`)
      violations.push({
        rule: 'grant-without-ownership',
        message: `${process} was granted ${line} with token ${token} between ${invokedAt} and ${settledAt}, but owned it ${
          when.length === 0 ? 'never' : `from ${when.join(' and ')}`
        }.`,
        involved: [id],
      })
    }
  }
  return violations
}

/** The place was gone before the grant, and a server that withholds events need not have told. */
function neverHeard(
  gone: number,
  settledAt: number,
  { lostEvents }: Assumptions,
  truth: ServerTruth,
): boolean {
  return lostEvents === true && truth.at(gone) <= settledAt
}
