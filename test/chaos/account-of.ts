import type { Counted } from '../checkers/counting.ts'
import type { CyclicWait } from '../checkers/cyclic-barrier.ts'
import type { DoubleBarrierStay } from '../checkers/double-barrier.ts'
import { checkDoubts } from '../checkers/doubts.ts'
import type { Violation } from '../checkers/history.ts'
import type { LatchWait } from '../checkers/latch.ts'
import type { Seen, Transacted } from '../checkers/transactions.ts'
import type { Entry, Table } from './journal.ts'
import type { JournaledSession } from './session-marks.ts'

/** What the journals of a round tell of that is no part of a history of locks and keys. */
export interface Account {
  readonly transactions: readonly Transacted[]
  readonly counted: readonly (Counted & { readonly key: string })[]
  readonly meetings: readonly CyclicWait[]
  readonly stays: readonly DoubleBarrierStay[]
  readonly latchWaits: readonly LatchWait[]
  readonly sessions: readonly JournaledSession[]
  /** What no promise allows, in words. */
  readonly complaints: readonly string[]
  /** What was to be found out and was not. */
  readonly doubts: readonly Violation[]
}

export function accountOf(entries: readonly Entry[]): Account {
  const of = <Told>(table: Table) =>
    entries.filter(entry => entry.table === table).map(entry => entry as unknown as Told)
  const calls = <Call>(table: Table) => of<Call>(table).map(entry => ({ ...UNHEARD, ...entry }))
  return {
    transactions: calls<JournaledTransaction>('transactions').map(transaction),
    counted: calls('counted'),
    meetings: of('meetings'),
    stays: of('stays'),
    latchWaits: of<LatchWait>('latchWaits').filter(({ endedAt }) => endedAt !== undefined),
    sessions: of('sessions'),
    complaints: of<Entry>('complaints').map(({ what }) => String(what)),
    doubts: checkDoubts(entries),
  }
}

const UNHEARD = { settledAt: Number.POSITIVE_INFINITY, outcome: 'unknown' as const }

/** In a journal there are lists instead of maps, and `null` instead of `undefined`. */
interface JournaledTransaction extends Omit<Transacted, 'seen' | 'wrote'> {
  readonly seen?: readonly { readonly span: Seen['span']; readonly values: [string, string][] }[]
  readonly wrote?: readonly [string, string | null][]
}

function transaction(entry: JournaledTransaction): Transacted {
  const { seen = [], wrote = [], discarded = [] } = entry
  return {
    ...entry,
    seen: seen.map(({ span, values }) => ({ span, values: new Map(values) })),
    wrote: new Map(wrote.map(([key, value]) => [key, value ?? undefined])),
    discarded,
  }
}
