import { type Assumptions, exact } from './assumptions.ts'
import { beliefs } from './belief.ts'
import type { History, Release, Violation } from './history.ts'
import type { ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/**
 * Whoever is told that it released what it held, did: the key was there when the release began and is gone when
 * it ends. Whoever was superseded is told that it had lost, and a place is given up once.
 *
 * An operator or the end of the lease may come between the two; then the key went another way, and the answer is
 * as true as before.
 */
export function checkReleases(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  const violations: Violation[] = []
  const acquisitions = new Map(history.acquisitions.map(acquisition => [acquisition.id, acquisition]))
  const ended = new Map<string, Release>()
  let toldBy: ReadonlyMap<string, number | undefined> | undefined
  for (const release of history.releases) {
    if (release.outcome !== 'ok' || release.wasHeld !== true) continue
    const { id, process, invokedAt, settledAt } = release
    const acquisition = acquisitions.get(release.acquisition)
    const life = acquisition && truth.lifeOf(acquisition)
    if (acquisition === undefined || life === undefined) {
      violations.push({
        rule: 'release-of-nothing',
        message: `${process} was told that it released ${release.acquisition}, which was never granted a place.`,
        involved: [id],
      })
      continue
    }
    const { line, token } = acquisition
    const before = ended.get(acquisition.id)
    if (before !== undefined) {
      violations.push({
        rule: 'released-twice',
        message: `${process} was told twice that it held ${line} with token ${token} when it released it.`,
        involved: [before.id, id],
      })
      continue
    }
    ended.set(acquisition.id, release)
    const goneAt = truth.at(life.gone)
    if (goneAt - assumptions.recorderLagMs > settledAt) {
      violations.push({
        rule: 'release-left-place',
        message: `${process} was told at ${settledAt} that it released ${line} with token ${token}, but the place was there ${
          life.gone === Infinity ? 'to the end' : `until ${goneAt}`
        }.`,
        involved: [id, acquisition.id],
      })
    } else if (goneAt + assumptions.clockSlackMs < invokedAt && !assumptions.hostile) {
      toldBy ??= new Map(
        beliefs(history, assumptions, truth).map(belief => [belief.acquisition.id, belief.toldBy]),
      )
      // Deprived by an operator, and released before the news can have come.
      if (invokedAt <= (toldBy.get(acquisition.id) ?? -Infinity)) continue
      violations.push({
        rule: 'release-of-superseded',
        message: `${process} was told that it held ${line} with token ${token} when it began to release it at ${invokedAt}, but the place had gone at ${goneAt}.`,
        involved: [id, acquisition.id],
      })
    }
  }
  return violations
}
