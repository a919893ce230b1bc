import { type Assumptions, exact } from './assumptions.ts'
import type { Change, History, Outcome, Violation } from './history.ts'
import { contains, type KeySpan } from './key-span.ts'
import { changeAt, type ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/** One transaction, as its caller tells it. Values are unique in the history, to every run of every transaction. */
export interface Transacted {
  readonly id: string
  readonly process: string
  readonly invokedAt: number
  readonly settledAt: number
  readonly outcome: Outcome
  /** When `ok`. */
  readonly revision?: bigint
  /** What the last run read before it wrote anything itself. */
  readonly seen: readonly Seen[]
  /** What the last run wrote in the end; `undefined`: deleted. */
  readonly wrote: ReadonlyMap<string, string | undefined>
  /** What earlier runs wrote, which must be nowhere. */
  readonly discarded: readonly string[]
}

/** All keys of a span, with their values. */
export interface Seen {
  readonly span: KeySpan
  readonly values: ReadonlyMap<string, string>
}

type State = Map<string, string | undefined>

/**
 * Transactions are strictly serializable. The store orders them by revision; several of one process may share one,
 * and then there must be an order in which each has seen what those before it left, that ends with what is stored.
 */
export function checkTransactions(
  history: History,
  transactions: readonly Transacted[],
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  return [
    ...strayWrites(transactions, truth),
    ...withoutOrder(transactions, truth, assumptions),
    ...outOfTime(transactions, assumptions),
  ]
}

/** Whatever is stored was written by somebody who may have done so, and at the revision that was said. */
function strayWrites(transactions: readonly Transacted[], truth: ServerTruth): Violation[] {
  const violations: Violation[] = []
  const writers = new Map<string, Transacted>()
  const discarded = new Map<string, Transacted>()
  for (const one of transactions) {
    for (const value of one.wrote.values()) if (value !== undefined) writers.set(value, one)
    for (const value of one.discarded) discarded.set(value, one)
  }
  for (const commit of truth.log) {
    for (const change of commit.changes) {
      if (change.kind !== 'put') continue
      const undone = discarded.get(change.value)
      const writer = writers.get(change.value)
      if (undone !== undefined) {
        violations.push({
          rule: 'discarded-run-applied',
          message: `A run of ${undone.id} that was given up has written ${change.value} to ${change.key} at ${commit.revision}.`,
          involved: [undone.id],
        })
      } else if (
        writer?.outcome === 'failed' ||
        (writer?.outcome === 'ok' && writer.revision !== commit.revision)
      ) {
        violations.push({
          rule: 'transaction-misplaced',
          message: `${writer.id} said it was ${writer.outcome} at ${writer.revision}, but wrote ${change.value} at ${commit.revision}.`,
          involved: [writer.id],
        })
      }
    }
  }
  return violations
}

function withoutOrder(
  transactions: readonly Transacted[],
  truth: ServerTruth,
  { staleReads }: Assumptions,
): Violation[] {
  const groups = new Map<bigint, Transacted[]>()
  for (const one of transactions) {
    if (one.outcome !== 'ok' || one.revision === undefined) continue
    if (staleReads === true && one.wrote.size === 0) continue
    const group = groups.get(one.revision)
    if (group === undefined) groups.set(one.revision, [one])
    else group.push(one)
  }
  // Markers, and what else travels with a commit, are nobody's here.
  const theirs = new Set(transactions.flatMap(({ wrote }) => [...wrote.keys()]))
  const unknown = transactions.filter(({ outcome, wrote }) => outcome === 'unknown' && wrote.size > 0)
  return [...groups].flatMap(([revision, group]) => {
    const index = truth.indexOf(revision)
    const changes = truth.log[index]?.changes ?? []
    const after = (key: string) => valueAt(truth, key, index)
    const isEnd = (state: State) => isStored(state, changes, theirs, after)
    const changesNothing = (state: State) => [...state].every(([key, value]) => after(key) === value)
    return [...new Set(group.map(({ process }) => process))].flatMap(process => {
      const batch = group.filter(one => one.process === process)
      // Those without an answer may have been part of it.
      const doubtful = unknown.filter(one => one.process === process)
      // It is what was committed then; or, as it reads only or undoes itself, it was told how far the store was.
      const isOrder =
        isOrdered(batch, doubtful, truth, index - 1, isEnd) ||
        isOrdered(batch, doubtful, truth, index, changesNothing)
      if (isOrder) return []
      return [
        violation(batch[0]!, revision, `and ${batch.length - 1} others in no order see each other's work`),
      ]
    })
  })
}

/** Is there an order, from what the store holds at this index to such an end? */
function isOrdered(
  batch: readonly Transacted[],
  doubtful: readonly Transacted[],
  truth: ServerTruth,
  index: number,
  isEnd: (state: State) => boolean,
): boolean {
  const search = (left: readonly Transacted[], maybe: readonly Transacted[], state: State): boolean => {
    // One that only reads is in nobody's way.
    const rest = left.filter(one => one.wrote.size > 0 || !hasSeen(one, truth, index, state))
    if (rest.length === 0 && isEnd(state)) return true
    for (const one of rest) {
      if (!hasSeen(one, truth, index, state)) continue
      if (
        search(
          rest.filter(other => other !== one),
          maybe,
          applied(one, state),
        )
      )
        return true
    }
    for (const one of maybe) {
      if (!hasSeen(one, truth, index, state)) continue
      if (
        search(
          rest,
          maybe.filter(other => other !== one),
          applied(one, state),
        )
      )
        return true
    }
    return false
  }
  return search(batch, doubtful, new Map())
}

function applied({ wrote }: Transacted, state: State): State {
  return new Map([...state, ...wrote])
}

/** Does the store hold what this comes to, and the commit nothing else that transactions write? */
function isStored(
  state: State,
  changes: readonly Change[],
  theirs: ReadonlySet<string>,
  after: (key: string) => string | undefined,
): boolean {
  for (const [key, value] of state) if (after(key) !== value) return false
  return changes.every(({ kind, key }) => kind === 'delete' || !theirs.has(key) || state.has(key))
}

/** Was all it saw there, at this commit with this on top of it? */
function hasSeen({ seen }: Transacted, truth: ServerTruth, index: number, state: State): boolean {
  return seen.every(({ span, values }) => {
    const keys = new Set<string>(values.keys())
    for (const { key } of truth.pasts(span)) keys.add(key)
    for (const key of state.keys()) if (contains(span, key)) keys.add(key)
    for (const key of keys) {
      const value = state.has(key) ? state.get(key) : valueAt(truth, key, index)
      if (value !== values.get(key)) return false
    }
    return true
  })
}

function valueAt(truth: ServerTruth, key: string, index: number): string | undefined {
  const past = truth.past(key)
  const last = past === undefined ? undefined : changeAt(past, index)
  return last?.change.kind === 'put' ? last.change.value : undefined
}

/** Whoever asks after an answer is told no less. */
function outOfTime(transactions: readonly Transacted[], { staleReads }: Assumptions): Violation[] {
  const violations: Violation[] = []
  const done = transactions.filter(({ outcome, revision }) => outcome === 'ok' && revision !== undefined)
  const ended = done.toSorted((one, other) => one.settledAt - other.settledAt)
  let latest: Transacted | undefined
  let next = 0
  for (const one of done.toSorted((a, b) => a.invokedAt - b.invokedAt)) {
    for (; next < ended.length && ended[next]!.settledAt < one.invokedAt; next++) {
      if (latest === undefined || ended[next]!.revision! > latest.revision!) latest = ended[next]
    }
    if (latest === undefined || (staleReads === true && one.wrote.size === 0)) continue
    // What comes to nothing, such as a put that one behind it deletes, is told how far the store was.
    if (one.revision! >= latest.revision!) continue
    violations.push({
      rule: 'transaction-from-the-past',
      message: `${one.id} began after ${latest.id} had been told revision ${latest.revision}, and was told ${one.revision}.`,
      involved: [one.id, latest.id],
    })
  }
  return violations
}

function violation(one: Transacted, revision: bigint, what: string): Violation {
  return {
    rule: 'transactions-without-order',
    message: `${one.id} of ${one.process}, at ${revision}, ${what}.`,
    involved: [one.id],
  }
}
