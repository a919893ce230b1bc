import { parseArgs } from 'node:util'
import { oneOf, wholeNumber } from '../../test/support/command.ts'
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
} as const

export function usage(all: readonly Scenario[]): string {
  return [
    'usage: npm run bench -- [scenario]... [options]',
    '',
    `  scenario           ${all.map(({ name }) => name).join(', ')} (all)`,
    '  --series 3.4|3.5   of the server; both when given twice (3.5)',
    '  --rounds N         alternating rounds of every setting (5)',
    '  --seconds S        measured time of a side in a round (2)',
    '  --warm-up S        before each measured time (0.5)',
    '  --json             print the reports as JSON instead of tables',
    '  --record           add the reports to benchmarks/results/',
    '  --help             print this',
  ].join('\n')
}

/** What was asked for. Throws, with a message for people, when it cannot be done. */
export function planFrom(args: readonly string[], all: readonly Scenario[]): Plan {
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
  return {
    scenarios:
      positionals.length === 0 ? all : [...new Set(positionals)].map(name => scenarioNamed(name, all)),
    series: [...new Set(values.series ?? ['3.5'])].map(name => oneOf('--series', name, allSeries)),
    rounds: wholeNumber('--rounds', values.rounds, 1),
    seconds: secondsFrom('--seconds', values.seconds, Number.MIN_VALUE),
    warmUp: secondsFrom('--warm-up', values['warm-up'], 0),
    output: values.json ? 'json' : 'table',
    record: values.record,
  }
}

function scenarioNamed(name: string, all: readonly Scenario[]): Scenario {
  const found = all.find(scenario => scenario.name === name)
  if (found === undefined)
    throw new RangeError(`no scenario "${name}"; there are ${all.map(({ name }) => name).join(', ')}`)
  return found
}

function secondsFrom(option: string, text: string, least: number): number {
  const seconds = text.trim() === '' ? Number.NaN : Number(text)
  if (!Number.isFinite(seconds) || seconds < least)
    throw new RangeError(`${option} is a number of seconds ${least > 0 ? 'above' : 'from'} 0, not "${text}"`)
  return seconds
}
