import type { Commit } from './history.ts'

/** The end of a round at a barrier, as the log of the cluster shows it. */
export interface RoundEnd {
  readonly generation: number
  readonly how: 'open' | 'passed' | 'broken'
  readonly commit: Commit
  /** How many had come, and how many of them were there at the same time at most. */
  readonly came: number
  readonly together: number
  /** Keys of that round that were there right before, those without a lease left out. */
  readonly left: number
}

/** All that became of the rounds of the barrier `name`, from the first revision on. */
export function roundsOf(log: readonly Commit[], name: string): readonly RoundEnd[] {
  const members = new Map<number, { came: Set<string>; there: Map<string, bigint>; together: number }>()
  const roundAt = (generation: number) => {
    const round = members.get(generation) ?? { came: new Set(), there: new Map(), together: 0 }
    members.set(generation, round)
    return round
  }
  const ends: RoundEnd[] = []
  let before = { generation: 0, phase: 'gathering', past: '' }
  for (const commit of log) {
    const state = commit.changes.find(({ key }) => key === `${name}/state`)
    if (state?.kind === 'put') {
      const now = JSON.parse(state.value) as typeof before
      const { generation } = before
      const { came, there, together } = roundAt(generation)
      const left = [...there.values()].filter(lease => lease !== 0n).length
      const facts = { generation, commit, came: came.size, together, left }
      if (now.generation > generation)
        ends.push({ ...facts, how: now.past.endsWith('p') ? 'passed' : 'broken' })
      else if (now.phase !== before.phase) ends.push({ ...facts, how: now.phase as 'open' | 'broken' })
      before = now
    }
    for (const change of commit.changes) {
      const [, generation] = new RegExp(`^${name}/(\\d+)/m/`).exec(change.key) ?? []
      if (generation === undefined) continue
      const round = roundAt(Number(generation))
      if (change.kind === 'put') {
        round.came.add(change.key)
        round.there.set(change.key, change.lease)
        round.together = Math.max(round.together, round.there.size)
      } else round.there.delete(change.key)
    }
  }
  return ends
}
