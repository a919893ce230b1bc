import type { Assumptions } from './assumptions.ts'
import { grouped } from './grouped.ts'
import type { Acquisition, History, Stall } from './history.ts'
import type { PlaceLife, ServerTruth } from './server-truth.ts'

export interface TimeSpan {
  readonly from: number
  /** Exclusive. */
  readonly until: number
}

/** When a process could act on its belief that it owns, and answers for it. */
export interface Belief {
  readonly acquisition: Acquisition
  readonly life: PlaceLife | undefined
  /** In order, apart from each other. */
  readonly spans: readonly TimeSpan[]
  /** An operator took its place, and by then its process must have heard. */
  readonly toldBy: number | undefined
}

/**
 * The beliefs of a history, without what nobody answers for: while its process did not run, and the time it
 * takes to be told that an operator took its place.
 */
export function beliefs(history: History, { noticeMs }: Assumptions, truth: ServerTruth): Belief[] {
  const stalls = stallsByProcess(history.stalls)
  const all: Belief[] = []
  for (const acquisition of history.acquisitions) {
    if (acquisition.outcome !== 'ok') continue
    const life = truth.lifeOf(acquisition)
    const stalled = stalls.get(acquisition.process) ?? NO_STALLS
    let spans: readonly TimeSpan[] = [believed(acquisition)]
    for (const { from, until } of stalled) spans = without(spans, from, until)
    const intervention = life && truth.endedBy(life)
    let toldBy: number | undefined
    if (intervention !== undefined) {
      toldBy = runningFor(intervention.at, noticeMs, stalled)
      spans = without(spans, intervention.at, toldBy)
    }
    all.push({ acquisition, life, spans: spans.filter(({ from, until }) => from < until), toldBy })
  }
  return all
}

/** As its own process tells it. */
export function believed({ settledAt, believedUntil = Infinity, diedAt = Infinity }: Acquisition): TimeSpan {
  return { from: settledAt, until: Math.min(believedUntil, diedAt) }
}

const NO_STALLS: readonly Stall[] = []

function stallsByProcess(stalls: readonly Stall[]): ReadonlyMap<string, readonly Stall[]> {
  const byProcess = grouped(stalls, ({ process }) => process)
  for (const list of byProcess.values()) list.sort((one, other) => one.from - other.from)
  return byProcess
}

function without(spans: readonly TimeSpan[], from: number, until: number): readonly TimeSpan[] {
  if (!spans.some(span => span.from < until && from < span.until)) return spans
  return spans.flatMap(span => {
    if (span.until <= from || until <= span.from) return [span]
    const left: TimeSpan[] = []
    if (span.from < from) left.push({ from: span.from, until: from })
    if (until < span.until) left.push({ from: until, until: span.until })
    return left
  })
}

/** When a process has run for so long since `from`. Its stalls are in order. */
export function runningFor(from: number, ms: number, stalls: readonly Stall[]): number {
  let end = from + ms
  for (const stall of stalls) {
    if (stall.until <= from || stall.from > end) continue
    end += stall.until - Math.max(stall.from, from)
  }
  return end
}
