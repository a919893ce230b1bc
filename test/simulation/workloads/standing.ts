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
  readonly how: 'waits' | 'tries'
  readonly since: number
  until: number
  /** It came to nothing, and an attempt of it may still be applied. */
  hasFailed: boolean
}

/** So long an attempt that was given up may be on its way. */
const LATE_MS = 2 * REQUEST_MS

const waitsOf = ledger<Wait>()

/**
 * Waits in lines. What passes may keep somebody from standing in one; whoever stands there waits until it is granted
 * what it waits for, has lost its place or its session, or gives up.
 */
export async function standing<Result>(
  scene: { readonly process: SimulatedProcess; readonly stage: Stage; readonly session: Session },
  prefixes: readonly string[],
  wait: () => Promise<Result>,
  how: 'waits' | 'tries' = 'waits',
): Promise<Result> {
  const { process, stage, session } = scene
  const mine: Wait = { session, prefixes, how, since: stage.world.nowMs, until: Infinity, hasFailed: false }
  waitsOf(stage).push(mine)
  try {
    const result = await wait()
    mine.hasFailed = result === undefined
    return result
  } catch (error) {
    mine.hasFailed = true
    if (EtcdError.is(error)) judge(stage, process, mine, error)
    throw error
  } finally {
    mine.until = stage.world.nowMs
  }
}

function judge(stage: Stage, process: SimulatedProcess, mine: Wait, { code }: EtcdError): void {
  const { plan, world, recorder } = stage
  const places = mine.prefixes.map(prefix => placesIn(stage, mine, prefix))
  const complain = (what: string) =>
    stage.unexpected(new Error(what), `the wait in ${mine.prefixes.join(' and ')}`)
  // Whoever is told that its place is gone has none.
  if (code === 'LOCK_LOST' && !plan.hostile && places.every(sure => sure.length > 0))
    complain('its place was said to be gone, and was there')
  // Whoever only tries is told at any time.
  if (mine.how === 'tries' || !isPassing(plan, code)) return
  const stoodMs = Math.max(...places.flat().map(({ at }) => ranMs(recorder.stalls, process, at, world.nowMs)))
  if (stoodMs > answerMs(plan)) complain(`${code} after ${stoodMs} ms in line`)
}

interface Place {
  /** When the youngest that may be ours was created. */
  readonly at: number
}

/**
 * Our place, if it is there for sure: not if it may be that of another task; nor if somebody did something to any of
 * ours, as what is there now may be what an attempt without an answer has created since.
 */
function placesIn(stage: Stage, mine: Wait, prefix: string): readonly Place[] {
  const { cluster, recorder } = stage
  const { session, since } = mine
  const others = waitsOf(stage).filter(
    one =>
      one !== mine &&
      one.session === session &&
      one.until >= (one.hasFailed ? since - LATE_MS : since) &&
      one.prefixes.some(p => p === prefix),
  )
  const there = new Set(cluster.keys(prefix))
  const ours = new Set<string>()
  const createdAt: number[] = []
  for (const { at, revision, changes } of cluster.log.toReversed()) {
    if (at < since) break
    for (const change of changes) {
      if (change.kind !== 'put' || change.createRevision !== revision) continue
      if (change.lease !== session.leaseId || !change.key.startsWith(prefix)) continue
      ours.add(change.key)
      if (there.delete(change.key) && !cluster.isUnleased(change.key)) createdAt.push(at)
    }
  }
  if (createdAt.length <= others.length || recorder.mayHaveIntervened(ours, since)) return []
  return [{ at: Math.max(...createdAt) }]
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
