/**
 * Breaks the library on purpose, one way after another, and shows what sees it.
 *
 * Whatever is to see a mutant runs on the unbroken library first. A mutant that does not compile is a mistake of
 * the list. The last line counts; the exit status is 1 unless every mutant was killed.
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { workloads } from '../simulation/workloads/index.ts'
import { commandLine, oneOf, wholeNumber } from '../support/command.ts'
import type { Killer } from './killer.ts'
import type { Mutant } from './mutant.ts'
import { mutants } from './mutants.ts'
import { describe, markdown, summary } from './report.ts'
import { SimulationKiller, simulationFile } from './simulation-killer.ts'
import { nameOf, TestKiller } from './test-killer.ts'
import { type Trial, tried } from './trial.ts'
import { Workshop } from './workshop.ts'

/** Files the tests start in processes of their own. */
const STARTED = ['support/embedded-process', 'support/fatal-warnings']
/** A busy machine plays one in much less. */
const SEED_LIMIT_MS = 1000

interface Plan {
  readonly mutants: readonly Mutant[]
  readonly jobs: number
  readonly seeds: number
  readonly test: boolean
  readonly simulate: boolean
  /** Those every mutant meets. Empty: those it names. */
  readonly recipes: readonly string[]
  readonly markdown: string | undefined
}

// So that what runs for us ends with us.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const usage = `usage: npm run mutants -- [options]

  --only NAME          as often as you like; the names are in test/mutants/mutants.ts (all ${mutants.length})
  --jobs N             mutants tried at a time (1)
  --seeds N            of each simulation (2000)
  --tests-only         no simulations
  --simulations-only   no tests
  --recipe NAME        every mutant meets the simulation of this recipe, whatever the list says; as often as you like
  --markdown FILE      write a table of what came of it
  --help               print this`

process.exitCode = await main(commandLine(usage, planFrom))

async function main(plan: Plan): Promise<number> {
  const killers = killersOf(plan)
  const suspects = plan.test ? plan.mutants.flatMap(({ tests }) => tests) : []
  const tests = suspects.map(({ file }) => `${file}.test`)
  const files = new Set([...tests, ...STARTED, ...(plan.simulate ? [simulationFile] : [])])
  const workshops = [await Workshop.open([...files])]
  try {
    const complaints = await baseline(workshops[0]!, killers)
    if (complaints.length > 0) {
      console.log(['The unbroken library does not pass:', ...complaints].join('\n'))
      return 1
    }
    while (workshops.length < plan.jobs) workshops.push(await workshops[0]!.copy())
    const trials = await tryAll(plan, workshops, killers)
    console.log(`\n${summary(trials)}`)
    if (plan.markdown !== undefined) await writeFile(plan.markdown, markdown(trials))
    return trials.every(({ fate }) => fate === 'killed') ? 0 : 1
  } finally {
    await Promise.all(workshops.map(workshop => workshop[Symbol.asyncDispose]()))
  }
}

/** In the order of the list, whichever is done first. */
async function tryAll(
  plan: Plan,
  workshops: readonly Workshop[],
  killers: ReadonlyMap<string, Killer>,
): Promise<readonly Trial[]> {
  const waiting = [...plan.mutants]
  const trials = new Map<Mutant, Trial>()
  const work = async (workshop: Workshop) => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const trial = await tried(mutant, workshop, {
        tests: plan.test ? mutant.tests.map(suspect => killers.get(nameOf(suspect))!) : [],
        simulations: recipesFor(mutant, plan).map(recipe => killers.get(recipe)!),
      })
      trials.set(mutant, trial)
      console.log(describe(trial))
    }
  }
  await Promise.all(workshops.map(work))
  return plan.mutants.map(mutant => trials.get(mutant)!)
}

function recipesFor({ simulations = [] }: Mutant, { simulate, recipes }: Plan): readonly string[] {
  if (!simulate) return []
  return recipes.length === 0 ? simulations : recipes
}

async function baseline(workshop: Workshop, killers: ReadonlyMap<string, Killer>): Promise<string[]> {
  const complaints: string[] = []
  for (const killer of killers.values()) {
    const complaint = await killer.baseline(workshop)
    if (complaint !== undefined) complaints.push(complaint)
  }
  return complaints
}

/** Each test and each simulation once, by its name. */
function killersOf(plan: Plan): ReadonlyMap<string, Killer> {
  const killers = new Map<string, Killer>()
  const { seeds } = plan
  for (const mutant of plan.mutants) {
    if (plan.test) for (const suspect of mutant.tests) killers.set(nameOf(suspect), new TestKiller(suspect))
    for (const recipe of recipesFor(mutant, plan))
      killers.set(recipe, new SimulationKiller({ recipe, seeds, limitMs: seeds * SEED_LIMIT_MS }))
  }
  return killers
}

function planFrom(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      jobs: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '2000' },
      'tests-only': { type: 'boolean', default: false },
      'simulations-only': { type: 'boolean', default: false },
      recipe: { type: 'string', multiple: true, default: [] },
      markdown: { type: 'string' },
    },
  })
  for (const name of values.only) {
    if (!mutants.some(mutant => mutant.name === name)) throw new RangeError(`there is no mutant ${name}`)
  }
  if (values['tests-only'] && values['simulations-only'])
    throw new RangeError('--tests-only and --simulations-only leave nothing to run')
  return {
    mutants: values.only.length === 0 ? mutants : mutants.filter(({ name }) => values.only.includes(name)),
    jobs: wholeNumber('--jobs', values.jobs, 1),
    seeds: wholeNumber('--seeds', values.seeds, 1),
    test: !values['simulations-only'],
    simulate: !values['tests-only'],
    recipes: values.recipe.map(name => oneOf('--recipe', name, Object.keys(workloads))),
    markdown: values.markdown,
  }
}
