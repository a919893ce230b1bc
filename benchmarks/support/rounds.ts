import type { Conditions, Job, Result, Side, Work } from './job.ts'
import type { SideProcess } from './side-process.ts'
import { type Spread, spreadOf } from './spread.ts'

export interface RoundOptions {
  readonly rounds: number
  readonly conditions: Omit<Conditions, 'name'>
  /** Called before each job. */
  readonly progress: (side: Side, round: number) => void
}

/** What one side did in all rounds. */
export interface Figures {
  readonly perSecond: Spread
  readonly p50Ms: Spread
  readonly p99Ms: Spread
}

/** Us divided by another side, round by round. */
export interface Ratios {
  readonly rate: Spread
  readonly p50: Spread
}

export interface Outcome {
  readonly sides: Readonly<Partial<Record<Side, Figures>>>
  readonly against: Readonly<Partial<Record<Side, Ratios>>>
}

/**
 * Has every side do the same work in turn, several times over. Neighbours in time share what the machine is
 * like at that moment, so they are compared with each other; and each side is first as often as the others.
 */
export async function alternate(
  sides: readonly SideProcess[],
  work: Work,
  { rounds, conditions, progress }: RoundOptions,
): Promise<Outcome> {
  const results = new Map<Side, Result[]>(sides.map(({ side }) => [side, []]))
  for (let round = 0; round < rounds; round++) {
    const first = round % sides.length
    for (const process of [...sides.slice(first), ...sides.slice(0, first)]) {
      progress(process.side, round)
      const job: Job = { ...work, ...conditions, name: nameOf(work, process.side, round) }
      results.get(process.side)!.push(await process.run(job))
    }
  }
  return outcomeOf(results)
}

/** The lock of one job, met by no other of the same server. */
function nameOf(work: Work, side: Side, round: number): string {
  const setting =
    work.cmd === 'stm'
      ? `${work.keys}-${work.inFlight}`
      : 'inFlight' in work
        ? work.inFlight
        : `${work.clients}-${work.sessions}`
  return `${work.cmd}-${setting}-${side}-${round}`
}

function outcomeOf(results: ReadonlyMap<Side, readonly Result[]>): Outcome {
  const ours = results.get('quorate') ?? []
  const sides: Partial<Record<Side, Figures>> = {}
  const against: Partial<Record<Side, Ratios>> = {}
  for (const [side, theirs] of results) {
    sides[side] = {
      perSecond: spreadOf(theirs.map(perSecond)),
      p50Ms: spreadOf(theirs.map(({ p50Ms }) => p50Ms)),
      p99Ms: spreadOf(theirs.map(({ p99Ms }) => p99Ms)),
    }
    if (side === 'quorate') continue
    against[side] = {
      rate: spreadOf(theirs.map((result, round) => perSecond(ours[round]!) / perSecond(result))),
      p50: spreadOf(theirs.map((result, round) => ours[round]!.p50Ms / result.p50Ms)),
    }
  }
  return { sides, against }
}

function perSecond(result: Result): number {
  if ('transactions' in result) return result.transactions / result.seconds
  return ('handOffs' in result ? result.handOffs : result.locks) / result.seconds
}
