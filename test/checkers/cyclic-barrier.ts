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
  const { name, waits } = use
  const ends = roundsOf(log, name)
  const ended = new Set(ends.map(({ generation }) => generation))
  const unended = waits.flatMap(({ passed }) => (passed && !ended.has(passed.generation) ? [passed] : []))
  const wrongs = [
    ...ends.flatMap(end => wrongsOf(end, use)),
    ...unended.map(({ generation }): Wrong => {
      return ['passed-unpassed', `somebody passed in round ${generation}, which has not ended`]
    }),
    ...wronglyBroken(ends, use),
  ]
  return wrongs.map(([rule, what]) => ({ rule, message: `${name}: ${what}`, involved: [] }))
}

type Wrong = readonly [rule: string, what: string]

function wrongsOf(
  { generation, how, commit, came, together }: RoundEnd,
  { parties, waits, recorderLagMs, indexesAreKnown }: CyclicBarrierUse,
): Wrong[] {
  const wrongs: Wrong[] = []
  if (came > parties)
    wrongs.push(['barrier-overfull', `${came} came in round ${generation}, for ${parties} parties`])
  if (how === 'passed' && together < parties)
    wrongs.push([
      'passed-without-all',
      `round ${generation} was passed, but only ${together} were there together`,
    ])
  const passed = waits.filter(wait => wait.passed?.generation === generation)
  if (passed.length > 0 && how !== 'passed')
    wrongs.push(['passed-unpassed', `${passed.length} passed in round ${generation}, which was ${how}`])
  if (indexesAreKnown && new Set(passed.map(wait => wait.passed?.index)).size !== passed.length)
    wrongs.push(['barrier-index-repeated', `an index of round ${generation} was given twice`])
  if (passed.length > parties)
    wrongs.push([
      'barrier-overfull',
      `${passed.length} passed in round ${generation}, for ${parties} parties`,
    ])
  for (const { startedAt, endedAt = 0 } of passed)
    if (startedAt > commit.at || endedAt < commit.at - recorderLagMs)
      wrongs.push([
        'passed-out-of-time',
        `round ${generation} ended at ${commit.at}, not within ${startedAt} to ${endedAt}`,
      ])
  return wrongs
}

/** It is broken from the commit that says so to the one that begins the next round. */
function wronglyBroken(ends: readonly RoundEnd[], { waits, recorderLagMs }: CyclicBarrierUse): Wrong[] {
  const broken = new Map<number, { readonly from: number; until: number }>()
  for (const { generation, how, commit } of ends) {
    const known = broken.get(generation)
    if (known !== undefined) known.until = commit.at
    else if (how === 'broken') broken.set(generation, { from: commit.at, until: Infinity })
  }
  return waits.flatMap(({ startedAt, endedAt = 0, broken: isTold }): Wrong[] => {
    if (isTold !== true) return []
    const isTrue = [...broken.values()].some(
      ({ from, until }) => from - recorderLagMs <= endedAt && until >= startedAt,
    )
    if (isTrue) return []
    return [['broken-unbroken', `from ${startedAt} to ${endedAt} somebody heard that it was broken`]]
  })
}
