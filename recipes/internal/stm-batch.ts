import { type Deferred, deferred } from '../../src/support/deferred.ts'
import { fromMapKey, printable } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import {
  CompareResult,
  CompareTarget,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type Compare as WireCompare,
} from '../../src/wire/gen/rpc.g.ts'
import type { Isolation } from '../transaction.ts'
import { type Interval, isOneKey, nameOf, overlap, spanOf } from './stm-interval.ts'
import { itemOf, type Written } from './stm-item.ts'
import { MOST_OPERATIONS } from './stm-reader.ts'
import type { ReadSet } from './stm-reads.ts'
import { type Known, Snapshot, snapshotAfter } from './stm-snapshot.ts'
import { WriteLog } from './stm-write-log.ts'

/** What servers take, unless they were told otherwise: 1.5 MiB with everything around it. */
export const MOST_BYTES = 1_400_000
/** Of a compare or an operation, beside its key and value. */
const OVERHEAD_BYTES = 32

/** The marker itself, and those of earlier commits that go with it. */
const MARKER_OPERATIONS = 5

const ABSENT: Written = { revision: 0n }

/** One transaction that has run, with what it is to be committed on. */
export interface Finished {
  readonly isolation: Isolation
  readonly reads: ReadSet
  readonly log: WriteLog
  /** Since when nobody may have written what it only writes; undefined: since ever. */
  since(interval: Interval): bigint | undefined
  /** What it saw of others that were not committed yet: they are by now, or they go before it in this batch. */
  readonly pending: 'committed' | 'in-this-batch'
  /** Is a marker written along with it? */
  readonly marked: boolean
}

/** What must hold for a commit, and what to read afresh when it does not. */
class Conditions {
  /** Keys that must have been written last just then. */
  readonly same = new Map<string, Written>()
  /** Intervals in which nothing was written after a revision. */
  readonly untouched = new Map<string, { readonly interval: Interval; readonly since: bigint }>()
  readonly again = new Map<string, Known>()
}

/** Several transactions of one client, run one after the other on one snapshot, to be committed as one. */
export class Batch {
  /** Settles with whether it was committed; for those that saw what it writes and did not wait. */
  readonly fate: Deferred<boolean> = deferred()
  readonly written: Written = { revision: undefined }
  readonly writes: WriteLog
  readonly #conditions = new Conditions()
  #bytes = 0
  #marked = false

  constructor() {
    this.writes = new WriteLog(this.written)
  }

