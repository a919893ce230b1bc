import type { Commit, History } from '../checkers/history.ts'
import type { SessionLife } from '../checkers/sessions.ts'

/** What a process tells of a session, in a round in which it used it. */
export type JournaledSession = Pick<SessionLife, 'id' | 'process' | 'lease' | 'openedAt'> &
  Partial<Pick<SessionLife, 'believedUntil'>>

/** A key that goes with the lease of a session, and says nothing. */
export function markOf(prefix: string, session: string): string {
  return `${marksOf(prefix)}${session}`
}

export function marksOf(prefix: string): string {
  return `${prefix}sessions/`
}

/** What became of the leases of sessions, as their marks tell. */
export function livesOf(
  prefix: string,
  sessions: readonly JournaledSession[],
  { log, interventions }: Pick<History, 'log' | 'interventions'>,
  deaths: ReadonlyMap<string, number>,
): SessionLife[] {
  const taken = new Set(interventions.map(({ revision }) => revision))
  const ends = new Map<string, Commit>()
  for (const commit of log)
    for (const { kind, key } of commit.changes) if (kind === 'delete') ends.set(key, commit)
  return sessions.map(session => {
    const end = ends.get(markOf(prefix, session.id))
    const diedAt = deaths.get(session.process)
    return {
      ...session,
      believedUntil: session.believedUntil ?? Number.POSITIVE_INFINITY,
      ...(diedAt === undefined ? {} : { diedAt }),
      ...(end === undefined
        ? {}
        : {
            leaseEnded: {
              at: end.at,
              by: taken.has(end.revision) ? ('operator' as const) : ('time' as const),
            },
          }),
    }
  })
}
