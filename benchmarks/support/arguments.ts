import { parseArgs } from 'node:util'
import { allSeries, type Series } from '../../test/support/etcd-binaries.ts'
import type { Scenario } from './scenario.ts'

export interface Plan {
  readonly scenarios: readonly Scenario[]
  readonly series: readonly Series[]
  readonly rounds: number
  /** Of each round. */
  readonly seconds: number
  /** Seconds before each round. */
  readonly warmUp: number
  readonly output: 'table' | 'json'
  readonly record: boolean
}

const options = {
  series: { type: 'string', multiple: true },
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '2' },
  'warm-up': { type: 'string', default: '0.5' },
  json: { type: 'boolean', default: false },
  record: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

export function usage(all: readonly Scenario[]): string {
  return [
    `usage: npm run bench -- [scenario]... [options]     scenarios: ${all.map(({ name }) => name).join(', ')}; default: all`,
    '',
    '  --series 3.4|3.5   of the server; both when given twice (3.5)',
    '  --rounds N         alternating rounds of every setting (5)',
    '  --seconds S        measured time of a side in a round (2)',
    '  --warm-up S        before each measured time (0.5)',
    '  --json             print the reports as JSON instead of tables',
    '  --record           add the reports to benchmarks/results/',
    '  --help             print this',
  ].join('\n')
}

/** What was asked for; `help` when that is all. Throws, with a message for people, when it cannot be done. */
export function planFrom(args: readonly string[], all: readonly Scenario[]): Plan | 'help' {
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  if (values.help) return 'help'
  return {
    scenarios:
      positionals.length === 0 ? all : [...new Set(positionals)].map(name => scenarioNamed(name, all)),
    series: [...new Set(values.series ?? ['3.5'])].map(seriesNamed),
    rounds: roundsFrom(values.rounds),
    seconds: secondsFrom('--seconds', values.seconds, Number.MIN_VALUE),
    warmUp: secondsFrom('--warm-up', values['warm-up'], 0),
    output: values.json ? 'json' : 'table',
    record: values.record,
  }
}

function scenarioNamed(name: string, all: readonly Scenario[]): Scenario {
  const found = all.find(scenario => scenario.name === name)
  if (found === undefined)
    throw new RangeError(`no scenario "${name}"; there are ${all.map(({ name }) => name).join(' and ')}`)
  return found
}

function seriesNamed(name: string): Series {
  const found = allSeries.find(series => series === name)
  if (found === undefined) throw new RangeError(`--series is ${allSeries.join(' or ')}, not "${name}"`)
  return found
}

function roundsFrom(text: string): number {
  const rounds = Number(text)
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    throw new RangeError(`--rounds is a whole number from 1, not "${text}"`)
  return rounds
}

function secondsFrom(option: string, text: string, least: number): number {
  const seconds = text.trim() === '' ? Number.NaN : Number(text)
  if (!Number.isFinite(seconds) || seconds < least)
    throw new RangeError(`${option} is a number of seconds ${least > 0 ? 'above' : 'from'} 0, not "${text}"`)
  return seconds
}
