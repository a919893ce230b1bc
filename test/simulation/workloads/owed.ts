import { promptnessOf } from '../promptness.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import type { Stage } from '../stage.ts'

/** Some who read pause now and then, and may have that much before them. */
const READING_MS = 3000

/**
 * Everything up to this revision is to be told by now to whoever has watched since then: it was committed long enough
 * ago, and nothing has kept it from anybody. 0 while nobody can say that of anything.
 */
export function owedTo(stage: Stage, process: SimulatedProcess, sinceMs: number): bigint {
  const { plan, world, cluster, recorder } = stage
  const { from, graceMs, withinMs } = promptnessOf(plan, Infinity)
  const atMs = world.nowMs - withinMs - READING_MS
  if (plan.hostile || atMs < from + graceMs || atMs < sinceMs + withinMs) return 0n
  const stoodStill = recorder.stalls.some(
    stall => stall.process === process.name && stall.until > atMs - graceMs,
  )
  if (stoodStill) return 0n
  return cluster.log.findLast(({ at }) => at <= atMs)?.revision ?? 0n
}
