import { mapKey } from '../wire/bytes.ts'
import type { KeyValue } from '../wire/gen/kv.g.ts'
import type { KeyInterval } from './key-interval.ts'
import { OrderedIndex } from './ordered-index.ts'
import { refuse } from './statuses.ts'

/** One key put or deleted. Those of a revision are in the order they were made. */
export interface Change {
  readonly type: 'put' | 'delete'
  /** Its key, as a name. */
  readonly name: string
  /** Of a deletion: the key and the revision, nothing else. */
  readonly kv: KeyValue
  /** What it replaced, perhaps within the same revision. */
  readonly previous: KeyValue | undefined
  /** What the key was at the revision before: what watches are told. */
  readonly before: KeyValue | undefined
}

export interface Revision {
  readonly revision: bigint
  readonly changes: readonly Change[]
}

export interface RangeResult {
  /** In order of their keys. */
  readonly kvs: readonly KeyValue[]
  /** Of all keys in the range, whatever the limit. */
  readonly count: number
}

export interface RangeBounds {
  /** The keys as they were at this revision; now, if not given. */
  readonly at?: bigint | undefined
  readonly limit?: number | undefined
  readonly countOnly?: boolean | undefined
}

/** All a store knows, to be kept and loaded. */
export interface StoreImage {
  readonly revision: bigint
  readonly compactRevision: bigint
  /** Everything that was not compacted, in the order it was made. */
  readonly changes: readonly Pick<Change, 'type' | 'kv'>[]
}

/** What is told of each commit, once it is complete. */
export type CommitListener = (commit: Revision) => void

/**
 * Keys with their history. Every write makes a revision; what was at a revision can be read until it is
 * compacted.
 *
 * Invariants: `#live` holds the keys that exist now, `#ever` those with any history, both in order; versions
 * of a key ascend; `#log` has one entry for each revision from `#logStart` on.
 */
export class Store {
  readonly #records = new Map<string, KeyRecord>()
  readonly #live = new OrderedIndex<KeyRecord>()
  readonly #ever = new OrderedIndex<KeyRecord>()
  readonly #namesByLease = new Map<bigint, Set<string>>()
  readonly #log: Revision[] = []
  readonly #listeners = new Set<CommitListener>()
  /** As etcd counts: an empty store is at revision 1. */
  #revision = 1n
  #logStart = 2n
  /** Below any revision, so that even revision 0 can be compacted once. */
  #compactRevision = -1n
  #bytes = 0
  /** Of the last change, committed or on its way. */
  #newest = 1n

