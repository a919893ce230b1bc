import { compareBytes } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import type { KeyValue } from '../wire/gen/kv.g.ts'
import { type RangeRequest, type RangeResponse, SortOrder, SortTarget } from '../wire/gen/rpc.g.ts'
import { intervalOf } from './key-interval.ts'
import { refuse } from './statuses.ts'
import type { Store } from './store.ts'

/** How far whoever reads can see. */
export interface Sight {
  /** The revision that is the present to it; 0 for that of the store. */
  readonly now: bigint
  /** The last revision it knows of; undefined for that of the store. */
  readonly last: bigint | undefined
}

export const PRESENT: Sight = { now: 0n, last: undefined }

/**
 * Answers a range, header left out. Filters and sorting see all keys of the range; without them only as many
 * as the limit are looked at. The count is that of the range, whatever the filters.
 */
export function answerRange(
  store: Store,
  request: RangeRequest,
  sight: Sight = PRESENT,
): Omit<Init<RangeResponse>, 'header'> {
  const { revision } = request
  if (sight.last !== undefined && revision > sight.last) throw refuse.futureRevision()
  const limit = Number(request.limit)
  const all = isSorted(request) || isFiltered(request)
  const { kvs, count } = store.range(intervalOf(request.key, request.rangeEnd), {
    at: revision > 0n ? revision : sight.now,
    // One more than asked for tells whether there are more.
    limit: all || limit <= 0 ? 0 : limit + 1,
    countOnly: request.countOnly,
  })
  const kept = isFiltered(request) ? kvs.filter(kv => passes(request, kv)) : kvs
  const sorted = inOrder(request, kept)
  const more = limit > 0 && sorted.length > limit
  const cut = more ? sorted.slice(0, limit) : sorted
  return {
    kvs: request.keysOnly ? cut.map(withoutValue) : cut,
    more,
    count: BigInt(count),
  }
}

/** Keys are in order of themselves. */
function isSorted({ sortOrder, sortTarget }: RangeRequest): boolean {
  return sortOrder === SortOrder.descend || (sortOrder === SortOrder.ascend && sortTarget !== SortTarget.key)
}

function isFiltered(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0n ||
    request.maxModRevision !== 0n ||
    request.minCreateRevision !== 0n ||
    request.maxCreateRevision !== 0n
  )
}

function passes(request: RangeRequest, { modRevision, createRevision }: KeyValue): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request
  return (
    (minModRevision === 0n || modRevision >= minModRevision) &&
    (maxModRevision === 0n || modRevision <= maxModRevision) &&
    (minCreateRevision === 0n || createRevision >= minCreateRevision) &&
    (maxCreateRevision === 0n || createRevision <= maxCreateRevision)
  )
}

function inOrder({ sortOrder, sortTarget }: RangeRequest, kvs: readonly KeyValue[]): readonly KeyValue[] {
  // They come in order of their keys. A target without an order means ascending.
  if (sortTarget === SortTarget.key && sortOrder !== SortOrder.descend) return kvs
  const compare = comparators[sortTarget]
  const sign = sortOrder === SortOrder.descend ? -1 : 1
  return [...kvs].sort((a, b) => sign * compare(a, b))
}

const comparators: Readonly<Record<SortTarget, (a: KeyValue, b: KeyValue) => number>> = {
  [SortTarget.key]: (a, b) => compareBytes(a.key, b.key),
  [SortTarget.version]: (a, b) => compareNumbers(a.version, b.version),
  [SortTarget.createRevision]: (a, b) => compareNumbers(a.createRevision, b.createRevision),
  [SortTarget.modRevision]: (a, b) => compareNumbers(a.modRevision, b.modRevision),
  [SortTarget.value]: (a, b) => compareBytes(a.value, b.value),
}

export function compareNumbers(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function withoutValue(kv: KeyValue): KeyValue {
  return { ...kv, value: NOTHING }
}

const NOTHING: Uint8Array = new Uint8Array(0)
