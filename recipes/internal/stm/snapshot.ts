import { holds, type Interval, isOneKey, nameOf } from './interval.ts'
import type { Item } from './item.ts'
import type { WriteLog } from './write-log.ts'

/** Some keys of the store, read at one moment. */
export interface Known {
  readonly interval: Interval
  /** All there are. */
  readonly items: readonly Item[]
}

/** What is known of the store at one revision, the base. Without a base, nothing has been read yet. */
export class Snapshot {
  #base: bigint | undefined
  readonly #keys = new Map<string, Item | undefined>()
  readonly #ranges = new Map<string, Known>()

  constructor(base?: bigint) {
    this.#base = base
  }

  get base(): bigint | undefined {
    return this.#base
  }

  /** The first to read decides at which revision everybody reads. */
  settle(base: bigint): void {
    this.#base ??= base
  }

  learn({ interval, items }: Known): void {
    if (isOneKey(interval)) this.#keys.set(interval.from, items[0])
    else {
      this.#ranges.set(nameOf(interval), { interval, items })
      for (const item of items) this.#keys.set(item.key, item)
    }
  }

  /** What is stored in the interval, or in the beginning of it that holds `limit` keys. Undefined: not known. */
  find(interval: Interval, limit: number): Known | undefined {
    if (isOneKey(interval)) return this.#findKey(interval)
    const known = this.#ranges.get(nameOf(interval))
    if (known !== undefined || limit === 0) return known
    for (const start of this.#ranges.values()) {
      if (start.interval.from !== interval.from || start.interval.to > interval.to) continue
      if (start.items.length >= limit) return start
    }
    return undefined
  }

  #findKey(interval: Interval): Known | undefined {
    const key = interval.from
    const item = this.#keys.get(key)
    if (item !== undefined) return { interval, items: [item] }
    if (this.#keys.has(key)) return { interval, items: [] }
    for (const range of this.#ranges.values()) if (holds(range.interval, key)) return { interval, items: [] }
    return undefined
  }
}

/** What is known once this has been written, given that what was read held until then. */
export function snapshotAfter(reads: Iterable<Known>, writes: WriteLog, revision: bigint): Snapshot {
  const next = new Snapshot(revision)
  for (const { interval, items } of reads) next.learn({ interval, items: writes.applyTo(interval, items) })
  for (const interval of writes.intervals()) next.learn({ interval, items: writes.applyTo(interval, []) })
  return next
}
