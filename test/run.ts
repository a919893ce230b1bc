/**
 * The whole proof in one command: lint, the tests that need no server, the simulation, then the live tests on
 * the embedded etcd and on each series, those against other clients, and real faults in their short form.
 *
 * Only test files that have a source are run, so what an earlier build left in `dist` is not counted. The last
 * line is `N passed, N failed`; the exit status is 1 if anything failed.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { commandLine, oneOf } from './support/command.ts'
import { allSeries, type EtcdBinary, findEtcd, type Series } from './support/etcd-binaries.ts'
import { buildGo } from './support/go-peer.ts'
import { TapReader, type Totals } from './support/tap.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const compiled = fileURLToPath(new URL('.', import.meta.url))

const suiteNames = ['lint', 'fast', 'simulation', 'live', 'interop', 'chaos'] as const
type SuiteName = (typeof suiteNames)[number]

/** As many seeds as there is time for, and at least so many of each recipe. */
const SIMULATION = [path.join(compiled, 'simulation', 'run.js'), '--tap', '--seeds', '500', '--seconds', '60']
const CHAOS = [path.join(compiled, 'chaos', 'run.js'), '--tap', '--short']

interface Plan {
  readonly series: readonly Series[]
  /** The live tests on the embedded etcd, too? */
  readonly embedded: boolean
  readonly suites: readonly SuiteName[]
  readonly match: readonly string[]
}

interface Row extends Totals {
  readonly name: string
  readonly seconds: number
}

const rows: Row[] = []
const usage = `usage: npm test -- [options]                      each as often as you like

  --suite NAME     ${suiteNames.join(', ')}; all unless told otherwise
  --series NAME    of the servers: ${allSeries.join(', ')}, embedded; all unless told otherwise
  --match TITLE    only tests of this title; * stands for anything
  --help           print this`

await main(commandLine(usage, planFrom))

async function main(plan: Plan): Promise<void> {
  const servers = await findServers(plan)
  const files = await testFiles()
  const fast = files.filter(file => !isIn('live', file) && !isIn('interop', file))

  if (plan.suites.includes('lint')) await lint()
  if (plan.suites.includes('fast')) await runAva('fast', fast, plan, {})
  if (plan.suites.includes('simulation')) await runTap('simulation', SIMULATION)
  if (plan.suites.includes('live')) {
    const live = files.filter(file => isIn('live', file))
    if (plan.embedded) await runAva('live embedded', live, plan, { QUORATE_ETCD_SERIES: 'embedded' })
    for (const { series } of servers) {
      await runAva(`live ${series}`, live, plan, { QUORATE_ETCD_SERIES: series })
    }
  }
  if (plan.suites.includes('interop')) {
    const interop = await interopFiles(files.filter(file => isIn('interop', file)))
    for (const { series } of servers) {
      await runAva(`interop ${series}`, interop, plan, { QUORATE_ETCD_SERIES: series })
    }
  }
  if (plan.suites.includes('chaos')) {
    for (const { series } of servers) await runTap(`chaos ${series}`, [...CHAOS, '--series', series])
  }
  summarize()
}

function planFrom(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      series: { type: 'string', multiple: true, default: [...allSeries, 'embedded'] },
      suite: { type: 'string', multiple: true, default: [...suiteNames] },
      match: { type: 'string', multiple: true, default: [] },
    },
  })
  const wanted = values.series.map(wanted => oneOf('--series', wanted, [...allSeries, 'embedded'] as const))
  const series = allSeries.filter(one => wanted.includes(one))
  const embedded = wanted.includes('embedded')
  const suites = values.suite.map(wanted => oneOf('--suite', wanted, suiteNames))
  return { series, embedded, suites, match: values.match }
}

/** A series that cannot be had is a failure, and the others are tested all the same. */
async function findServers(plan: Plan): Promise<EtcdBinary[]> {
  if (!(['live', 'interop', 'chaos'] as const).some(suite => plan.suites.includes(suite))) return []
  const found: EtcdBinary[] = []
  for (const series of plan.series) {
    try {
      const binary = await findEtcd(series)
      console.log(`etcd ${series}: ${binary.version} at ${binary.path}`)
      found.push(binary)
    } catch (error) {
      fail(`etcd ${series}`, (error as Error).message)
    }
  }
  return found
}

/** Compiled files of all test sources. A source that was not compiled is a failure. */
async function testFiles(): Promise<string[]> {
  const sources = await readdir(path.join(root, 'test'), { recursive: true })
  const files: string[] = []
  for (const source of sources.filter(name => name.endsWith('.test.ts')).sort()) {
    const file = path.join(compiled, source.replace(/\.ts$/, '.js'))
    if (existsSync(file)) files.push(path.relative(root, file))
    else fail(path.join('test', source), 'is not compiled: npm run build')
  }
  return files
}

