/** A value's place in a `DeadlineHeap`, to move or remove it by. */
export interface DeadlineEntry<Value> {
  readonly value: Value
  /** The instant it waits for; `Infinity` waits for none. */
  readonly atMs: number
}

/**
 * Values ordered by the instant each waits for, the earliest first. Adding, moving and removing take
 * O(log n), so thousands of deadlines can share one timer.
 *
 * Invariants: no entry is earlier than its parent at `(index - 1) >> 1`, and every entry knows its index.
 */
export class DeadlineHeap<Value> {
  readonly #entries: Entry<Value>[] = []

  get size(): number {
    return this.#entries.length
  }

  get first(): DeadlineEntry<Value> | undefined {
    return this.#entries[0]
  }

  add(value: Value, atMs: number): DeadlineEntry<Value> {
    const entry: Entry<Value> = { value, atMs, index: this.#entries.length }
    this.#entries.push(entry)
    this.#rise(entry)
    return entry
  }

  /** Has the entry wait for another instant. Ignored once it was removed. */
  move(handle: DeadlineEntry<Value>, atMs: number): void {
    const entry = this.#own(handle)
    if (entry === undefined) return
    entry.atMs = atMs
    this.#rise(entry)
    this.#sink(entry)
  }

  /** Quiet when the entry was removed before. */
  remove(handle: DeadlineEntry<Value>): void {
    const entry = this.#own(handle)
    if (entry === undefined) return
    const last = this.#entries.pop() as Entry<Value>
    if (last === entry) return
    this.#place(last, entry.index)
    this.#rise(last)
    this.#sink(last)
  }

  /** The entry behind a handle, found where it says it is: a removed one is not there any more. */
  #own(handle: DeadlineEntry<Value>): Entry<Value> | undefined {
    // Handles come from `add` alone, which makes nothing but entries.
    const entry = handle as Entry<Value>
    return this.#entries[entry.index] === entry ? entry : undefined
  }

  #rise(entry: Entry<Value>): void {
    while (entry.index > 0) {
      const index = entry.index
      const parent = this.#entries[(index - 1) >> 1] as Entry<Value>
      if (parent.atMs <= entry.atMs) return
      this.#place(entry, parent.index)
      this.#place(parent, index)
    }
  }

  #sink(entry: Entry<Value>): void {
    for (;;) {
      const index = entry.index
      const left = this.#entries[2 * index + 1]
      const right = this.#entries[2 * index + 2]
      const child = left !== undefined && right !== undefined && right.atMs < left.atMs ? right : left
      if (child === undefined || child.atMs >= entry.atMs) return
      this.#place(entry, child.index)
      this.#place(child, index)
    }
  }

  #place(entry: Entry<Value>, index: number): void {
    this.#entries[index] = entry
    entry.index = index
  }
}

interface Entry<Value> {
  readonly value: Value
  atMs: number
  index: number
}
