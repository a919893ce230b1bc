import { type Assumptions, exact } from '../checkers/assumptions.ts'
import { checkHistory } from '../checkers/check.ts'
import type { Violation } from '../checkers/history.ts'
import { checkTransactions } from '../checkers/transactions.ts'
import type { FaultKind, Plan } from './plan.ts'
import { type Played, play } from './play.ts'
import { workloads } from './workloads/index.ts'

/** The own key is watched from the first second of a hold on. */
const ARMED_MS = 1000

/** Faults that may keep the news of an operator's deed from its reader until the session itself is over. */
const DELAYING: ReadonlySet<FaultKind> = new Set([
  'cut',
  'black-hole',
  'one-way',
  'slow-path',
  'never-speaks',
  'member-killed',
  'member-stopped',
  'member-lags',
  'leader-lost',
  'go-away',
  'streams-cut',
  'reply-lost',
  'all-members-down',
])

export interface Verdict {
  readonly played: Played
  readonly violations: readonly Violation[]
}

export interface RunOptions {
  readonly trace?: boolean
  /** Plays it a second time and compares. */
  readonly twice?: boolean
}

/** Plays the plan and holds what came of it to everything that is promised. */
export async function run(plan: Plan, options: RunOptions = {}): Promise<Verdict> {
  const workload = workloads[plan.recipe]
  if (workload === undefined) throw new RangeError(`no such recipe to simulate: ${plan.recipe}`)
  const played = await play(plan, workload, options)
  const assumptions = assumptionsOf(plan)
  const violations = [
    ...played.complaints,
    ...checkHistory(played.history, assumptions),
    ...checkTransactions(played.history, played.transactions, assumptions),
  ]
  if (options.twice === true) {
    const again = await play(plan, workload)
    if (again.hash !== played.hash)
      violations.push({
        rule: 'not-deterministic',
        message: `played twice, it came to ${played.hash} and to ${again.hash}`,
        involved: [],
      })
  }
  return { played, violations }
}

function assumptionsOf({ ttl, faults, hostile, latencyMs, spikeChance, spikeMs }: Plan): Assumptions {
  const slow = faults.some(kind => DELAYING.has(kind))
  const roundTripsMs = 20 * latencyMs + (spikeChance > 0 ? 4 * spikeMs : 0)
  return {
    ...exact,
    noticeMs: ARMED_MS + roundTripsMs + (slow ? ttl * 1000 + 10_000 : 0),
    hostile,
    staleReads: hostile,
    lostEvents: hostile,
  }
}
