import type { Stage } from '../stage.ts'

/** Lists that belong to one play each. */
export function ledger<Entry>(): (stage: Stage) => Entry[] {
  const entries = new WeakMap<Stage, Entry[]>()
  return stage => {
    const known = entries.get(stage) ?? []
    entries.set(stage, known)
    return known
  }
}
