import type { Assumptions } from './assumptions.ts'
import { grouped } from './grouped.ts'
import type { Stall, Violation } from './history.ts'

/** A session as its process saw it, beside what became of its lease. */
export interface SessionLife {
  readonly id: string
  readonly process: string
  readonly lease: bigint
  readonly openedAt: number
  /** When its process first stopped relying on it. `Infinity`: it never did, or died with it. */
  readonly believedUntil: number
  /** Its process crashed at this time. */
  readonly diedAt?: number
  /** The cluster ended the lease, other than because the session asked for it. */
  readonly leaseEnded?: { readonly at: number; readonly by: 'time' | 'operator' }
  /** It was told that its session was closed in good order. */
  readonly closed?: { readonly at: number; readonly leaseWasThere: boolean }
  /** What it asked for in lines is not written down. */
  readonly places?: 'unrecorded'
}

export interface SessionAssumptions extends Pick<Assumptions, 'clockSlackMs' | 'hostile'> {
  /** How long a process may go on relying on a session whose lease an operator took, while it runs. */
  readonly toldWithinMs: number
}

/**
 * Nobody who runs relies on a session whose lease has run out; whoever lost his lease to an operator is told in
 * time; and when a session is closed in good order its lease, and every key of it, is gone.
 */
export function checkSessions(
  sessions: readonly SessionLife[],
  stalls: readonly Stall[],
  { clockSlackMs, hostile, toldWithinMs }: SessionAssumptions,
): Violation[] {
  const stallsOf = grouped(stalls, ({ process }) => process)
  const violations: Violation[] = []
  for (const { id, process, openedAt, believedUntil, diedAt = Infinity, leaseEnded, closed } of sessions) {
    if (closed?.leaseWasThere === true) {
      violations.push({
        rule: 'lease-left-by-close',
        message: `${process} was told at ${closed.at} that its session was closed, but its lease was there.`,
        involved: [id],
      })
    }
    // A hostile server renews what is gone: nobody can rely on belief then.
    if (leaseEnded === undefined || hostile) continue
    const { at, by } = leaseEnded
    const untilMs = Math.min(believedUntil, diedAt)
    const graceMs = by === 'time' ? clockSlackMs : toldWithinMs
    const ranMs = runningBetween(Math.max(at, openedAt), untilMs, stallsOf.get(process) ?? [])
    if (ranMs <= graceMs) continue
    violations.push({
      rule: by === 'time' ? 'session-beyond-lease' : 'session-not-told',
      message: `${process} relied until ${untilMs} on a session whose lease ${by === 'time' ? 'ran out' : 'was taken'} at ${at}.`,
      involved: [id],
    })
  }
  return violations
}

/** How long a process ran between two instants. */
function runningBetween(from: number, until: number, stalls: readonly Stall[]): number {
  let ranMs = Math.max(0, until - from)
  let coveredUntil = from
  for (const stall of stalls.toSorted((one, other) => one.from - other.from)) {
    const start = Math.max(stall.from, coveredUntil)
    const end = Math.min(stall.until, until)
    if (end <= start) continue
    ranMs -= end - start
    coveredUntil = end
  }
  return ranMs
}
