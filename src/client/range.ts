import { checkInteger, checkOneOf, checkOptions, checkRevision } from '../support/options.ts'
import { ownOnly } from '../support/own.ts'
import type { Init } from '../wire/codec.ts'
import { type RangeRequest, type RangeResponse, SortOrder, SortTarget } from '../wire/gen/rpc.g.ts'
import type { Span } from './footprint.ts'
import type { KeySpace } from './key-space.ts'
import { KeyValue } from './key-value.ts'

export interface GetOptions {
  /** Read the state at this revision instead of the latest. */
  readonly revision?: bigint | undefined
  /**
   * `linearizable`, the default: at least as new as everything that had been acknowledged when the call began.
   * `serializable`: whatever the asked member has, possibly from the past; answers without a leader, too.
   */
  readonly consistency?: 'linearizable' | 'serializable' | undefined
}

export interface RangeOptions extends GetOptions {
  /** At most so many keys; 0, the default, for all. */
  readonly limit?: number | undefined
  /** Default: by key, ascending, which is the only order the server need not sort for. */
  readonly sort?: Sort | undefined
  /** `keys`: without values. `count`: no keys at all, only how many there are. */
  readonly only?: 'keys' | 'count' | undefined
  /** Only keys last written, or created, within these revisions, both ends included. */
  readonly minModRevision?: bigint | undefined
  readonly maxModRevision?: bigint | undefined
  readonly minCreateRevision?: bigint | undefined
  readonly maxCreateRevision?: bigint | undefined
}

export interface Sort {
  readonly by: 'key' | 'version' | 'createRevision' | 'modRevision' | 'value'
  readonly order: 'ascending' | 'descending'
}

export interface RangeResult {
  readonly kvs: readonly KeyValue[]
  /** How many keys the range holds, whatever the limit; filters by revision do not count. */
  readonly count: number
  /** Are there more keys than the limit let through? */
  readonly more: boolean
  /** Of the whole store when this was read. */
  readonly revision: bigint
}

export const GET_OPTIONS: readonly string[] = ['revision', 'consistency']
export const RANGE_OPTIONS: readonly string[] = [
  ...GET_OPTIONS,
  'limit',
  'sort',
  'only',
  'minModRevision',
  'maxModRevision',
  'minCreateRevision',
  'maxCreateRevision',
]

/** Everything of a range request but its keys; checks the options. */
export function rangeFields(given: RangeOptions): Init<RangeRequest> {
  const options = ownOnly(given)
  const { limit, revision, sort, consistency, only } = options
  if (consistency !== undefined) checkOneOf(consistency, ['linearizable', 'serializable'], 'consistency')
  if (only !== undefined) checkOneOf(only, ['keys', 'count'], 'only')
  return {
    limit: limit === undefined ? undefined : BigInt(checkInteger(limit, 'limit', { min: 0 })),
    revision: revision === undefined ? undefined : checkRevision(revision, 'revision', 1n),
    serializable: consistency === 'serializable',
    keysOnly: only === 'keys',
    countOnly: only === 'count',
    ...(sort === undefined ? {} : sortFields(sort)),
    minModRevision: optionalRevision(options.minModRevision, 'minModRevision'),
    maxModRevision: optionalRevision(options.maxModRevision, 'maxModRevision'),
    minCreateRevision: optionalRevision(options.minCreateRevision, 'minCreateRevision'),
    maxCreateRevision: optionalRevision(options.maxCreateRevision, 'maxCreateRevision'),
  }
}

export function rangeRequest({ key, end }: Span, fields: Init<RangeRequest>): Init<RangeRequest> {
  return { ...fields, key, rangeEnd: end }
}

/** `revision` is that of the whole answer: inside a transaction the server leaves it out of the parts. */
export function rangeResult(response: RangeResponse, revision: bigint, space: KeySpace): RangeResult {
  return {
    kvs: response.kvs.map(kv => new KeyValue(kv, space.local(kv.key))),
    count: Number(response.count),
    more: response.more,
    revision,
  }
}

function sortFields(sort: Sort): Pick<Init<RangeRequest>, 'sortOrder' | 'sortTarget'> {
  sort = checkOptions(sort, ['by', 'order'], 'sort')
  const { by, order } = sort
  checkOneOf(by, ['key', 'version', 'createRevision', 'modRevision', 'value'], 'sort.by')
  checkOneOf(order, ['ascending', 'descending'], 'sort.order')
  // Ascending by key is how the store is kept: asked for as an order, every key would be read before the limit.
  if (by === 'key' && order === 'ascending') return {}
  return {
    sortTarget: SortTarget[by],
    sortOrder: order === 'ascending' ? SortOrder.ascend : SortOrder.descend,
  }
}

function optionalRevision(value: bigint | undefined, name: string): bigint | undefined {
  return value === undefined ? undefined : checkRevision(value, name)
}
