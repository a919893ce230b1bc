/**
 * Real faults on real clusters of three.
 *
 * Without `--minutes` every measured promise is put to the test on each series, the last of them by a soak of
 * random faults; `--short` does all of it fewer times, for every test run. With `--minutes` only the soak, that
 * long. The exit status is 1 if a promise was broken; histories that broke one are kept in the folder named.
 */
import '../support/fatal-warnings.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inspect, parseArgs } from 'node:util'
import { commandLine, oneOf, wholeNumber } from '../support/command.ts'
import { allSeries, findEtcd, type Series } from '../support/etcd-binaries.ts'
import { FaultyCluster } from '../support/etcd-cluster.ts'
import type { Form, Scenario, Scene, Verdict } from './scenario.ts'
import { scenarios } from './scenarios/all.ts'
import { type SoakOptions, soak } from './soak.ts'
import { brokenBy, soakInBrief, soakTable } from './soak-report.ts'

const SOAK = 'soak'
const SOAK_PROMISE = 'histories under random faults keep every promise'
const SOAK_SECONDS: Readonly<Record<Form, number>> = { short: 10, long: 300 }
const ROUND_SECONDS: Readonly<Record<Form, number>> = { short: 10, long: 30 }

interface Plan {
  readonly series: readonly Series[]
  readonly form: Form
  readonly seed: number
  readonly minutes: number | undefined
  readonly scenarios: readonly string[]
  readonly tap: boolean
  readonly keep: string | undefined
}

const usage = `usage: npm run chaos -- [options]

  --series 3.4|3.5   of the servers; both unless told otherwise
  --scenario NAME    as often as you like; all of them unless told otherwise:
                     ${scenarioNames().join('\n                     ')}
  --short            all of it, fewer times
  --minutes N        random faults alone, for so long
  --seed N           of the random faults; printed, and another each time unless told
  --keep FOLDER      where histories go; unless told, only those of a broken promise are kept
  --tap              tell the results as test results
  --help             print this`

const plan = commandLine(usage, planFrom)
// In TAP everything that is no result is a comment.
const say = (line: string) => console.log(plan.tap ? line.replaceAll(/^/gm, '# ') : line)
let passed = 0
let failed = 0
const folder = plan.keep ?? (await mkdtemp(path.join(tmpdir(), 'quorate-chaos-')))
for (const series of plan.series) {
  const { version } = await findEtcd(series)
  say(`etcd ${version}, seed ${plan.seed}`)
  if (plan.minutes !== undefined) await longSoak(series, plan.minutes)
  else await promises(series)
}
if (plan.tap) console.log(`1..${passed + failed}`)
else console.log(`${passed} passed, ${failed} failed`)
if (failed > 0) process.exitCode = 1
else if (plan.keep === undefined) await rm(folder, { recursive: true, force: true })

async function promises(series: Series): Promise<void> {
  // In a hurry, what uses clusters or networks of its own goes on at the same time.
  if (plan.form === 'short') await Promise.all([measured(series), shortSoak(series)])
  else {
    await measured(series)
    await shortSoak(series)
  }
}

async function measured(series: Series): Promise<void> {
  const chosen = scenarios.filter(({ name }) => plan.scenarios.includes(name))
  if (chosen.length === 0) return
  await using cluster = await FaultyCluster.start({ series })
  const scene: Scene = { series, form: plan.form, seed: plan.seed, cluster }
  const judge = ({ name, promise, run }: Scenario) =>
    judged(`${series} ${name}: ${promise}`, () => run(scene))
  const together = chosen.filter(({ runs }) => runs === 'together')
  if (plan.form === 'short') await Promise.all(together.map(judge))
  else for (const scenario of together) await judge(scenario)
  for (const scenario of chosen.filter(({ runs }) => runs === 'alone')) {
    await judge(scenario)
    await cluster.mend()
  }
}

async function shortSoak(series: Series): Promise<void> {
  if (!plan.scenarios.includes(SOAK)) return
  await judged(`${series} ${SOAK}: ${SOAK_PROMISE}`, async () => {
    const result = await soak(soakOptions(series, SOAK_SECONDS[plan.form]))
    if (plan.form === 'long') say(soakTable(result))
    return { measured: soakInBrief(result), broken: brokenBy(result) }
  })
}

async function longSoak(series: Series, minutes: number): Promise<void> {
  await judged(`${series} ${SOAK}: ${SOAK_PROMISE}`, async () => {
    const result = await soak(soakOptions(series, minutes * 60))
    say(soakTable(result))
    return { measured: [], broken: brokenBy(result) }
  })
}

function soakOptions(series: Series, seconds: number): SoakOptions {
  const { seed, form } = plan
  const roundSeconds = ROUND_SECONDS[form]
  return { series, seed, seconds, roundSeconds, folder: path.join(folder, `soak-${series}`), say }
}

async function judged(title: string, run: () => Promise<Verdict>): Promise<void> {
  const startedAtMs = performance.now()
  const { measured, broken } = await run().catch(
    (error): Verdict => ({
      measured: [],
      broken: [inspect(error)],
    }),
  )
  const number = passed + failed + 1
  if (broken.length === 0) passed++
  else failed++
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1)
  if (plan.tap) console.log(`${broken.length === 0 ? 'ok' : 'not ok'} ${number} - ${title}`)
  else console.log(`${broken.length === 0 ? '✔' : '✘'} ${title} (${seconds} s)`)
  for (const line of [...measured, ...broken.slice(0, 20)]) console.log(line.replaceAll(/^/gm, '    '))
}

function planFrom(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      series: { type: 'string', multiple: true, default: [...allSeries] },
      scenario: { type: 'string', multiple: true, default: [] },
      short: { type: 'boolean', default: false },
      tap: { type: 'boolean', default: false },
      seed: { type: 'string' },
      minutes: { type: 'string' },
      keep: { type: 'string' },
    },
  })
  const names = scenarioNames()
  const chosen = values.scenario.map(name => oneOf('--scenario', name, names))
  const wanted = values.series.map(name => oneOf('--series', name, allSeries))
  return {
    series: allSeries.filter(series => wanted.includes(series)),
    form: values.short ? 'short' : 'long',
    // Printed, so that a run can be repeated; what the machine does in between cannot.
    seed: wholeNumber('--seed', values.seed ?? String(Math.floor(Math.random() * 1e6)), 0),
    minutes: values.minutes === undefined ? undefined : minutesFrom(values.minutes),
    scenarios: chosen.length > 0 ? chosen : names,
    tap: values.tap,
    keep: values.keep,
  }
}

function minutesFrom(words: string): number {
  const minutes = Number(words)
  if (Number.isFinite(minutes) && minutes > 0) return minutes
  throw new RangeError(`--minutes is a number above 0, not "${words}"`)
}

function scenarioNames(): readonly string[] {
  return [...scenarios.map(({ name }) => name), SOAK]
}
