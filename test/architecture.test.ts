import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** From the ground up: each may use itself and what comes before it. */
const floors = [
  'src/support',
  'src/telemetry',
  'src/wire',
  'src/client',
  'src/session',
  'recipes',
  'src/facade',
  'src/index.ts',
  // Stands on the roof.
  'src/cli',
]

/** Stand beside the floors: what each may use. A bug it shared with the client would not be seen by either. */
const sideHouses: Readonly<Record<string, readonly string[]>> = {
  'src/embedded': ['src/embedded', 'src/wire', 'src/support'],
}

/** All that comes from the machine comes through the injected runtime; one file takes it from Node. */
const machine = 'src/support/node-runtime.ts'
const machineNames: readonly RegExp[] = [
  /\bDate\.now\b|\bnew Date\(\)/,
  /\bperformance\b/,
  /\b(?:set|clear)(?:Timeout|Interval|Immediate)\b/,
  /\bprocess\.(?:nextTick|hrtime|uptime|emitWarning|env|pid)\b/,
  /\bqueueMicrotask\b/,
  /\bMath\.random\b/,
  /\bnode:(?:timers|perf_hooks|os)\b/,
  /\brandom.*'node:crypto'|\bcrypto\.(?:random|getRandom)/,
]

/** Absent from Node 20, or, for `any`, a leak of memory per call there. */
const bannedEverywhere: readonly RegExp[] = [
  /\bAbortSignal\.(?:any|timeout)\b/,
  /\bPromise\.(?:withResolvers|try)\b/,
  /\bSuppressedError\b/,
  /\bconsole\b/,
  /\bexport default\b|\bas default\b/,
  /\bexport \*/,
]

const files = ['src', 'recipes'].flatMap(folder =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => path.posix.join(folder, file.split(path.sep).join('/'))),
)

const sources = new Map(files.map(file => [file, readFileSync(path.join(root, file), 'utf8')]))
const handWritten = files.filter(file => !file.startsWith('src/wire/gen/'))

test('every file stands on a floor or in a side house', t => {
  t.true(files.length > 50)
  t.deepEqual(
    files.filter(file => floorOf(file) === -1 && sideHouseOf(file) === undefined),
    [],
  )
})

test('arrows point down: no floor uses one above it', t => {
  const climbing = files.flatMap(file =>
    targetsOf(file)
      .filter(target => floorOf(file) !== -1 && floorOf(target) > floorOf(file))
      .map(target => `${file} -> ${target}`),
  )
  t.deepEqual(climbing, [])
})

test('side houses use what is allowed to them, and nothing but the cli uses them', t => {
  const wrong = files.flatMap(file => {
    const house = sideHouseOf(file)
    return targetsOf(file)
      .filter(target => {
        if (house !== undefined) return !sideHouses[house]!.some(allowed => isIn(target, allowed))
        return sideHouseOf(target) !== undefined && !isIn(file, 'src/cli')
      })
      .map(target => `${file} -> ${target}`)
  })
  t.deepEqual(wrong, [])
})

test('no file uses itself through others, types included', t => {
  const cycles: string[] = []
  const done = new Set<string>()
  const visit = (file: string, trail: readonly string[]) => {
    const seenAt = trail.indexOf(file)
    if (seenAt !== -1) return void cycles.push([...trail.slice(seenAt), file].join(' -> '))
    if (done.has(file)) return
    for (const target of targetsOf(file)) if (sources.has(target)) visit(target, [...trail, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  t.deepEqual(cycles, [])
})

test('imports name files that exist, in the repository or in a declared package', t => {
  const { dependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    dependencies: Readonly<Record<string, string>>
  }
  const packages = Object.keys(dependencies)
  const unknown = files.flatMap(file =>
    specifiersOf(file)
      .filter(specifier => {
        if (specifier.startsWith('.')) return !sources.has(resolve(file, specifier))
        if (specifier.startsWith('node:')) return false
        return !packages.some(name => specifier === name || specifier.startsWith(`${name}/`))
      })
      .map(specifier => `${file}: ${specifier}`),
  )
  t.deepEqual(unknown, [])
})

test('clocks, timers, chance and the process are used in one file only', t => {
  t.deepEqual(
    handWritten.filter(file => file !== machine).flatMap(file => found(file, machineNames)),
    [],
  )
  // The rule can bite: the one file it leaves out would be caught by it.
  t.true(found(machine, machineNames).length >= 5)
})

test('nothing in the library logs, exports a default, or needs what Node 20 does not have', t => {
  t.deepEqual(
    handWritten.flatMap(file => found(file, bannedEverywhere)),
    [],
  )
})

test('no module keeps state of its own', t => {
  const state =
    /^(?:export )?(?:let|var) |^(?:export )?const \w+(?:: [^=]+)? = new (?:Map|Set|WeakMap|WeakSet|Array)\(\)/
  t.deepEqual(
    handWritten.flatMap(file => found(file, [state])),
    [],
  )
})

test('no unfinished business is left in the sources', t => {
  const unfinished = /\b(?:TODO|FIXME|XXX|HACK)\b|@ts-(?:ignore|expect-error|nocheck)/
  t.deepEqual(
    // Comments included: that is where it would be.
    handWritten.filter(file => unfinished.test(sources.get(file)!)),
    [],
  )
})

function found(file: string, patterns: readonly RegExp[]): string[] {
  return codeLines(file).flatMap(([number, line]) =>
    patterns.some(pattern => pattern.test(line)) ? [`${file}:${number} ${line.trim()}`] : [],
  )
}

/** Lines with their numbers, without what is only comment. */
function codeLines(file: string): (readonly [number, string])[] {
  return sources
    .get(file)!
    .split('\n')
    .map((line, index) => [index + 1, line.replace(/\s\/\/ .*$/, '')] as const)
    .filter(([, line]) => !/^\s*(?:\/\/|\/?\*)/.test(line))
}

function targetsOf(file: string): string[] {
  return specifiersOf(file)
    .filter(specifier => specifier.startsWith('.'))
    .map(specifier => resolve(file, specifier))
}

function specifiersOf(file: string): string[] {
  const statements = /^(?:import|export|\}).*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm
  return [...sources.get(file)!.matchAll(statements)].map(match => match[1] ?? match[2] ?? match[3]!)
}

function resolve(file: string, specifier: string): string {
  return path.posix.join(path.posix.dirname(file), specifier)
}

function floorOf(file: string): number {
  return floors.findIndex(floor => isIn(file, floor))
}

function sideHouseOf(file: string): string | undefined {
  return Object.keys(sideHouses).find(house => isIn(file, house))
}

function isIn(file: string, place: string): boolean {
  return file === place || file.startsWith(`${place}/`)
}
