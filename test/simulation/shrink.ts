import type { Plan } from './plan.ts'

/**
 * The simplest plan found that still fails as `fails` says: fewer faults, fewer processes, less time. Tries at
 * most `budget` of them.
 */
export async function shrink(
  plan: Plan,
  fails: (plan: Plan) => Promise<boolean>,
  budget = 150,
): Promise<Plan> {
  let best = plan
  let left = budget
  for (let simpler = true; simpler; ) {
    simpler = false
    for (const candidate of simplerThan(best)) {
      if (left-- <= 0) return best
      if (!(await fails(candidate))) continue
      best = candidate
      simpler = true
      break
    }
  }
  return best
}

function* simplerThan(plan: Plan): Generator<Plan> {
  const { faults, processes, seconds, members, lines } = plan
  if (faults.length > 3) {
    const half = Math.floor(faults.length / 2)
    yield { ...plan, faults: faults.slice(0, half) }
    yield { ...plan, faults: faults.slice(half) }
  }
  for (const fault of faults) yield { ...plan, faults: faults.filter(kind => kind !== fault) }
  if (plan.hostile) yield { ...plan, hostile: false }
  if (plan.spikeChance > 0) yield { ...plan, spikeChance: 0 }
  if (plan.drift > 0) yield { ...plan, drift: 0 }
  if (plan.tokenTtl > 0) yield { ...plan, tokenTtl: 0 }
  if (plan.inBatches) yield { ...plan, inBatches: false }
  if (members > 1) yield { ...plan, members: 1 }
  if (lines > 1) yield { ...plan, lines: 1 }
  if (processes > 1) yield { ...plan, processes: processes - 1 }
  if (seconds > 5) yield { ...plan, seconds: Math.ceil(seconds / 2) }
  if (seconds > 5) yield { ...plan, seconds: Math.ceil(seconds * 0.8) }
}

/** What sets it apart from the plan its seed was given: all that must be said to have it again. */
export function differences(original: Plan, plan: Plan): Partial<Plan> {
  const entries = Object.entries(plan).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(original[name as keyof Plan]),
  )
  return Object.fromEntries(entries)
}
