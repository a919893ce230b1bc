import { fromMapKey, mapKey, prefixEnd } from '../wire/bytes.ts'
import { contains, type KeyInterval } from './key-interval.ts'

interface Watching {
  readonly interval: KeyInterval
}

/**
 * Who watches a key. Watches of one key and of a prefix, nearly all there are, are found by looking up the
 * key and its beginnings; only other ranges are compared one by one.
 */
export class WatchIndex<Watcher extends Watching> {
  readonly #byKey = new Map<string, Set<Watcher>>()
  readonly #byPrefix = new Map<string, Set<Watcher>>()
  /** How many prefixes there are of each length. */
  readonly #prefixLengths = new Map<number, number>()
  readonly #ranges = new Set<Watcher>()

  add(watcher: Watcher): void {
    const { interval } = watcher
    if (interval.single) return addTo(this.#byKey, interval.start, watcher)
    if (!isPrefix(interval)) return void this.#ranges.add(watcher)
    const { start } = interval
    if (!this.#byPrefix.has(start)) this.#countLength(start.length, 1)
    addTo(this.#byPrefix, start, watcher)
  }

  remove(watcher: Watcher): void {
    const { interval } = watcher
    if (interval.single) return removeFrom(this.#byKey, interval.start, watcher)
    if (!isPrefix(interval)) return void this.#ranges.delete(watcher)
    const { start } = interval
    removeFrom(this.#byPrefix, start, watcher)
    if (!this.#byPrefix.has(start)) this.#countLength(start.length, -1)
  }

  visit(name: string, visitor: (watcher: Watcher) => void): void {
    for (const watcher of this.#byKey.get(name) ?? []) visitor(watcher)
    for (const length of this.#prefixLengths.keys()) {
      if (length > name.length) continue
      for (const watcher of this.#byPrefix.get(name.slice(0, length)) ?? []) visitor(watcher)
    }
    for (const watcher of this.#ranges) if (contains(watcher.interval, name)) visitor(watcher)
  }

  #countLength(length: number, by: 1 | -1): void {
    const count = (this.#prefixLengths.get(length) ?? 0) + by
    if (count === 0) this.#prefixLengths.delete(length)
    else this.#prefixLengths.set(length, count)
  }
}

function isPrefix({ start, end }: KeyInterval): boolean {
  return end !== undefined && end === mapKey(prefixEnd(fromMapKey(start)))
}

function addTo<Watcher>(watchers: Map<string, Set<Watcher>>, name: string, watcher: Watcher): void {
  const present = watchers.get(name)
  if (present === undefined) watchers.set(name, new Set([watcher]))
  else present.add(watcher)
}

function removeFrom<Watcher>(watchers: Map<string, Set<Watcher>>, name: string, watcher: Watcher): void {
  const present = watchers.get(name)
  if (present === undefined || !present.delete(watcher) || present.size > 0) return
  watchers.delete(name)
}
