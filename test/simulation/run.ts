/**
 * Plays seeds and says what came of them. A seed that fails is shrunk and told with the command that plays it again.
 * The exit status is 1 if any failed.
 */
import '../support/fatal-warnings.ts'
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Violation } from '../checkers/history.ts'
import { commandLine, oneOf, wholeNumber } from '../support/command.ts'
import { run } from './judge.ts'
import { type FaultKind, type Plan, planOf } from './plan.ts'
import { differences, shrink } from './shrink.ts'
import { planted, workloadOf, workloads } from './workloads/index.ts'

/** One seed in so many is played twice. */
const TWICE_EVERY = 100
const PROGRESS_MS = 10_000
/** A worker is given so many seeds at a time. */
const PORTION = 20

interface Options {
  readonly recipes: readonly string[]
  readonly seeds: number
  readonly from: number
  readonly seconds: number
  readonly workers: number
  /** All that came of it, in the last line. */
  readonly json: boolean
  /** As a stream of test results, one for each recipe. */
  readonly tap: boolean
  /** So many are enough. */
  readonly failures: number
  /** A seed that fails is not shrunk. */
  readonly asFound: boolean
}

/** Seeds of one recipe, in a row. */
interface Portion {
  readonly recipe: string
  readonly from: number
  readonly count: number
}

interface Tally {
  seeds: number
  deeds: number
  virtualMs: number
  twice: number
  strikes: Record<string, number>
}

interface Failure {
  readonly recipe: string
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly plan: Plan
}

type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'played'; readonly recipe: string; readonly tally: Tally; readonly failures: Failure[] }

type Task =
  | { readonly kind: 'work'; readonly asFound: boolean }
  | { readonly kind: 'replay'; readonly plan: Plan; readonly trace: boolean }
  | { readonly kind: 'play'; readonly options: Options }

const usage = `usage: npm run simulate -- [options]
       npm run simulate -- --recipe NAME --seed N [--set JSON] [--trace]

  --recipe NAME   as often as you like; all of them unless told otherwise:
${listed(Object.keys(workloads))}
  --seeds N       of each recipe (1000)
  --from N        the first of them (1)
  --seconds S     go on until the time is up, and for --seeds of each recipe at least
  --workers N     processes that play (one for each core)
  --failures N    after so many failing seeds no more are played (5)
  --as-found      do not shrink a seed that fails
  --json, --tap   tell the results as one line of JSON, or as test results
  --seed N        play this one seed of one recipe, and say everything about it
  --set JSON      change its plan, as the line that told of a failure says
  --trace         print every step of it
  --help          print this`

const task = commandLine(usage, taskFrom)
if (task.kind === 'work') work(task)
else if (task.kind === 'replay') await replay(task)
else await playAll(task.options)

function taskFrom(args: string[]): Task {
  const { values } = parseArgs({
    args,
    options: {
      recipe: { type: 'string', multiple: true },
      seeds: { type: 'string', default: '1000' },
      from: { type: 'string', default: '1' },
      seconds: { type: 'string' },
      workers: { type: 'string', default: String(availableParallelism()) },
      seed: { type: 'string' },
      set: { type: 'string', default: '{}' },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      tap: { type: 'boolean', default: false },
      failures: { type: 'string', default: '5' },
      'as-found': { type: 'boolean', default: false },
      worker: { type: 'boolean', default: false },
    },
  })
  if (values.worker) return { kind: 'work', asFound: values['as-found'] }
  // The planted ones break their promises, for the tests of the simulation itself.
  const known = [...Object.keys(workloads), ...Object.keys(planted)]
  const recipes = values.recipe?.map(name => oneOf('--recipe', name, known)) ?? Object.keys(workloads)
  if (values.seed !== undefined) {
    const [recipe, ...others] = recipes
    if (recipe === undefined || others.length > 0) throw new RangeError('--seed goes with one --recipe')
    const plan = planOf(wholeNumber('--seed', values.seed, 1), recipe)
    return { kind: 'replay', plan: { ...plan, ...changesFrom(values.set) }, trace: values.trace }
  }
  const options: Options = {
    recipes,
    seeds: wholeNumber('--seeds', values.seeds, 1),
    from: wholeNumber('--from', values.from, 1),
    seconds: values.seconds === undefined ? 0 : wholeNumber('--seconds', values.seconds, 1),
    workers: wholeNumber('--workers', values.workers, 1),
    json: values.json,
    tap: values.tap,
    failures: wholeNumber('--failures', values.failures, 1),
    asFound: values['as-found'],
  }
  return { kind: 'play', options }
}

