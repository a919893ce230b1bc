import { fromMapKey } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { RequestOp } from '../../../src/wire/gen/rpc.g.ts'
import { after, holds, type Interval, isOneKey, only, overlap, spanOf } from './interval.ts'
import type { Item, Written } from './item.ts'

/**
 * What is to be written, in its end result: intervals that are deleted first, and keys that are put then.
 *
 * Invariant: a put is younger than every deletion that covers it, so a later deletion drops the puts it covers.
 */
export class WriteLog {
  readonly #written: Written
  readonly #puts = new Map<string, Item>()
  #deleted: readonly Interval[] = []

  /** `written` learns the revision when this is committed. */
  constructor(written: Written = { revision: undefined }) {
    this.#written = written
  }

  get isEmpty(): boolean {
    return this.#puts.size === 0 && this.#deleted.length === 0
  }

  get puts(): Iterable<Item> {
    return this.#puts.values()
  }

  put(key: string, value: Uint8Array, lease: bigint): void {
    this.#puts.set(key, { key, value, lease, written: this.#written })
  }

  delete(interval: Interval): void {
    for (const key of this.#puts.keys()) if (holds(interval, key)) this.#puts.delete(key)
    this.#deleted = joined([...this.#deleted, interval])
  }

  /** Does all of `later` after what is here. */
  absorb(later: WriteLog): void {
    for (const interval of later.#deleted) this.delete(interval)
    for (const { key, value, lease } of later.puts) this.put(key, value, lease)
  }

  /** As it is now, whatever is written to either from now on. */
  copy(): WriteLog {
    const copy = new WriteLog(this.#written)
    copy.absorb(this)
    return copy
  }

  /** What became of the key: undefined if nothing was done to it. */
  find(key: string): Item | 'deleted' | undefined {
    return (
      this.#puts.get(key) ?? (this.#deleted.some(interval => holds(interval, key)) ? 'deleted' : undefined)
    )
  }

  /** Is anything of it written? */
  writesTo(interval: Interval): boolean {
    if (isOneKey(interval)) return this.find(interval.from) !== undefined
    for (const mine of this.intervals()) if (overlap(mine, interval)) return true
    return false
  }

  /** The items of an interval with all of this done to them, in the order of their keys. */
  applyTo(interval: Interval, items: readonly Item[]): readonly Item[] {
    if (this.isEmpty) return items
    const kept = items.filter(({ key }) => this.find(key) === undefined)
    const put = [...this.#puts.values()].filter(({ key }) => holds(interval, key))
    return [...kept, ...put].sort((one, other) => (one.key < other.key ? -1 : 1))
  }

  /** How many keys of those stored in the interval this may delete: undefined if there is no telling. */
  deletions(interval: Interval): number | undefined {
    let count = 0
    for (const { from, to } of this.#deleted) {
      if (!(from < interval.to && interval.from < to)) continue
      if (to !== after(from)) return undefined
      count += 1
    }
    return count
  }

  /** All that is written, as far as anybody else may care. */
  *intervals(): Generator<Interval> {
    yield* this.#deleted
    for (const key of this.#puts.keys()) yield only(key)
  }

  /** The server refuses to put a key and delete it in one transaction, so deletions leave out what is put. */
  ops(): readonly Init<RequestOp>[] {
    const keys = [...this.#puts.keys()].sort()
    const deletions = this.#deleted
      .flatMap(interval => without(interval, keys))
      .map(interval => {
        const { key, end } = spanOf(interval)
        return { request: { kind: 'deleteRange' as const, value: { key, rangeEnd: end } } }
      })
    const puts = [...this.#puts.values()].map(({ key, value, lease }) => ({
      request: { kind: 'put' as const, value: { key: fromMapKey(key), value, lease } },
    }))
    return [...deletions, ...puts]
  }

  /** How many operations this takes at most, and how many bytes. */
  get size(): { readonly ops: number; readonly bytes: number } {
    let bytes = 0
    for (const { key, value } of this.puts) bytes += key.length + value.length
    for (const { from, to } of this.#deleted) bytes += from.length + to.length
    if (this.#deleted.length === 0) return { ops: this.#puts.size, bytes }
    let deletions = this.#deleted.length
    for (const key of this.#puts.keys()) {
      const covering = this.#deleted.find(interval => holds(interval, key))
      // Each put may cut one deletion in two, and leaves nothing of that of its own key.
      if (covering !== undefined) deletions += isOneKey(covering) ? -1 : 1
    }
    return { ops: this.#puts.size + deletions, bytes }
  }
}

/** The interval in pieces between these keys, which are sorted. */
function without(interval: Interval, keys: readonly string[]): Interval[] {
  const pieces: Interval[] = []
  let { from } = interval
  for (const key of keys) {
    if (!holds(interval, key)) continue
    if (from < key) pieces.push({ from, to: key })
    from = after(key)
  }
  if (from < interval.to) pieces.push({ from, to: interval.to })
  return pieces
}

/** The same keys in as few intervals as it takes. */
function joined(intervals: readonly Interval[]): readonly Interval[] {
  const result: Interval[] = []
  for (const interval of intervals.toSorted((one, other) => (one.from < other.from ? -1 : 1))) {
    const last = result.at(-1)
    if (last === undefined || interval.from > last.to) result.push(interval)
    else if (interval.to > last.to) result[result.length - 1] = { from: last.from, to: interval.to }
  }
  return result
}
