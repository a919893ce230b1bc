/** Counts by name. */
export class Tally {
  readonly #counts = new Map<string, number>()

  add(name: string, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count)
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0
  }

  /** The most frequent first. */
  entries(): [string, number][] {
    return [...this.#counts].toSorted(([a, m], [b, n]) => n - m || a.localeCompare(b))
  }

  toString(): string {
    return this.entries()
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  }
}
