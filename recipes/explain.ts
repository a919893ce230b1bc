import { text } from '../src/wire/bytes.ts'
import type { Contender } from './contender.ts'
import type { SemaphoreReading, SlotHolder } from './internal/semaphore/reading.ts'

/** One place in a line, and why it is where it is. */
export interface ExplainedPlace {
  readonly contender: Contender
  readonly state: 'holds' | 'waits'
  /** It belongs to the session this was asked through. */
  readonly ours: boolean
  /** Everybody who has to go first, in the order of their coming; empty for a holder. */
  readonly waitsFor: readonly Contender[]
  /** Why it waits, in words. */
  readonly reason?: string
}

export type ExplainedKind = 'mutex' | 'read-write lock' | 'semaphore' | 'election'

/** What a line is about, and whose places are ours. */
export interface ExplainedLine {
  readonly kind: ExplainedKind
  readonly name: Uint8Array
  readonly ours: bigint | undefined
}

/**
 * Who holds something, who waits for it, since when and for whom, as it was at one revision. It goes by what the
 * keys say: sessions with `metadata: 'none'`, and most programs in other languages, say nothing about themselves.
 */
export class Explanation {
  readonly kind: ExplainedKind
  readonly name: string
  /** Of a semaphore, how many permits there are. */
  readonly permits: number | undefined
  /** The holders, then those who wait, in the order of their turn. */
  readonly places: readonly ExplainedPlace[]

  constructor({ kind, name }: ExplainedLine, places: readonly ExplainedPlace[], permits?: number) {
    this.kind = kind
    this.name = text(name)
    this.places = places
    this.permits = permits
  }

  get holders(): readonly ExplainedPlace[] {
    return this.places.filter(({ state }) => state === 'holds')
  }

  get waiters(): readonly ExplainedPlace[] {
    return this.places.filter(({ state }) => state === 'waits')
  }

  /** Of the session this was asked through. */
  get ours(): readonly ExplainedPlace[] {
    return this.places.filter(({ ours }) => ours)
  }

  /** A small table for people. Its form may change. */
  get text(): string {
    const { holders, waiters, permits } = this
    const held =
      this.kind === 'semaphore'
        ? permits === undefined
          ? 'nobody has said yet how many permits there are'
          : `${holders.length} of ${permits} permits held`
        : holders.length === 0
          ? 'free'
          : `held by ${holders.length}`
    const head = `${this.kind} ${oneLine(this.name)}: ${held}, ${waiters.length} waiting`
    return [head, ...tableOf(this.places.map(rowOf))].join('\n')
  }

  toString(): string {
    return this.text
  }
}

/** A line whose first places hold it. */
export function explainLine(
  about: ExplainedLine,
  line: readonly Contender[],
  {
    holding,
    shares = () => false,
  }: {
    /** So many from the front hold. */
    readonly holding: number
    /** Those who do not wait for one another. Default: nobody. */
    shares?(contender: Contender): boolean
  },
): Explanation {
  const alone = line.filter(contender => !shares(contender))
  let aloneBefore = 0
  const places = line.map((contender, index): ExplainedPlace => {
    const ours = contender.leaseId === about.ours
    const together = shares(contender)
    const ahead = together ? { of: alone, count: aloneBefore } : { of: line, count: index }
    if (!together) aloneBefore += 1
    if (index < holding) return { contender, state: 'holds', ours, waitsFor: [] }
    return waiting(contender, ours, ahead)
  })
  return new Explanation(about, places)
}

/** The head waits for permits, whoever is behind it for those before it. */
export function explainSemaphore(
  about: ExplainedLine,
  { permits, holders, waiters }: SemaphoreReading,
): Explanation {
  const isOurs = ({ leaseId }: Contender) => leaseId === about.ours
  const held = holders.map(
    (contender): ExplainedPlace => ({ contender, state: 'holds', ours: isOurs(contender), waitsFor: [] }),
  )
  const queued = waiters.map((contender, index): ExplainedPlace => {
    const ours = isOurs(contender)
    if (index > 0) return waiting(contender, ours, { of: waiters, count: index })
    const free = Math.max(0, (permits ?? 0) - holders.length)
    const reason = `wants ${contender.count ?? 1}, ${free} of ${permits ?? 0} permits free`
    return { contender, state: 'waits', ours, waitsFor: holders, reason }
  })
  return new Explanation(about, [...held, ...queued], permits)
}

/** The first so many of a list. */
interface Ahead {
  readonly of: readonly Contender[]
  readonly count: number
}

/** Of a long line the lists of those ahead are made only where they are asked for: together they are as its square. */
function waiting(contender: Contender, ours: boolean, ahead: Ahead): ExplainedPlace {
  return {
    contender,
    state: 'waits',
    ours,
    get waitsFor() {
      return ahead.of.slice(0, ahead.count)
    },
    reason: `behind ${wordsFor(ahead)}`,
  }
}

function rowOf({ contender, state, ours, reason = '' }: ExplainedPlace): readonly string[] {
  const { createRevision, mode, ageMs, leaseId } = contender
  const slot = 'slot' in contender ? `slot ${(contender as SlotHolder).slot}` : (mode ?? '')
  const since = ageMs === undefined ? '' : `${durationOf(ageMs)} ago`
  const whose = ours ? 'us' : whoIs(contender)
  return [state, slot, String(createRevision), whose, `lease ${leaseId.toString(16)}`, since, reason]
}

/** What it says about itself; by its lease where it says nothing. */
function whoIs({ owner, purpose, host, pid, leaseId, foreign }: Contender): string {
  if (foreign) return '(no place in the line)'
  const process = host === undefined ? undefined : pid === undefined ? host : `${host}:${pid}`
  const words = [owner, purpose && `for ${purpose}`, process && (owner || purpose ? `(${process})` : process)]
  const said = words.filter(word => word !== undefined && word !== '').join(' ')
  return said === '' ? `lease ${leaseId.toString(16)}` : oneLine(said)
}

function wordsFor({ of, count }: Ahead): string {
  const nearest = of[count - 1]
  if (nearest === undefined) return 'nobody'
  const others = count - 1
  const more = others === 0 ? '' : ` and ${others} before`
  return `${whoIs(nearest)} with ${nearest.createRevision}${more}`
}

function tableOf(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]!.length), 0),
  )
  return rows.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .filter((_, column) => widths[column] !== 0)
      .join('  ')
      .trimEnd(),
  )
}

function durationOf(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 1) return `${Math.floor(ms)} ms`
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}

/** What strangers wrote must not forge lines of the table, nor speak to a terminal. */
function oneLine(words: string): string {
  return words.replaceAll(/\p{C}/gu, '?')
}
