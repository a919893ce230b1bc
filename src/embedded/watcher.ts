import { type Event, EventType, type KeyValue } from '../wire/gen/kv.g.ts'
import { FilterType } from '../wire/gen/rpc.g.ts'
import { contains, type KeyInterval } from './key-interval.ts'
import type { Change, Revision } from './store.ts'

/** Takes what happened, and the revision up to which that is all. */
export type Deliver = (events: readonly Event[], revision: bigint) => void

export interface WatcherParts {
  readonly id: bigint
  readonly interval: KeyInterval
  /** The first revision it wants to know of. */
  readonly from: bigint
  readonly prevKv: boolean
  readonly filters: readonly FilterType[]
  readonly deliver: Deliver
}

/** One watch of one stream. */
export class Watcher {
  readonly id: bigint
  readonly interval: KeyInterval
  readonly deliver: Deliver
  readonly from: bigint
  readonly #prevKv: boolean
  readonly #filters: readonly FilterType[]

  constructor({ id, interval, from, prevKv, filters, deliver }: WatcherParts) {
    this.id = id
    this.interval = interval
    this.from = from
    this.deliver = deliver
    this.#prevKv = prevKv
    this.#filters = filters
  }

  /** What it wants to know of a revision. */
  eventsOf({ changes }: Revision, compactRevision: bigint): Event[] {
    return changes.flatMap(change =>
      contains(this.interval, change.name) ? (this.eventOf(change, compactRevision) ?? []) : [],
    )
  }

  /** What it wants to know of a change inside its interval; undefined for nothing. */
  eventOf({ type, kv, before }: Change, compactRevision: bigint): Event | undefined {
    if (kv.modRevision < this.from) return undefined
    if (this.#filters.includes(type === 'put' ? FilterType.noPut : FilterType.noDelete)) return undefined
    return {
      type: EventType[type],
      kv,
      prevKv: this.#prevKv && !isCreation(kv) && isReadable(kv, compactRevision) ? before : undefined,
    }
  }
}

/** Of a key that was deleted in the same revision, too: the deletion tells what it was. */
function isCreation({ createRevision, modRevision }: KeyValue): boolean {
  return createRevision === modRevision
}

/** etcd reads the previous value at the revision before, and sends none if that is compacted. */
function isReadable({ modRevision }: KeyValue, compactRevision: bigint): boolean {
  return modRevision - 1n >= compactRevision
}
