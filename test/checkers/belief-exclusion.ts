import { type Assumptions, exact, ruleOf } from './assumptions.ts'
import { type Belief, beliefs, type TimeSpan } from './belief.ts'
import type { History, Violation } from './history.ts'
import type { Place } from './line-rule.ts'
import type { ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/**
 * While they run, no two processes believe at one instant that they own what only one may, and nobody believes
 * so without owning it at the server. A hostile server can lie to anybody about that, so there nothing is asked.
 */
export function checkBelief(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  if (assumptions.hostile) return []
  const lines = new Map<string, Believing[]>()
  const violations: Violation[] = []
  for (const belief of beliefs(history, assumptions, truth)) {
    const { line } = belief.acquisition
    let believing = lines.get(line)
    if (believing === undefined) {
      believing = []
      lines.set(line, believing)
    }
    for (const span of belief.spans) believing.push({ belief, span })
    const violation = beyondOwnership(belief, assumptions, truth)
    if (violation !== undefined) violations.push(violation)
  }
  for (const [line, believing] of lines) violations.push(...overlaps(line, believing, assumptions))
  return violations
}

interface Believing {
  readonly belief: Belief
  readonly span: TimeSpan
}

function beyondOwnership(
  { acquisition, life, spans }: Belief,
  { clockSlackMs, recorderLagMs }: Assumptions,
  truth: ServerTruth,
): Violation | undefined {
  // Without a place the grant itself was wrong, which another checker tells.
  if (life === undefined) return undefined
  const { id, process, line, token } = acquisition
  for (const span of spans) {
    // Belief is covered up to here.
    let covered = span.from
    for (const owned of life.owned) {
      if (truth.at(owned.from) - recorderLagMs > covered) break
      covered = Math.max(covered, truth.at(owned.until) + clockSlackMs)
    }
    if (covered >= span.until) continue
    const next = life.owned.find(({ from }) => truth.at(from) - recorderLagMs > covered)
    const early = covered === span.from && next !== undefined
    return {
      rule: early ? 'belief-before-ownership' : 'belief-beyond-ownership',
      message: early
        ? `${process} believed from ${span.from} that it owns ${line} with token ${token}, but did only from ${truth.at(next.from)}.`
        : `${process} believed until ${span.until} that it owns ${line} with token ${token}, but did not after ${covered}.`,
      involved: [id],
    }
  }
  return undefined
}

function overlaps(line: string, believing: Believing[], assumptions: Assumptions): Violation[] {
  const violations: Violation[] = []
  const rule = ruleOf(assumptions, line)
  believing.sort((one, other) => one.span.from - other.span.from)
  let active: Believing[] = []
  for (const next of believing) {
    const { from } = next.span
    if (active.length > 0) {
      active = active.filter(({ span }) => span.until - assumptions.clockSlackMs > from)
    }
    active.push(next)
    if (active.length === 1 || rule.together(active.map(placeOf))) continue
    const { acquisition } = next.belief
    const others = active.slice(0, -1)
    violations.push({
      rule: 'belief-overlap',
      message: `At ${from} ${acquisition.process} believed that it owns ${line} with token ${acquisition.token}, and so did ${others
        .map(
          ({ belief, span }) =>
            `${belief.acquisition.process} with token ${belief.acquisition.token} until ${span.until}`,
        )
        .join(' and ')}.`,
      involved: active.map(({ belief }) => belief.acquisition.id),
    })
  }
  return violations
}

function placeOf({ belief: { acquisition, life } }: Believing): Place {
  if (life !== undefined) return life.place
  return { key: acquisition.key ?? '', createRevision: acquisition.token ?? 0n, lease: 0n, value: '' }
}
