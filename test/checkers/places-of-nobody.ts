import type { TimeSpan } from './belief.ts'
import type { History, Violation } from './history.ts'
import type { ServerTruth } from './server-truth.ts'
import type { SessionLife } from './sessions.ts'

/** When nothing disturbs anybody: what is to be put in order has to be by its end. */
export interface Calm extends TimeSpan {
  /** How long that may take, from its beginning or from when there is something to put in order. */
  readonly graceMs: number
}

/**
 * No place is left in a line by a session that lives: by an attempt that was given up, or one that was applied
 * long after it was repeated. Such a place blocks its line for as long as the session is renewed.
 */
export function checkPlacesOfNobody(
  { acquisitions, releases }: Pick<History, 'acquisitions' | 'releases'>,
  sessions: readonly SessionLife[],
  calm: Calm,
  truth: ServerTruth,
): Violation[] {
  const violations: Violation[] = []
  // A lease that is left to others has several, one after the other: the last has to put it in order.
  const byLease = new Map(sessions.map(session => [session.lease, session]))
  const firstOf = new Map(sessions.toReversed().map(session => [session.lease, session]))
  const releasedAt = new Map(
    releases.map(({ acquisition, outcome, settledAt }) => [
      acquisition,
      outcome === 'ok' ? settledAt : Infinity,
    ]),
  )
  for (const { line, lives } of truth.lines) {
    for (const { place, created, gone } of lives) {
      const goneAt = truth.at(gone)
      // Most are gone before it matters.
      if (goneAt < calm.from + calm.graceMs) continue
      const session = byLease.get(place.lease)
      if (session === undefined || session.diedAt !== undefined || session.places === 'unrecorded') continue
      const untilMs = Math.min(goneAt, session.believedUntil, calm.until)
      const createdAt = truth.at(created)
      const first = firstOf.get(place.lease)
      const leftAt = first === session ? Infinity : (first?.believedUntil ?? Infinity)
      let neededUntil = -Infinity
      let askedEarlier = false
      for (const { id, process, line: wanted, key, invokedAt, settledAt, outcome } of acquisitions) {
        if (process !== session.process || wanted !== line || invokedAt > untilMs) continue
        // What an earlier session was granted, and lost with its lease, is no use of the place of a later one.
        if (outcome === 'ok' && key !== place.key) continue
        const needed = outcome === 'ok' ? (releasedAt.get(id) ?? Infinity) : settledAt
        neededUntil = Math.max(neededUntil, needed)
        askedEarlier ||= invokedAt >= (first?.openedAt ?? 0) && invokedAt < session.openedAt
      }
      // Of an attempt without an answer from before the lease was left `orphan()` says that it is nobody's, and what
      // its heir asked for since does not tell whose it is.
      if (askedEarlier && createdAt >= leftAt) continue
      const from = Math.max(createdAt, neededUntil, calm.from)
      if (untilMs - from <= calm.graceMs) continue
      violations.push({
        rule: 'place-of-nobody',
        message: `${session.process} left ${place.key} in ${line}, created at revision ${place.createRevision}, from ${from} to ${untilMs}, and wanted nothing there.`,
        involved: [session.id],
      })
    }
  }
  return violations
}