function isIn(folder: string, file: string): boolean {
  return path.relative(compiled, path.join(root, file)).startsWith(folder + path.sep)
}

/** Without Go and its etcd client the tests in `interop/go` are left out, except where everything must be there. */
async function interopFiles(files: string[]): Promise<string[]> {
  const needGo = files.filter(file => isIn(path.join('interop', 'go'), file))
  if (needGo.length === 0) return files
  try {
    const build = await buildGo('test/interop/go')
    if (build.kind === 'built') {
      console.log(`Go peer: ${path.relative(root, build.path)}`)
      return files
    }
    if (process.env.CI === 'true') fail('interop', build.reason)
    else console.log(`interop: left out ${needGo.join(', ')}: ${build.reason}`)
  } catch (error) {
    fail('interop', (error as Error).message)
  }
  return files.filter(file => !needGo.includes(file))
}

async function lint(): Promise<void> {
  const startedAtMs = performance.now()
  const output: string[] = []
  const keep = (line: string) => void output.push(line)
  const biome = path.join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome')
  const code = await runNode([biome, 'ci', '--colors=off', '.'], process.env, keep, keep)
  if (code !== 0) console.log(output.join('\n'))
  finishRow('lint', startedAtMs, { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, leftOut: 0 })
}

async function runAva(
  name: string,
  files: readonly string[],
  plan: Plan,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  if (files.length === 0) return console.log(`${name}: no test files`)
  const ava = path.join(root, 'node_modules', 'ava', 'entrypoints', 'cli.mjs')
  const matches = plan.match.map(title => `--match=${title}`)
  await runTap(name, [ava, '--tap', '--concurrency=2', ...matches, ...files], {
    env,
    mayBeEmpty: plan.match.length > 0,
  })
}

/** Runs what writes its results as TAP. */
async function runTap(
  name: string,
  args: readonly string[],
  { env = {}, mayBeEmpty = false }: { readonly env?: NodeJS.ProcessEnv; readonly mayBeEmpty?: boolean } = {},
): Promise<void> {
  const startedAtMs = performance.now()
  const reader = new TapReader(([title, ...details]) => {
    console.log([`✘ ${name}: ${title}`, ...details].join('\n'))
  })
  const code = await runNode(args, { ...process.env, ...env, NODE_OPTIONS: strictOptions() }, line =>
    reader.line(line),
  )
  reader.end()
  const { totals } = reader
  const isEmpty = mayBeEmpty && totals.passed + totals.failed === 0
  const brokenOff = !isEmpty && ((code !== 0 && totals.failed === 0) || !reader.isWhole)
  if (brokenOff) console.log(`✘ ${name}: it ended with status ${code} before all results were told`)
  finishRow(name, startedAtMs, { ...totals, failed: totals.failed + (brokenOff ? 1 : 0) })
}

/** What would pass unnoticed otherwise ends the process it happens in, and so fails its test file. */
function strictOptions(): string {
  const hook = pathToFileURL(path.join(compiled, 'support', 'fatal-warnings.js')).href
  const strict = ['--unhandled-rejections=strict', '--throw-deprecation', `--import=${hook}`]
  return [process.env.NODE_OPTIONS, ...strict].filter(option => option).join(' ')
}

/** Runs it to its end and hands over what it prints, line by line. Resolves with its status. */
async function runNode(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onLine: (line: string) => void,
  onErrorLine: (line: string) => void = console.error,
): Promise<number> {
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  createInterface({ input: child.stdout }).on('line', onLine)
  createInterface({ input: child.stderr }).on('line', onErrorLine)
  // `close` comes after both streams have ended.
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? 1))
  })
}

function fail(name: string, why: string): void {
  console.log(`✘ ${name}: ${why}`)
  rows.push({ name, passed: 0, failed: 1, leftOut: 0, seconds: 0 })
}

function finishRow(name: string, startedAtMs: number, totals: Totals): void {
  const row = { name, ...totals, seconds: (performance.now() - startedAtMs) / 1000 }
  rows.push(row)
  console.log(describe(row))
}

function describe({ name, passed, failed, leftOut, seconds }: Row): string {
  const counts = [`${passed} passed`, `${failed} failed`, ...(leftOut > 0 ? [`${leftOut} left out`] : [])]
  return `${name}: ${counts.join(', ')} in ${seconds.toFixed(1)} s`
}

function summarize(): void {
  const passed = rows.reduce((sum, row) => sum + row.passed, 0)
  const failed = rows.reduce((sum, row) => sum + row.failed, 0)
  console.log(['', 'Summary', ...rows.map(row => `  ${describe(row)}`), ''].join('\n'))
  if (failed > 0 || passed === 0) process.exitCode = 1
  console.log(`${passed} passed, ${failed} failed`)
}
