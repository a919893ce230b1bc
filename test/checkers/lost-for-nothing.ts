import { type Assumptions, exact } from './assumptions.ts'
import { believed } from './belief.ts'
import { grouped } from './grouped.ts'
import type { Acquisition, History, Violation } from './history.ts'
import { changeAt, type ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/**
 * Whoever is told that its place is lost has lost it: it is gone by then, or taken off its lease. Where nothing keeps
 * a lease from being renewed the same is true of whoever is told that its session is lost, unless it stood still.
 */
export function checkLosses(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  // A server that lies about what there is deprives with that alone.
  if (assumptions.hostile || assumptions.staleReads === true) return []
  const violations: Violation[] = []
  const stallsOf = grouped(history.stalls, ({ process }) => process)
  const lost = history.acquisitions.filter(
    ({ outcome, loss }) => outcome === 'ok' && (loss === 'LOCK_LOST' || loss === 'SESSION_LOST'),
  )
  // What was granted as one is lost as one.
  for (const together of grouped(lost, ({ process, token }) => `${process} ${token}`).values()) {
    const { process, line, token, loss, settledAt, diedAt } = together[0]!
    const { until } = believed(together[0]!)
    // What its timers went on to say nobody heard.
    if (diedAt !== undefined && diedAt <= until) continue
    if (loss === 'SESSION_LOST') {
      const stoodStill = (stallsOf.get(process) ?? []).some(({ from }) => from <= until)
      if (assumptions.leasesAreSafe !== true || stoodStill) continue
    } else if (until - settledAt >= (assumptions.maxHoldMs?.(line) ?? Infinity)) continue
    if (!together.every(one => isThere(one, until, assumptions, truth))) continue
    violations.push({
      rule: 'lost-for-nothing',
      message: `${process} was told at ${until} that it lost ${line} with token ${token} (${loss}), and its place was there.`,
      involved: together.map(({ id }) => id),
    })
  }
  return violations
}

/** Was the place what it had been when it was created, by all that may have been committed until then? */
function isThere(
  { key, token }: Acquisition,
  at: number,
  { recorderLagMs }: Assumptions,
  truth: ServerTruth,
): boolean {
  const past = key === undefined ? undefined : truth.past(key)
  const last = past && changeAt(past, truth.lastBy(at, recorderLagMs))?.change
  if (last?.kind !== 'put' || last.createRevision !== token) return false
  const first = past?.changes.find(change => change.kind === 'put' && change.createRevision === token)
  return first?.kind === 'put' && first.lease === last.lease
}