  /** Adds it if there is room for it. The first always has room: whether the server has is another question. */
  add(finished: Finished): boolean {
    const more = conditionsOf(finished)
    const { size } = finished.log
    const compares = this.compares + added(more.same, this.#conditions.same) + more.untouched.size
    const reads = this.#conditions.again.size + added(more.again, this.#conditions.again)
    const bytes = this.#bytes + bytesOf(more) + size.bytes + OVERHEAD_BYTES * size.ops
    const marked = this.#marked || finished.marked
    const operations = Math.max(compares, reads, this.writes.size.ops + size.ops)
    const full = operations > mostOperations(marked) || bytes > MOST_BYTES
    if (full && this.#bytes > 0) return false
    for (const [key, written] of more.same) this.#conditions.same.set(key, written)
    for (const [name, one] of more.untouched) this.#conditions.untouched.set(name, one)
    for (const [name, known] of more.again) this.#conditions.again.set(name, known)
    this.writes.absorb(finished.log)
    this.#bytes = bytes
    this.#marked = marked
    return true
  }

  get compares(): number {
    return this.#conditions.same.size + this.#conditions.untouched.size
  }

  /** The most operations or compares in any of its lists. */
  get size(): number {
    const own = Math.max(this.compares, this.#conditions.again.size, this.writes.size.ops)
    return this.#marked ? own + MARKER_OPERATIONS : own
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Is there anything to tell the server at all? */
  get isEmpty(): boolean {
    return this.writes.isEmpty && this.compares === 0
  }

  /** Would one of the two notice, or undo, what the other does? */
  meets({ reads, log }: Pick<Finished, 'reads' | 'log'>): boolean {
    for (const mine of this.writes.intervals()) {
      for (const theirs of log.intervals()) if (overlap(mine, theirs)) return true
      for (const theirs of reads.intervals()) if (overlap(mine, theirs)) return true
    }
    for (const theirs of log.intervals()) {
      for (const { interval } of this.#conditions.again.values()) if (overlap(interval, theirs)) return true
    }
    return false
  }

  /** The same of two batches. */
  meetsBatch(other: Batch): boolean {
    for (const mine of this.writes.intervals()) {
      for (const theirs of other.writes.intervals()) if (overlap(mine, theirs)) return true
      for (const { interval } of other.#conditions.again.values()) if (overlap(mine, interval)) return true
    }
    for (const theirs of other.writes.intervals()) {
      for (const { interval } of this.#conditions.again.values()) if (overlap(interval, theirs)) return true
    }
    return false
  }

  writesTo(interval: Interval): boolean {
    for (const mine of this.writes.intervals()) if (overlap(mine, interval)) return true
    return false
  }

  request(): Init<TxnRequest> {
    const { same, untouched, again } = this.#conditions
    const reads = [...again.values()].map(({ interval }) => readOp(interval))
    return {
      compare: [
        ...[...same].map(([key, written]) => sameOf(key, written)),
        ...[...untouched.values()].map(untouchedOf),
      ],
      // With nothing to do, the server would answer from wherever it is: one read makes it ask the others first.
      success: this.writes.isEmpty ? reads.slice(0, 1) : this.writes.ops(),
      failure: reads,
    }
  }

  /** What the store holds after it has been committed. */
  after(revision: bigint): Snapshot {
    return snapshotAfter(this.#conditions.again.values(), this.writes, revision)
  }

  /** What the answer to a refused commit says. */
  conflict(responses: readonly ResponseOp[], revision: bigint): Snapshot {
    const snapshot = new Snapshot(revision)
    let index = 0
    for (const { interval } of this.#conditions.again.values()) {
      const response = responses[index++]?.response
      if (response?.kind === 'range') snapshot.learn({ interval, items: response.value.kvs.map(itemOf) })
    }
    return snapshot
  }
}

/** Throws what the server would say, before it is asked. */
export function assertFits(finished: Finished): void {
  const { same, untouched, again } = conditionsOf(finished)
  const { ops, bytes: written } = finished.log.size
  const compares = same.size + untouched.size
  const most = mostOperations(finished.marked)
  const bytes = bytesOf({ same, untouched, again }) + written + OVERHEAD_BYTES * ops
  if (ops > most) {
    throw limitError('TOO_MANY_OPERATIONS', `${ops} writes in one transaction, ${most} are possible`)
  }
  if (Math.max(compares, again.size) > most) {
    throw limitError(
      'TOO_MANY_OPERATIONS',
      `${Math.max(compares, again.size)} compares for what the transaction read, ${most} are possible: ${dominant(finished.reads)}`,
    )
  }
  if (bytes > MOST_BYTES) {
    throw limitError('TOO_LARGE', `about ${bytes} bytes in one transaction, ${MOST_BYTES} are possible`)
  }
}

function mostOperations(marked: boolean): number {
  return marked ? MOST_OPERATIONS - MARKER_OPERATIONS : MOST_OPERATIONS
}

function limitError(code: 'TOO_MANY_OPERATIONS' | 'TOO_LARGE', message: string): EtcdError {
  return new EtcdError(code, `[${code}] nothing was written: ${message}`, { outcome: 'not-sent' })
}

/** The reads that make up most of the set, the largest first. */
function dominant(reads: ReadSet): string {
  const stored = [...reads.stored]
  const ranges = stored
    .filter(({ interval }) => !isOneKey(interval))
    .toSorted((one, other) => other.items.length - one.items.length)
    .slice(0, 3)
    .map(
      ({ interval, items }) =>
        `the range from ${printable(fromMapKey(interval.from))} with ${items.length} keys`,
    )
  const single = stored.filter(({ interval }) => isOneKey(interval)).length
  return [...ranges, ...(single > 0 ? [`${single} single keys`] : [])].join(', ')
}

function conditionsOf({ isolation, reads, log, since, pending }: Finished): Conditions {
  const conditions = new Conditions()
  if (isolation === 'read-committed') return conditions
  const { same, untouched, again } = conditions
  for (const { interval, items, at } of reads.stored) {
    again.set(nameOf(interval), { interval, items })
    if (isOneKey(interval)) {
      same.set(interval.from, items[0]?.written ?? ABSENT)
      continue
    }
    for (const { key, written } of items) same.set(key, written)
    if (isolation !== 'repeatable-reads') {
      untouched.set(nameOf(interval), { interval, since: at.revision ?? 0n })
    }
  }
  if (pending === 'committed') {
    for (const [key, item] of reads.pending) same.set(key, item?.written ?? ABSENT)
  }
  if (isolation !== 'serializable-snapshot') return conditions
  for (const interval of log.intervals()) {
    if (isOneKey(interval) && same.has(interval.from)) continue
    const name = nameOf(interval)
    const base = since(interval)
    if (base !== undefined && !untouched.has(name)) untouched.set(name, { interval, since: base })
  }
  return conditions
}

function sameOf(key: string, { revision }: Written): Init<WireCompare> {
  return {
    key: fromMapKey(key),
    target: CompareTarget.modRevision,
    result: CompareResult.equal,
    operand: { kind: 'modRevision', value: revision ?? 0n },
  }
}

function untouchedOf({
  interval,
  since,
}: {
  readonly interval: Interval
  readonly since: bigint
}): Init<WireCompare> {
  const { key, end } = spanOf(interval)
  return {
    key,
    rangeEnd: end,
    target: CompareTarget.modRevision,
    result: CompareResult.less,
    operand: { kind: 'modRevision', value: since + 1n },
  }
}

function readOp(interval: Interval): Init<RequestOp> {
  const { key, end } = spanOf(interval)
  return { request: { kind: 'range', value: { key, rangeEnd: end } } }
}

function added<Value>(more: ReadonlyMap<string, Value>, known: ReadonlyMap<string, Value>): number {
  let count = 0
  for (const name of more.keys()) if (!known.has(name)) count += 1
  return count
}

function bytesOf({ same, untouched, again }: Conditions): number {
  let bytes = OVERHEAD_BYTES * (same.size + untouched.size + again.size)
  for (const key of same.keys()) bytes += key.length
  for (const name of untouched.keys()) bytes += name.length
  for (const name of again.keys()) bytes += name.length
  return bytes
}
