import type { Series } from '../../test/support/etcd-binaries.ts'
import type { Side } from './job.ts'
import { type Machine, machineLine } from './machine.ts'
import type { Outcome } from './rounds.ts'
import type { Scenario, Setting } from './scenario.ts'
import type { Spread } from './spread.ts'

/** One scenario on one server, as it is printed and recorded. */
export interface Report {
  readonly scenario: string
  readonly about: string
  /** ISO 8601. */
  readonly at: string
  readonly rounds: number
  readonly seconds: number
  readonly series: Series
  readonly etcd: string
  readonly machine: Machine
  readonly settings: readonly SettingReport[]
}

export interface SettingReport extends Outcome {
  readonly label: string
  readonly targets: readonly TargetReport[]
}

export interface TargetReport {
  readonly text: string
  readonly measured: number
  readonly met: boolean
}

export function settingReport({ label, targets }: Setting, outcome: Outcome): SettingReport {
  return {
    label,
    ...outcome,
    targets: targets.map(target => {
      const measured = target.measure(outcome)
      return { text: target.text, measured, met: target.isMet(measured) }
    }),
  }
}

/** A table that reads well as it stands, and as Markdown. */
export function markdown(report: Report, sides: Scenario['sides']): string {
  const { scenario, about, at, rounds, seconds, etcd, machine, settings } = report
  const rows = settings.flatMap(setting => sides.map((side, index) => row(setting, side, index === 0)))
  const targets = settings.flatMap(({ label, targets }) =>
    targets.map(
      ({ text, measured, met }) => `- ${met ? 'met' : '**missed**'}: ${label}, ${text}: ${number(measured)}`,
    ),
  )
  return [
    `### ${scenario}, etcd ${etcd}`,
    '',
    `${about} ${at.slice(0, 10)}, ${rounds} alternating rounds of ${seconds} s, medians (least to most). ${machineLine(machine, etcd)}.`,
    '',
    ...table([HEADINGS, ...rows]),
    ...(targets.length > 0 ? ['', ...targets] : []),
    '',
  ].join('\n')
}

const HEADINGS = ['setting', 'side', 'per second', 'p50 ms', 'p99 ms', 'our rate to its', 'our p50 to its']

function row({ label, sides, against }: SettingReport, side: Side, isFirst: boolean): string[] {
  const { perSecond, p50Ms, p99Ms } = sides[side]!
  const ratios = against[side]
  return [
    isFirst ? label : '',
    side,
    spread(perSecond),
    spread(p50Ms),
    spread(p99Ms),
    ratios === undefined ? '' : spread(ratios.rate),
    ratios === undefined ? '' : spread(ratios.p50),
  ]
}

function table([headings, ...rows]: readonly (readonly string[])[]): string[] {
  const widths = headings!.map((heading, column) =>
    Math.max(heading.length, ...rows.map(cells => cells[column]!.length)),
  )
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [line(headings!), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)]
}

function spread({ median, min, max }: Spread): string {
  return `${number(median)} (${number(min)} to ${number(max)})`
}

/** Three digits that mean something, never an exponent. */
function number(value: number): string {
  if (value >= 100) return Math.round(value).toString()
  return value >= 10 ? value.toFixed(1) : value.toFixed(value >= 1 ? 2 : 3)
}