function changesFrom(json: string): Partial<Plan> {
  try {
    return JSON.parse(json) as Partial<Plan>
  } catch {
    throw new RangeError(`--set is JSON, not "${json}"`)
  }
}

/** One seed, with everything that is known about it. */
async function replay({ plan, trace }: Extract<Task, { readonly kind: 'replay' }>): Promise<void> {
  const { played, violations } = await run(plan, { trace, twice: true })
  if (trace) for (const line of played.trace) console.log(line)
  console.log(JSON.stringify(plan))
  console.log(
    `${played.deeds} ${deedsOf(plan.recipe)} in ${seconds(played.virtualMs)} s, ${played.turns} turns, hash ${played.hash}`,
  )
  for (const { rule, message } of violations) console.log(`${rule}: ${message}`)
  process.exitCode = violations.length > 0 ? 1 : 0
}

async function playAll(options: Options): Promise<void> {
  const startedMs = performance.now()
  const tallies = new Map(options.recipes.map(recipe => [recipe, emptyTally()]))
  const failures: Failure[] = []
  const portions = portionsOf(options, startedMs)
  const workers = Array.from({ length: options.workers }, () => startWorker(options))
  const progress = setInterval(() => say(options, tallies, failures, startedMs), PROGRESS_MS)
  await Promise.all(
    workers.map(
      worker =>
        new Promise<void>((resolve, reject) => {
          worker.on('error', reject)
          worker.on('exit', code =>
            code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`)),
          )
          worker.on('message', (message: FromWorker) => {
            if (message.kind === 'played') {
              add(tallies.get(message.recipe) as Tally, message.tally)
              failures.push(...message.failures)
              for (const failure of message.failures) tell(failure, options)
            }
            const stop = failures.length >= options.failures
            const next = stop ? undefined : portions.next().value
            if (next === undefined) worker.disconnect()
            else worker.send(next)
          })
        }),
    ),
  )
  clearInterval(progress)
  say(options, tallies, failures, startedMs)
  if (options.tap) tellTap(tallies, failures)
  if (options.json) console.log(JSON.stringify({ tallies: Object.fromEntries(tallies), failures }))
  if (failures.length > 0) process.exitCode = 1
}

/** The recipes take turns, so that time that is up is up for all of them. */
function* portionsOf(options: Options, startedMs: number): Generator<Portion, undefined> {
  for (let played = 0; ; played += PORTION) {
    const timeLeft = options.seconds > 0 && performance.now() - startedMs < options.seconds * 1000
    const left = options.seeds - played
    if (left <= 0 && !timeLeft) return undefined
    const count = timeLeft ? PORTION : Math.min(PORTION, left)
    for (const recipe of options.recipes) yield { recipe, from: options.from + played, count }
  }
}

function startWorker({ asFound }: Options): ChildProcess {
  return fork(fileURLToPath(import.meta.url), ['--worker', ...(asFound ? ['--as-found'] : [])])
}

/** Plays what it is given, until it is given nothing more. */
function work({ asFound }: Extract<Task, { readonly kind: 'work' }>): void {
  // Traces cost more than the faults they would show; a seed that fails is played again anyway.
  Error.stackTraceLimit = 0
  process.on('message', async (portion: Portion) => {
    const tally = emptyTally()
    const failures: Failure[] = []
    for (let seed = portion.from; seed < portion.from + portion.count; seed++) {
      const plan = planOf(seed, portion.recipe)
      const twice = seed % TWICE_EVERY === 0
      const { played, violations } = await run(plan, { twice })
      tally.seeds += 1
      tally.twice += twice ? 1 : 0
      tally.deeds += played.deeds
      tally.virtualMs += played.virtualMs
      for (const [kind, count] of played.strikes) tally.strikes[kind] = (tally.strikes[kind] ?? 0) + count
      if (violations.length > 0)
        failures.push(asFound ? unshrunk(plan, violations) : await shrunk(plan, violations))
    }
    const message: FromWorker = { kind: 'played', recipe: portion.recipe, tally, failures }
    process.send?.(message)
  })
  process.send?.({ kind: 'ready' } satisfies FromWorker)
}

function unshrunk(plan: Plan, violations: readonly Violation[]): Failure {
  return { recipe: plan.recipe, seed: plan.seed, violations: violations.slice(0, 5), plan }
}

async function shrunk(plan: Plan, violations: readonly Violation[]): Promise<Failure> {
  const rules = new Set(violations.map(({ rule }) => rule))
  let found = violations
  const simplest = await shrink(plan, async candidate => {
    const verdict = await run(candidate)
    const same = verdict.violations.filter(({ rule }) => rules.has(rule))
    if (same.length > 0) found = verdict.violations
    return same.length > 0
  })
  return { recipe: plan.recipe, seed: plan.seed, violations: found.slice(0, 5), plan: simplest }
}

function tell(failure: Failure, { json, tap }: Options): void {
  if (!json && !tap) console.log(['', ...wordsOf(failure)].join('\n'))
}

function wordsOf({ recipe, seed, violations, plan }: Failure): string[] {
  const set = differences(planOf(seed, recipe), plan)
  const words = Object.keys(set).length === 0 ? '' : ` --set '${JSON.stringify(set)}'`
  return [
    `seed ${seed} of ${recipe} fails:`,
    ...violations.map(({ rule, message }) => `  ${rule}: ${message}`),
    `  again: npm run simulate -- --recipe ${recipe} --seed ${seed}${words} --trace`,
  ]
}

function tellTap(tallies: ReadonlyMap<string, Tally>, failures: readonly Failure[]): void {
  for (const [index, [recipe, { seeds, deeds }]] of [...tallies].entries()) {
    const failed = failures.filter(failure => failure.recipe === recipe)
    const result = failed.length === 0 && seeds > 0 ? 'ok' : 'not ok'
    console.log(
      `${result} ${index + 1} - ${recipe} keeps its promises in ${seeds} seeds, ${deeds} ${deedsOf(recipe)}`,
    )
    for (const line of failed.flatMap(wordsOf)) console.log(`  ${line}`)
  }
  console.log(`1..${tallies.size}`)
}

function say(
  { json, tap }: Options,
  tallies: ReadonlyMap<string, Tally>,
  failures: readonly Failure[],
  startedMs: number,
): void {
  if (json) return
  const start = tap ? '# ' : ''
  const passedS = (performance.now() - startedMs) / 1000
  for (const [recipe, { seeds, deeds, virtualMs, twice }] of tallies) {
    const failed = failures.filter(failure => failure.recipe === recipe).length
    const facts = [
      `${seeds} seeds`,
      `${failed} failed`,
      `${deeds} ${deedsOf(recipe)}`,
      `${(virtualMs / 3_600_000).toFixed(1)} virtual hours`,
      `${twice} played twice`,
      `${passedS.toFixed(0)} s`,
    ]
    console.log(`${start}simulation ${recipe}: ${facts.join(', ')}`)
  }
}

function emptyTally(): Tally {
  return { seeds: 0, deeds: 0, virtualMs: 0, twice: 0, strikes: {} }
}

function add(sum: Tally, part: Tally): void {
  sum.seeds += part.seeds
  sum.deeds += part.deeds
  sum.virtualMs += part.virtualMs
  sum.twice += part.twice
  for (const [kind, count] of Object.entries(part.strikes) as [FaultKind, number][])
    sum.strikes[kind] = (sum.strikes[kind] ?? 0) + count
}

/** What the recipe counts. */
function deedsOf(recipe: string): string {
  return workloadOf(recipe)?.deeds.called ?? 'deeds'
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1)
}

/** Names in lines, as a usage shows them. */
function listed(names: readonly string[]): string {
  return names
    .join(', ')
    .replaceAll(/(.{1,70})(?:, |$)/g, '                    $1\n')
    .trimEnd()
}
