import { type Assumptions, exact } from '../checkers/assumptions.ts'
import { checkHistory } from '../checkers/check.ts'
import { checkGrantsInTime } from '../checkers/grants-in-time.ts'
import type { Violation } from '../checkers/history.ts'
import { oneAtATime } from '../checkers/line-rule.ts'
import { checkPlacesOfNobody } from '../checkers/places-of-nobody.ts'
import { checkSessions } from '../checkers/sessions.ts'
import { checkTransactions } from '../checkers/transactions.ts'
import { truthOf } from '../checkers/truth-of.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { Plan } from './plan.ts'
import { type Played, play } from './play.ts'
import {
  ARMED_MS,
  byItsClock,
  healedAtMs,
  isSlow,
  leasesAreSafe,
  noticeMs,
  promptnessOf,
  roundTripsMs,
} from './promptness.ts'
import { workloadOf } from './workloads/index.ts'

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
  const workload = workloadOf(plan.recipe)
  if (workload === undefined) throw new RangeError(`no such recipe to simulate: ${plan.recipe}`)
  const played = await play(plan, workload, options)
  const violations = violationsIn(played)
  if (options.twice === true) {
    const once = fingerprintOf(played, violations)
    const second = await play(plan, workload)
    const again = fingerprintOf(second, violationsIn(second))
    if (again !== once)
      violations.push({
        rule: 'not-deterministic',
        message: `played twice, it came to ${once} and to ${again}`,
        involved: [],
      })
  }
  return { played, violations }
}

function violationsIn(played: Played): Violation[] {
  const { plan, complaints, history, transactions } = played
  return [
    ...complaints,
    ...checked(plan, played),
    ...checkTransactions(history, transactions, assumptionsOf(plan)),
  ]
}

function checked(plan: Plan, { history, sessions, overAtMs }: Played): readonly Violation[] {
  const { ttl, hostile, seconds } = plan
  const assumptions = assumptionsOf(plan)
  const ttlMs = ttl * 1000
  const promptness = promptnessOf(plan, overAtMs)
  const healed = { ...promptness, from: healedAtMs(seconds) }
  const truth = truthOf(history, assumptions)
  return [
    ...checkHistory(history, assumptions),
    ...checkSessions(sessions, history.stalls, {
      ...assumptions,
      // At the latest the deadline tells; before it the next renewal does, unless something is in its way.
      toldWithinMs: isSlow(plan)
        ? ttlMs
        : Math.min(ttlMs, byItsClock(plan, ttlMs / 3 + ARMED_MS) + roundTripsMs(plan)),
    }),
    // A server that lies about what there is cannot be put in order against, nor heard in time.
    ...(hostile
      ? []
      : [
          ...checkPlacesOfNobody(history, sessions, healed, truth),
          ...checkGrantsInTime(history, promptness, truth),
        ]),
  ]
}

function assumptionsOf(plan: Plan): Assumptions {
  const { hostile } = plan
  const workload = workloadOf(plan.recipe)
  return {
    ...exact,
    noticeMs: noticeMs(plan),
    hostile,
    staleReads: hostile,
    lostEvents: hostile,
    leasesAreSafe: leasesAreSafe(plan),
    maxHoldMs: line => {
      const byItsOwnClock = workload?.maxHoldMs?.(plan, line)
      return byItsOwnClock && byItsOwnClock * (1 - plan.drift)
    },
    ruleOf: line => workload?.ruleOf?.(line) ?? oneAtATime,
  }
}
