import { prefix } from '../../../src/client/key-range.ts'
import { type Deferred, deferred } from '../../../src/support/deferred.ts'
import { fromMapKey, printable } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import {
  CompareResult,
  CompareTarget,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type Compare as WireCompare,
} from '../../../src/wire/gen/rpc.g.ts'
import type { Isolation } from '../../transaction.ts'
import { type Interval, intervalOf, isOneKey, nameOf, overlap, spanOf } from './interval.ts'
import { type Item, itemOf, type Written } from './item.ts'
import { MOST_OPERATIONS } from './reader.ts'
import type { ReadSet } from './reads.ts'
import { type Known, Snapshot, snapshotAfter } from './snapshot.ts'
import { WriteLog } from './write-log.ts'

/** What servers take, unless they were told otherwise: 1.5 MiB with everything around it. */
export const MOST_BYTES = 1_400_000
/** Of a compare or an operation, beside its key and value. */
const OVERHEAD_BYTES = 32

/** The marker itself, and those of earlier commits that go with it. */
const MARKER_OPERATIONS = 5

const ABSENT: Written = { revision: 0n }
/** No key was ever written then. */
const NEVER: Written = { revision: -1n }

/** One transaction that has run, with what it is to be committed on. */
export interface Finished {
  readonly isolation: Isolation
  readonly reads: ReadSet
  readonly log: WriteLog
  /** Since when nobody may have written what it only writes; undefined: since ever. */
  since(interval: Interval): bigint | undefined
  /** What it saw of others that were not committed yet: they are by now, or they go before it in this batch. */
  readonly pending: 'committed' | 'in-this-batch'
  /** Where a marker is written along with it; undefined: nowhere. */
  readonly markers: Uint8Array | undefined
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
  #readsRanges = false

  constructor() {
    this.writes = new WriteLog(this.written)
  }

  /** Adds it if there is room for it. Throws what the server would say if it would not fit by itself. */
  add(finished: Finished): boolean {
    const more = conditionsOf(finished)
    const known = this.#conditions
    const { size } = finished.log
    const compares = this.compares + added(more.same, known.same) + added(more.untouched, known.untouched)
    const reads = known.again.size + added(more.again, known.again)
    const ops = this.writes.size.ops + size.ops
    const bytes = this.#bytes + bytesOf(more) + size.bytes + OVERHEAD_BYTES * size.ops
    const marked = this.#marked || finished.markers !== undefined
    assertMarkersSpared(finished)
    if (Math.max(compares, reads, ops) > mostOperations(marked) || bytes > MOST_BYTES) {
      if (this.#bytes > 0) return false
      throw limitError(
        { compares: Math.max(compares, reads), ops, bytes, most: mostOperations(marked) },
        finished,
      )
    }
    for (const [key, written] of more.same) known.same.set(key, written)
    for (const [name, one] of more.untouched) known.untouched.set(name, one)
    for (const [name, one] of more.again) {
      known.again.set(name, one)
      if (!isOneKey(one.interval)) this.#readsRanges = true
    }
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
    for (const theirs of log.intervals()) if (this.#touches(theirs)) return true
    for (const theirs of reads.intervals()) if (this.writes.writesTo(theirs)) return true
    return false
  }

  /** The same of two batches. */
  meetsBatch(other: Batch): boolean {
    for (const theirs of other.writes.intervals()) if (this.#touches(theirs)) return true
    for (const { interval } of other.#conditions.again.values())
      if (this.writes.writesTo(interval)) return true
    return false
  }

  *intervals(): Generator<Interval> {
    yield* this.writes.intervals()
    for (const { interval } of this.#conditions.again.values()) yield interval
  }

  /** Is what somebody saw of it on the way also what it came to? Its members may have gone on writing. */
  leaves(reads: ReadSet): boolean {
    for (const [key, item] of reads.pending) if (!this.endsWith(key, item ?? 'deleted')) return false
    return true
  }

  /** Is this the last it does to the key? Each put has bytes of its own, equal or not. */
  endsWith(key: string, done: Item | 'deleted'): boolean {
    const last = this.writes.find(key)
    if (last === undefined || last === 'deleted' || done === 'deleted') return last === done
    return last.value === done.value
  }

  writesTo(interval: Interval): boolean {
    return this.writes.writesTo(interval)
  }

  /** Does it read or write any of this? */
  #touches(interval: Interval): boolean {
    if (this.writes.writesTo(interval)) return true
    const { again } = this.#conditions
    if (again.has(nameOf(interval))) return true
    if (isOneKey(interval) && !this.#readsRanges) return false
    for (const known of again.values()) if (overlap(known.interval, interval)) return true
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

interface Size {
  readonly compares: number
  readonly ops: number
  readonly bytes: number
  readonly most: number
}

/** A marker that is deleted along with what it tells of says that there was no commit. */
function assertMarkersSpared({ log, markers }: Finished): void {
  if (markers === undefined) return
  const below = intervalOf(prefix(markers))
  for (const interval of log.intervals()) {
    if (isOneKey(interval) || !overlap(interval, below)) continue
    const name = (key: string) => printable(fromMapKey(key))
    throw new RangeError(
      `exactlyOnce: keys from ${name(interval.from)} on are deleted, with the markers below ${name(below.from)}: they need a prefix of their own`,
    )
  }
}

/** What the server would say. */
function limitError({ compares, ops, bytes, most }: Size, { reads }: Finished): EtcdError {
  const refuse = (code: 'TOO_MANY_OPERATIONS' | 'TOO_LARGE', message: string) =>
    new EtcdError(code, `[${code}] nothing was written: ${message}`, { outcome: 'not-sent' })
  if (ops > most) {
    return refuse('TOO_MANY_OPERATIONS', `${ops} writes in one transaction, ${most} are possible`)
  }
  if (compares > most) {
    return refuse(
      'TOO_MANY_OPERATIONS',
      `${compares} compares for what the transaction read, ${most} are possible: ${dominant(reads)}`,
    )
  }
  return refuse('TOO_LARGE', `about ${bytes} bytes in one transaction, ${MOST_BYTES} are possible`)
}

function mostOperations(marked: boolean): number {
  return marked ? MOST_OPERATIONS - MARKER_OPERATIONS : MOST_OPERATIONS
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
  const saw = (key: string, written: Written) => {
    const before = same.get(key)
    // Seen in two states, at a level at which that can happen: it is not in both of them now.
    same.set(key, before === undefined || before.revision === written.revision ? written : NEVER)
  }
  for (const { interval, items, at } of reads.stored) {
    again.set(nameOf(interval), { interval, items })
    if (isOneKey(interval)) {
      saw(interval.from, items[0]?.written ?? ABSENT)
      continue
    }
    for (const { key, written } of items) saw(key, written)
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
