import { type Interval, isOneKey, nameOf, only } from './interval.ts'
import type { Item, Written } from './item.ts'
import type { Known } from './snapshot.ts'

/** Something read from the store: what was there, and at which revision. */
export interface Read extends Known {
  readonly at: Written
}

/** All that a transaction saw and that must not have changed: in the store, and of those committed along with it. */
export class ReadSet {
  readonly #stored = new Map<string, Read>()
  readonly #pending = new Map<string, Item | undefined>()

  /** The first answer counts: a later one to the same question is the same, or the level does not care. */
  sawStored(read: Read): void {
    const name = nameOf(read.interval)
    if (!this.#stored.has(name)) this.#stored.set(name, read)
  }

  /** Written, or deleted, by one that goes before in the same batch; nothing of it is stored yet. */
  sawPending(key: string, item: Item | undefined): void {
    if (!this.#pending.has(key)) this.#pending.set(key, item)
  }

  get stored(): Iterable<Read> {
    return this.#stored.values()
  }

  get pending(): ReadonlyMap<string, Item | undefined> {
    return this.#pending
  }

  get isEmpty(): boolean {
    return this.#stored.size === 0 && this.#pending.size === 0
  }

  *intervals(): Generator<Interval> {
    for (const { interval } of this.#stored.values()) yield interval
    for (const key of this.#pending.keys()) yield only(key)
  }

  /** How many keys, for messages. */
  get keys(): number {
    let count = this.#pending.size
    for (const { interval, items } of this.#stored.values()) count += isOneKey(interval) ? 1 : items.length
    return count
  }
}
