import { type Assumptions, exact } from './assumptions.ts'
import { believed } from './belief.ts'
import { grouped } from './grouped.ts'
import type { History, Release, Violation } from './history.ts'
import type { ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/**
 * Nobody's place is deleted while its process believes that it owns, but by a release of that very acquisition,
 * with its lease, or by an operator. The place of an acquisition that came to nothing is cleared by its process,
 * and so is one that was lost: there nobody believes.
 *
 * A lease with one key only cannot be told from the deletion of that key, unless it is used again; that such a
 * belief outlived its place is for another checker to say.
 */
export function checkForeignDeletes(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  const violations: Violation[] = []
  const releases = grouped(history.releases, ({ acquisition }) => acquisition)
  for (const acquisition of history.acquisitions) {
    const life = truth.lifeOf(acquisition)
    if (acquisition.outcome !== 'ok' || life === undefined || life.gone === Infinity) continue
    if (life.leaseEnded || truth.endedBy(life) !== undefined) continue
    const at = truth.at(life.gone)
    const { from, until } = believed(acquisition)
    // Seen late, it may have been before the belief began; then the belief is wrong, and not the deletion.
    if (at - assumptions.recorderLagMs <= from || at >= until) continue
    if (releases.get(acquisition.id)?.some(release => explains(release, at))) continue
    const revision = `revision ${truth.revision(life.gone)}`
    violations.push({
      rule: 'foreign-delete',
      message: `${revision} at ${at} deleted ${life.place.key} with token ${acquisition.token}, while ${acquisition.process} believed from ${from} until ${until} that it owns ${acquisition.line}, and had not released it.`,
      involved: [acquisition.id, revision],
    })
  }
  return violations
}

function explains({ outcome, invokedAt }: Release, at: number): boolean {
  return outcome !== 'failed' && invokedAt <= at
}
