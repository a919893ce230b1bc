import { type RoundEnd, roundsOf } from './barrier-rounds.ts'
import type { Commit, Violation } from './history.ts'

/** One who came to a cyclic barrier. Without an end, nobody heard of it. */
export interface CyclicWait {
  readonly startedAt: number
  readonly endedAt?: number
  readonly passed?: { readonly generation: number; readonly index: number }
  /** It was told that the barrier is broken. */
  readonly broken?: boolean
}

export interface CyclicBarrierUse {
  readonly name: string
  readonly parties: number
  readonly waits: readonly CyclicWait[]
  /** By how much a commit may be dated later than it was made. */
  readonly recorderLagMs: number
  /** The cluster has forgotten nothing: where an answer was lost, it can still be asked who came when. */
  readonly indexesAreKnown: boolean
}

/** A round is passed by as many as there are parties, all of whom were there together, or by nobody. */
export function checkCyclicBarrier(log: readonly Commit[], use: CyclicBarrierUse): Violation[] {
  const { name, waits, recorderLagMs } = use
  const ends = roundsOf(log, name)
  const wrongs = ends.flatMap(end => wrongsOf(end, use))
  const ended = new Set(ends.map(({ generation }) => generation))
  for (const { passed } of waits)
    if (passed !== undefined && !ended.has(passed.generation))
      wrongs.push(`somebody passed in round ${passed.generation}, which has not ended`)
  const breaks = ends.filter(({ how }) => how === 'broken')
  for (const { broken, endedAt = 0 } of waits)
    if (broken === true && !breaks.some(({ commit }) => commit.at - recorderLagMs <= endedAt))
      wrongs.push('somebody heard that it was broken before it was')
  return wrongs.map(what => ({ rule: 'cyclic-barrier', message: `${name}: ${what}`, involved: [] }))
}

function wrongsOf(
  { generation, how, commit, came, together }: RoundEnd,
  { parties, waits, recorderLagMs, indexesAreKnown }: CyclicBarrierUse,
): string[] {
  const wrongs: string[] = []
  if (came > parties) wrongs.push(`${came} came in round ${generation}`)
  if (how === 'passed' && together < parties)
    wrongs.push(`round ${generation} was passed, but only ${together} were there together`)
  const passed = waits.filter(wait => wait.passed?.generation === generation)
  if (passed.length > 0 && how !== 'passed')
    wrongs.push(`${passed.length} passed in round ${generation}, which was ${how}`)
  if (indexesAreKnown && new Set(passed.map(wait => wait.passed?.index)).size !== passed.length)
    wrongs.push(`an index of round ${generation} was given twice`)
  if (passed.length > parties) wrongs.push(`${passed.length} passed in round ${generation}`)
  for (const { startedAt, endedAt = 0 } of passed)
    if (startedAt > commit.at || endedAt < commit.at - recorderLagMs)
      wrongs.push(`round ${generation} ended at ${commit.at}, not within ${startedAt} to ${endedAt}`)
  return wrongs
}
