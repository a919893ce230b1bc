import type { Attack, Killer } from './killer.ts'
import { runNode } from './process.ts'
import type { Workshop } from './workshop.ts'

/** The simulation's command, below `test/`. */
export const simulationFile = 'simulation/run'

/** Few seeds show that the simulation runs at all. */
const BASELINE_SEEDS = 50
const BASELINE_LIMIT_MS = 120_000

export interface SimulationOptions {
  readonly recipe: string
  /** How many to try before the mutant counts as unseen. */
  readonly seeds: number
  /** How long that may take. */
  readonly limitMs: number
}

/** The simulation of one recipe, from the first seed to the first failure. */
export class SimulationKiller implements Killer {
  readonly name: string
  readonly #options: SimulationOptions

  constructor(options: SimulationOptions) {
    this.#options = options
    this.name = `simulation of ${options.recipe}`
  }

  async baseline(workshop: Workshop): Promise<string | undefined> {
    const { status, lines } = await this.#run(workshop, BASELINE_SEEDS, BASELINE_LIMIT_MS)
    if (status === 0) return undefined
    if (status === undefined) return `${this.name} took more than ${BASELINE_LIMIT_MS / 1000} s`
    const failure = failureIn(lines)
    const why = failure === undefined ? lines.find(line => line.includes('Error')) : failure.rule
    return `${this.name} fails: ${why ?? `it ended with status ${status}`}`
  }

  async attack(workshop: Workshop): Promise<Attack> {
    const { seeds, limitMs } = this.#options
    const { status, lines } = await this.#run(workshop, seeds, limitMs)
    if (status === 0) return { kind: 'survived', remark: `${this.name}: unseen in ${seeds} seeds` }
    const failure = failureIn(lines)
    if (failure !== undefined) return { kind: 'killed', by: failure.rule, seeds: failure.seeds }
    if (status === undefined)
      return { kind: 'survived', remark: `${this.name}: unseen in ${limitMs / 1000} s` }
    return { kind: 'survived', remark: `${this.name} broke off: ${lines.at(-1) ?? ''}` }
  }

  #run(workshop: Workshop, seeds: number, limitMs: number) {
    const command = [workshop.compiled(simulationFile), '--recipe', this.#options.recipe]
    const args = [
      ...command,
      '--seeds',
      String(seeds),
      '--workers',
      '1',
      '--failures',
      '1',
      '--as-found',
      '--json',
    ]
    return runNode(args, { cwd: workshop.folder, limitMs })
  }
}

/** What `--json` prints last. */
interface Told {
  readonly failures: readonly {
    readonly seed: number
    readonly violations: readonly { readonly rule: string }[]
  }[]
}

/** Seeds are played in order, but a few at a time: the first that failed is the lowest. */
function failureIn(lines: readonly string[]): { rule: string; seeds: number } | undefined {
  const told = lines.findLast(line => line.startsWith('{'))
  if (told === undefined) return undefined
  const failures = (JSON.parse(told) as Told).failures.toSorted((one, other) => one.seed - other.seed)
  const [first] = failures
  return first && { rule: first.violations[0]?.rule ?? 'a rule', seeds: first.seed }
}
