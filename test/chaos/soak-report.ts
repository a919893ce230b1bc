import type { SoakResult } from './soak.ts'
import type { Tally } from './tally.ts'

/** How much more a process may take up at the end of a soak than after its first rounds. */
const HEAP_GROWTH_BYTES = 4 * 2 ** 20

/** What must not be missing, after so many rounds: several have to meet for some of it. */
const DEEDS: readonly (readonly [string, number])[] = [
  ['locks granted', 1],
  ['transactions done', 1],
  ['numbers counted', 1],
  ['terms led', 3],
  ['rounds of the cyclic barrier', 3],
  ['rounds of the double barrier', 3],
  ['openings of the latch', 3],
]

/** What a soak broke, in one sentence each; empty when all promises held. */
export function brokenBy(result: SoakResult): string[] {
  const { violations, troubles, deeds, faults, rounds } = result
  const broken = [...violations.map(({ rule, message }) => `${rule}: ${message}`), ...troubles]
  // A quiet test proves nothing.
  for (const [name, leastRounds] of DEEDS)
    if (rounds >= leastRounds && deeds.of(name) === 0) broken.push(`${name}: none`)
  if (faults.total === 0) broken.push('no fault struck')
  for (const [name, { start, end, rounds }] of heaps(result)) {
    if (rounds >= 10 && end - start > HEAP_GROWTH_BYTES) {
      broken.push(`the heap of ${name} grew from ${inMegabytes(start)} to ${inMegabytes(end)}`)
    }
  }
  return broken
}

/** One line: what matters in a run of all scenarios. */
export function soakInBrief(result: SoakResult): string[] {
  const { faults, entries, deeds, violations, slowestRestMs, rounds } = result
  return [
    `${faults.total} faults of ${faults.entries().length} kinds in ${rounds} rounds, ${entries.of('commits')} commits, ${violations.length} violations`,
    deeds.toString(),
    `at rest at most ${Math.round(slowestRestMs)} ms after the last fault was mended`,
  ]
}

/** The table at the end. */
export function soakTable(result: SoakResult): string {
  const { faults, entries, deeds, violations, sessionsLost, errors, troubles, rounds, slowestRestMs, kept } =
    result
  const ofRules = (...words: string[]) =>
    violations.filter(({ rule }) => words.some(word => rule.includes(word))).length
  return [
    `${rounds} rounds, ${faults.total} faults:`,
    ...rowsOf(faults),
    'what was done:',
    ...rowsOf(deeds),
    'histories:',
    ...rowsOf(entries),
    `violations ${violations.length}, of them lost writes ${ofRules('lost', 'missing')}, writes applied twice ${ofRules('twice', 'repeated', 'discarded')}`,
    `other troubles ${troubles.length}`,
    `sessions lost ${sessionsLost.total}:`,
    ...rowsOf(sessionsLost),
    'calls that rejected:',
    ...rowsOf(errors),
    `at rest at most ${Math.round(slowestRestMs)} ms after the last fault was mended`,
    'heap after a collection, and handles, at the end of the first round and of the last:',
    ...heaps(result).map(
      ([name, { start, end, handles, rounds }]) =>
        `  ${name.padEnd(10)} ${inMegabytes(start)} → ${inMegabytes(end)}, ${handles.join(' → ')} handles, ${rounds} rounds`,
    ),
    ...kept.map(folder => `kept: ${folder}`),
  ].join('\n')
}

interface Heap {
  readonly start: number
  readonly end: number
  readonly handles: readonly [number, number]
  readonly rounds: number
}

function heaps({ footprints }: SoakResult): [string, Heap][] {
  return [...footprints].flatMap(([name, list]) => {
    const [first, last] = [list[0], list.at(-1)]
    if (first === undefined || last === undefined) return []
    const handles = [first.handles, last.handles] as const
    return [[name, { start: first.heapBytes, end: last.heapBytes, handles, rounds: list.length }]]
  })
}

function rowsOf(tally: Tally): string[] {
  return tally.entries().map(([name, count]) => `  ${String(count).padStart(8)}  ${name}`)
}

function inMegabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