  static load(image: StoreImage): Store {
    const store = new Store()
    store.#revision = image.revision
    store.#compactRevision = image.compactRevision
    store.#logStart = bigintMax(2n, image.compactRevision)
    for (let missing = store.#logStart; missing <= image.revision; missing++)
      store.#log.push({ revision: missing, changes: [] })
    for (const { type, kv } of image.changes) {
      // An image is made of views of whoever gave it: a store keeps bytes of its own.
      const key = store.#records.get(mapKey(kv.key))?.key ?? kv.key.slice()
      const change = store.#apply(type, { ...kv, key, value: kv.value.slice() })
      const entry = store.#log[Number(kv.modRevision - store.#logStart)]
      if (entry !== undefined) (entry.changes as Change[]).push(change)
    }
    return store
  }

  /** Of the last write. */
  get revision(): bigint {
    return this.#revision
  }

  /** What is below it is gone; -1 before the first compaction. */
  get compactRevision(): bigint {
    return this.#compactRevision
  }

  /** About how much it keeps, history included. */
  get bytes(): number {
    return this.#bytes
  }

  get keyCount(): number {
    return this.#live.size
  }

  /** Called after each commit, in order. Returns how to stop. */
  onCommit(listener: CommitListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get(name: string): KeyValue | undefined {
    return this.#records.get(name)?.live
  }

  /** Refuses revisions that are not there: compacted ones, and those of the future. Negative and 0 mean now. */
  range(interval: KeyInterval, bounds: RangeBounds = {}): RangeResult {
    const { at = 0n } = bounds
    if (at > this.#revision) throw refuse.futureRevision()
    if (at <= 0n) return this.#rangeNow(interval, bounds)
    if (at < this.#compactRevision) throw refuse.compacted()
    // Within a write the present is ahead of the last revision.
    return at >= this.#newest ? this.#rangeNow(interval, bounds) : this.#rangeThen(interval, at, bounds)
  }

  /** Keys attached to a lease, in order. */
  keysOfLease(lease: bigint): Uint8Array[] {
    return [...(this.#namesByLease.get(lease) ?? [])].sort().map(name => this.#records.get(name)!.key)
  }

  /** Several changes under one revision, visible at once to reads in this process: commit before anybody else runs. */
  begin(): Write {
    const revision = this.#revision + 1n
    const changes: Change[] = []
    return {
      get revision() {
        return changes.length > 0 ? revision : revision - 1n
      },
      put: (key, value, lease) => {
        const name = mapKey(key)
        const record = this.#records.get(name)
        const live = record?.live
        const kv: KeyValue = {
          // Received bytes are views of whole requests, which would stay in memory with them.
          key: record?.key ?? key.slice(),
          createRevision: live?.createRevision ?? revision,
          modRevision: revision,
          version: (live?.version ?? 0n) + 1n,
          value: value === live?.value ? value : value.slice(),
          lease,
        }
        const change = this.#apply('put', kv)
        changes.push(change)
        return change
      },
      delete: interval => {
        const doomed = this.#rangeNow(interval, {}).kvs
        for (const { key } of doomed) {
          const kv = {
            key,
            createRevision: 0n,
            modRevision: revision,
            version: 0n,
            value: NOTHING,
            lease: 0n,
          }
          changes.push(this.#apply('delete', kv))
        }
        return doomed
      },
      commit: () => {
        if (changes.length > 0) this.#commit({ revision, changes })
      },
    }
  }

  /** Forgets what was before this revision: reads and watches below it are refused from now on. */
  compact(revision: bigint): void {
    this.assertCompactable(revision)
    this.#compactRevision = revision
    for (const { changes } of this.#log.slice(0, Math.max(0, Number(revision - this.#logStart) + 1)))
      for (const { name } of changes) this.#trim(name, revision)
    // A watch may still start at the compacted revision itself.
    const forgotten = Number(revision - this.#logStart)
    if (forgotten <= 0) return
    this.#log.splice(0, forgotten)
    this.#logStart = revision
  }

  /** Refuses a revision that is compacted already, and one of the future. */
  assertCompactable(revision: bigint): void {
    if (revision <= this.#compactRevision) throw refuse.compacted()
    if (revision > this.#revision) throw refuse.futureRevision()
  }

  /** Every revision from this one on that is not compacted; those that change nothing in the interval may be left out. */
  *since(revision: bigint, interval?: KeyInterval): Generator<Revision> {
    const first = Math.max(0, Number(revision - this.#logStart))
    // Whichever is less: to look at all that happened, or at all there is in the interval.
    if (interval !== undefined && this.#ever.count(interval.start, interval.end) < this.#log.length - first) {
      for (const index of this.#changesOf(interval, first)) yield this.#log[index]!
    } else {
      for (let index = first; index < this.#log.length; index++) yield this.#log[index]!
    }
  }

  /** Tells all it knows. */
  image(): StoreImage {
    const changes: Pick<Change, 'type' | 'kv'>[] = []
    this.#ever.visit('', undefined, ({ versions }) => {
      for (const kv of versions) changes.push({ type: isTombstone(kv) ? 'delete' : 'put', kv })
      return true
    })
    // Stable, so that two changes of one key within a revision stay in order.
    changes.sort((a, b) => Number(a.kv.modRevision - b.kv.modRevision))
    return { revision: this.#revision, compactRevision: this.#compactRevision, changes }
  }

  #rangeNow({ start, end, single }: KeyInterval, { limit = 0, countOnly = false }: RangeBounds): RangeResult {
    if (single) {
      const kv = this.#records.get(start)?.live
      if (kv === undefined) return { kvs: [], count: 0 }
      return { kvs: countOnly ? [] : [kv], count: 1 }
    }
    if (countOnly) return { kvs: [], count: this.#live.count(start, end) }
    const kvs: KeyValue[] = []
    this.#live.visit(start, end, record => kvs.push(record.live!) !== limit)
    const count = limit > 0 && kvs.length === limit ? this.#live.count(start, end) : kvs.length
    return { kvs, count }
  }

  #rangeThen({ start, end }: KeyInterval, at: bigint, { limit = 0, countOnly }: RangeBounds): RangeResult {
    const kvs: KeyValue[] = []
    let count = 0
    this.#ever.visit(start, end, ({ versions }) => {
      const kv = versionAt(versions, at)
      if (kv === undefined || isTombstone(kv)) return true
      count += 1
      if (!countOnly && (limit === 0 || kvs.length < limit)) kvs.push(kv)
      return true
    })
    return { kvs, count }
  }

  /** Where in the log, from this place on, something of the interval changed. */
  #changesOf({ start, end }: KeyInterval, first: number): number[] {
    const places = new Set<number>()
    // Of the compacted revision itself the deletions are known to the log alone.
    if (first === 0 && this.#logStart <= this.#compactRevision && this.#log.length > 0) places.add(0)
    this.#ever.visit(start, end, ({ versions }) => {
      for (let index = versions.length - 1; index >= 0; index--) {
        const place = Number(versions[index]!.modRevision - this.#logStart)
        if (place < first) break
        places.add(place)
      }
      return true
    })
    return [...places].sort((a, b) => a - b)
  }

  #apply(type: Change['type'], kv: KeyValue): Change {
    const name = mapKey(kv.key)
    const record = this.#records.get(name) ?? this.#newRecord(name, kv.key)
    const previous = record.live
    if (previous !== undefined && previous.lease !== 0n) this.#detach(previous.lease, name)
    const before = lastBefore(record.versions, kv.modRevision)
    record.versions.push(kv)
    this.#newest = kv.modRevision
    this.#bytes += sizeOf(kv)
    if (type === 'put') {
      record.live = kv
      if (previous === undefined) this.#live.add(record)
      if (kv.lease !== 0n) this.#attach(kv.lease, name)
    } else {
      record.live = undefined
      if (previous !== undefined) this.#live.remove(name)
    }
    return { type, name, kv, previous, before }
  }

  #commit(commit: Revision): void {
    this.#revision = commit.revision
    this.#log.push(commit)
    for (const listener of this.#listeners) listener(commit)
  }

  #newRecord(name: string, key: Uint8Array): KeyRecord {
    const record: KeyRecord = { name, key, versions: [], live: undefined }
    this.#records.set(name, record)
    this.#ever.add(record)
    return record
  }

  /** Keeps of the versions up to `revision` the last one, and not even that if it is a deletion. */
  #trim(name: string, revision: bigint): void {
    const record = this.#records.get(name)
    if (record === undefined) return
    const { versions } = record
    let gone = 0
    while (gone + 1 < versions.length && versions[gone + 1]!.modRevision <= revision) gone++
    const oldest = versions[gone]!
    if (oldest.modRevision <= revision && isTombstone(oldest)) gone++
    for (const kv of versions.splice(0, gone)) this.#bytes -= sizeOf(kv)
    if (versions.length > 0) return
    this.#records.delete(name)
    this.#ever.remove(name)
  }

  #attach(lease: bigint, name: string): void {
    const names = this.#namesByLease.get(lease)
    if (names === undefined) this.#namesByLease.set(lease, new Set([name]))
    else names.add(name)
  }

  #detach(lease: bigint, name: string): void {
    const names = this.#namesByLease.get(lease)
    if (names === undefined) return
    names.delete(name)
    if (names.size === 0) this.#namesByLease.delete(lease)
  }
}

/** Changes on their way into one revision. */
export interface Write {
  /** What an answer says: the new revision from the first change on. */
  readonly revision: bigint
  /** `value` is copied unless it is the one the key has. */
  put(key: Uint8Array, value: Uint8Array, lease: bigint): Change
  /** Gives what was deleted. */
  delete(interval: KeyInterval): readonly KeyValue[]
  /** Without changes there is no revision. */
  commit(): void
}

interface KeyRecord {
  readonly name: string
  readonly key: Uint8Array
  /** Ascending; deletions among them are tombstones. */
  readonly versions: KeyValue[]
  live: KeyValue | undefined
}

const NOTHING: Uint8Array = new Uint8Array(0)

/** What a version weighs beside its key and value. */
const VERSION_OVERHEAD_BYTES = 48

/** Every put counts its versions from 1. */
function isTombstone(kv: KeyValue): boolean {
  return kv.version === 0n
}

/** The last version older than a revision, unless the key was deleted then. */
function lastBefore(versions: readonly KeyValue[], revision: bigint): KeyValue | undefined {
  let at = versions.length - 1
  while (at >= 0 && versions[at]!.modRevision === revision) at--
  const kv = versions[at]
  return kv === undefined || isTombstone(kv) ? undefined : kv
}

function versionAt(versions: readonly KeyValue[], at: bigint): KeyValue | undefined {
  let low = 0
  let high = versions.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (versions[middle]!.modRevision <= at) low = middle + 1
    else high = middle
  }
  return versions[low - 1]
}

function sizeOf(kv: KeyValue): number {
  return VERSION_OVERHEAD_BYTES + kv.key.length + kv.value.length
}

function bigintMax(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
