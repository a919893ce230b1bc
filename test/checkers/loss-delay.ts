import { deletionOf } from './deletion-of.ts'
import { grouped } from './grouped.ts'
import type { Acquisition, Commit, History, Violation } from './history.ts'

export interface LossDelay {
  /** The lines below this prefix are subject to it. */
  readonly prefix: string
  /** By the clock of the history; those of processes may be fast. */
  readonly shortestMs: number
}

/** When a lock was lost, and not unlocked, nobody is told that it holds it before the delay is over. */
export function checkLossDelay(
  { log, acquisitions }: Pick<History, 'log' | 'acquisitions'>,
  { prefix, shortestMs }: LossDelay,
): Violation[] {
  const told = grouped(
    // What is had again was held all the time.
    acquisitions.filter(
      ({ line, outcome, resumes }) => outcome === 'ok' && line.startsWith(prefix) && resumes === undefined,
    ),
    ({ line }) => line,
  )
  return [...told].flatMap(([line, granted]) => {
    const mark = `${line.slice(0, -1)}.delay`
    const owners = granted.toSorted((one, other) => (one.token! < other.token! ? -1 : 1))
    return owners.slice(1).flatMap((owner, index) => {
      const before = owners[index]!
      const lostAt = lossOf(log, before, mark)
      if (lostAt === undefined || owner.settledAt >= lostAt + shortestMs) return []
      return [
        {
          rule: 'granted-within-delay',
          message: `${line} was lost at ${lostAt}, and with token ${owner.token} told to be held at ${owner.settledAt}, less than ${shortestMs} ms later.`,
          involved: [before.id, owner.id],
        },
      ]
    })
  })
}

/** When its place went without its mark: that is no unlocking. */
function lossOf(log: readonly Commit[], { key, token }: Acquisition, mark: string): number | undefined {
  const gone = deletionOf(log, key!, token!)
  return gone?.changes.some(change => change.kind === 'delete' && change.key === mark) ? undefined : gone?.at
}
