/** Faults of one kind that overlap: what several of them meet is free again when the last is lifted. */
export class Overlap<Thing> {
  readonly #counts = new Map<Thing, number>()

  /** How many things are not free. */
  get size(): number {
    return this.#counts.size
  }

  has(thing: Thing): boolean {
    return this.#counts.has(thing)
  }

  /** Gives those that were free before. */
  add(things: readonly Thing[]): Thing[] {
    return things.filter(thing => {
      const count = this.#counts.get(thing) ?? 0
      this.#counts.set(thing, count + 1)
      return count === 0
    })
  }

  /** Gives those that are free now. */
  remove(things: readonly Thing[]): Thing[] {
    return things.filter(thing => {
      const left = (this.#counts.get(thing) ?? 0) - 1
      if (left > 0) this.#counts.set(thing, left)
      else this.#counts.delete(thing)
      return left <= 0
    })
  }
}
