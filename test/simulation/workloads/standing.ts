import { EtcdError, type Session } from '../../../src/index.ts'
import type { Stall } from '../../checkers/history.ts'
import type { Plan } from '../plan.ts'
import { isSlow, roundTripsMs } from '../promptness.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import type { Stage } from '../stage.ts'
import { ledger } from './ledger.ts'
import { isPassing } from './said.ts'

/** What is not asked for in another time has an end after so long. */
export const REQUEST_MS = 10_000

/** One wait of a session, in lines it stands in with all its keys below these prefixes. */
interface Wait {
  readonly session: Session
  readonly prefixes: readonly string[]
  readonly since: number
  until: number
}

const waitsOf = ledger<Wait>()

/**
 * Waits in lines. What passes may keep somebody from standing in one; whoever stands there waits until it is granted
 * what it waits for, has lost its place or its session, or gives up.
 */
export async function standing<Result>(
  scene: { readonly process: SimulatedProcess; readonly stage: Stage; readonly session: Session },
  prefixes: readonly string[],
  wait: () => Promise<Result>,
): Promise<Result> {
  const { process, stage, session } = scene
  const mine: Wait = { session, prefixes, since: stage.world.nowMs, until: Infinity }
  waitsOf(stage).push(mine)
  try {
    return await wait()
  } catch (error) {
    if (EtcdError.is(error) && isPassing(stage.plan, error.code))
      for (const prefix of prefixes) {
        const stoodMs = stoodIn(stage, process, mine, prefix)
        if (stoodMs > answerMs(stage.plan))
          stage.unexpected(new Error(`${error.code} after ${stoodMs} ms in line`), `the wait in ${prefix}`)
      }
    throw error
  } finally {
    mine.until = stage.world.nowMs
  }
}

/** How long its place has been there at least, while its process ran; 0 if it may be that of another task. */
function stoodIn(stage: Stage, process: SimulatedProcess, mine: Wait, prefix: string): number {
  const { world, cluster, recorder } = stage
  const { session, since } = mine
  const others = waitsOf(stage).filter(
    one =>
      one !== mine && one.session === session && one.until >= since && one.prefixes.some(p => p === prefix),
  )
  const there = new Set(cluster.keys(prefix))
  const createdAt: number[] = []
  for (const { at, revision, changes } of cluster.log.toReversed()) {
    if (at < since) break
    for (const change of changes) {
      if (change.kind !== 'put' || change.createRevision !== revision) continue
      if (change.lease === session.leaseId && there.delete(change.key)) createdAt.push(at)
    }
  }
  if (createdAt.length <= others.length) return 0
  return ranMs(recorder.stalls, process, Math.max(...createdAt), world.nowMs)
}

function ranMs(stalls: readonly Stall[], { name }: SimulatedProcess, from: number, until: number): number {
  const stoodMs = stalls
    .filter(stall => stall.process === name)
    .reduce((sum, stall) => sum + Math.max(0, Math.min(stall.until, until) - Math.max(stall.from, from)), 0)
  return until - from - stoodMs
}

/** What took a place may be answered so late. */
function answerMs(plan: Plan): number {
  return isSlow(plan) ? REQUEST_MS / (1 - plan.drift) + 1 : roundTripsMs(plan)
}
