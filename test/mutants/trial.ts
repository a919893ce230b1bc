import type { Killer } from './killer.ts'
import type { Mutant } from './mutant.ts'
import type { Workshop } from './workshop.ts'

/** What became of one mutant. */
export interface Trial {
  readonly mutant: Mutant
  readonly fate: 'killed' | 'survived' | 'does not compile'
  /** The test that saw it. */
  readonly test: string | undefined
  /** What the first simulation that saw it calls it, and after how many seeds. */
  readonly rule: string | undefined
  readonly seeds: number | undefined
  readonly remarks: readonly string[]
  readonly seconds: number
}

/**
 * Puts the mutant in the place of the library and sets upon it its tests, the cheapest first, until one sees it;
 * and then every simulation it has, for how soon each of them does.
 */
export async function tried(
  mutant: Mutant,
  workshop: Workshop,
  killers: { readonly tests: readonly Killer[]; readonly simulations: readonly Killer[] },
): Promise<Trial> {
  const startedAtMs = performance.now()
  const remarks: string[] = [...(await workshop.become(mutant))]
  const compiles = remarks.length === 0
  let test: string | undefined
  let rule: string | undefined
  let seeds: number | undefined
  for (const killer of compiles ? killers.tests : []) {
    const attack = await killer.attack(workshop)
    if (attack.kind === 'survived') {
      if (attack.remark !== undefined) remarks.push(attack.remark)
      continue
    }
    test = attack.by
    break
  }
  for (const killer of compiles ? killers.simulations : []) {
    const attack = await killer.attack(workshop)
    if (attack.kind === 'survived') {
      if (attack.remark !== undefined) remarks.push(attack.remark)
      continue
    }
    if (rule === undefined) ({ by: rule, seeds } = attack)
  }
  const killed = test !== undefined || rule !== undefined
  return {
    mutant,
    fate: !compiles ? 'does not compile' : killed ? 'killed' : 'survived',
    test,
    rule,
    seeds,
    remarks,
    seconds: (performance.now() - startedAtMs) / 1000,
  }
}
