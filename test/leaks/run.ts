/**
 * Does everything a client does, over and over, on an embedded etcd in this process, and tells what was left
 * behind. The exit status is 1 if anything grew or stayed.
 */
import '../support/fatal-warnings.ts'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { commandLine, oneOf, wholeNumber } from '../support/command.ts'
import { type Finding, play } from './play.ts'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios.ts'

/** What tables and compiled code may still grow by between the two halves of a run, however short it is. */
const SETTLING_BYTES = 112 * 1024
/** And in a long one, where the heap is never quite the same: a sixteenth of the smallest leak there is. */
const BYTES_PER_CYCLE = 4

// Optimized code lies in the heap, and comes and goes as it likes: without it the heap of a client at work is flat.
setFlagsFromString('--no-opt')
const names = scenarios.map(({ name }) => name)
const usage = `usage: npm run leaks -- [options]

  --cycles N        of each scenario (5000)
  --scenario NAME   as often as you like; all of them unless told otherwise:
                    ${names.join('\n                    ')}
  --leak            leave 64 bytes behind in each cycle, to see that it is noticed
  --json            one line of JSON for each scenario
  --help            print this`

const { cycles, chosen, leak, json } = commandLine(usage, planFrom)
if (globalThis.gc === undefined) throw new Error('run this with node --expose-gc')
const growthLimit = Math.max(SETTLING_BYTES, (cycles / 2) * BYTES_PER_CYCLE)

// The first to play compiles what all of them use.
await play(chosen[0]!, 1000)
if (!json) console.log(row('scenario', 'cycles', 'heap at 10 %', '50 %', '100 %', 'growth', 'left'))
if (!json) console.log(row('---', '--:', '--:', '--:', '--:', '--:', '---'))
for (const scenario of chosen) {
  const finding = await play(leak ? leaking(scenario) : scenario, cycles)
  const faults = [...finding.left]
  if (finding.growth > growthLimit) {
    faults.unshift(`the heap grew by ${finding.growth} bytes, more than ${growthLimit}`)
  }
  if (faults.length > 0) process.exitCode = 1
  console.log(json ? JSON.stringify({ ...finding, faults }) : described(finding))
}

function planFrom(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      cycles: { type: 'string', default: '5000' },
      scenario: { type: 'string', multiple: true, default: names },
      leak: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const wanted = values.scenario.map(name => oneOf('--scenario', name, names))
  return {
    cycles: wholeNumber('--cycles', values.cycles, 1),
    chosen: scenarios.filter(({ name }) => wanted.includes(name)),
    leak: values.leak,
    json: values.json,
  }
}

function described({ scenario, cycles, heap, growth, left }: Finding): string {
  const at = (share: number) => mebibytes(heap[Math.ceil(heap.length * share) - 1]!)
  const kib = `${(growth / 1024).toFixed(0)} KiB`
  return row(scenario, String(cycles), at(0.1), at(0.5), at(1), kib, left.join('; ') || 'nothing')
}

function row(...cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`
}

/** The same, with a chain that gets a link of 64 bytes in each cycle: 24 of any object, and five fields. */
function leaking(scenario: Scenario): Scenario {
  let chain: unknown
  return {
    ...scenario,
    async open(stage) {
      const act = await scenario.open(stage)
      return {
        ...act,
        async cycle(index) {
          chain = { chain, index, a: 0, b: 0, c: 0 }
          await act.cycle(index)
        },
      }
    },
  }
}
