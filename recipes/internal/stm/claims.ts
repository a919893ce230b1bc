import type { Finished } from './batch.ts'
import { type Interval, isOneKey } from './interval.ts'

/**
 * Who may be at work on which keys: an index, so that a thousand owners can be told apart without asking each.
 * It names too many rather than too few; whoever looks something up asks those it names.
 */
export class Claims<Owner extends object> {
  readonly #byKey = new Map<string, Set<Owner>>()
  readonly #keysOf = new Map<Owner, Set<string>>()
  /** At work on more than single keys. */
  readonly #wide = new Set<Owner>()

  claim(owner: Owner, { reads, log }: Pick<Finished, 'reads' | 'log'>): void {
    for (const interval of reads.intervals()) this.#add(owner, interval)
    for (const interval of log.intervals()) this.#add(owner, interval)
  }

  clear(owner: Owner): void {
    this.#wide.delete(owner)
    const keys = this.#keysOf.get(owner)
    if (keys === undefined) return
    this.#keysOf.delete(owner)
    for (const key of keys) {
      const owners = this.#byKey.get(key)
      owners?.delete(owner)
      if (owners?.size === 0) this.#byKey.delete(key)
    }
  }

  /** All that may be at work on one of these; some of them perhaps twice. */
  *on(intervals: Iterable<Interval>): Generator<Owner> {
    yield* this.#wide
    for (const interval of intervals) {
      if (isOneKey(interval)) yield* this.#byKey.get(interval.from) ?? []
      else yield* this.#keysOf.keys()
    }
  }

  #add(owner: Owner, interval: Interval): void {
    if (!isOneKey(interval)) {
      this.#wide.add(owner)
      return
    }
    const key = interval.from
    let keys = this.#keysOf.get(owner)
    if (keys === undefined) {
      keys = new Set()
      this.#keysOf.set(owner, keys)
    }
    if (keys.has(key)) return
    keys.add(key)
    const owners = this.#byKey.get(key)
    if (owners === undefined) this.#byKey.set(key, new Set([owner]))
    else owners.add(owner)
  }
}
