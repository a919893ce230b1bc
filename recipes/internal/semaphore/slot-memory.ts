/** So many slots are tried in one transaction. */
const TRIED_AT_ONCE = 16

/** What this client last knew of the slots of a semaphore: where looking for a free one is worth it. Never a proof. */
export class SlotMemory {
  readonly #taken = new Set<number>()

  /** They were read: all of these were taken, and no others. */
  seen(held: Iterable<number>): void {
    this.#taken.clear()
    this.taken(held)
  }

  taken(slots: Iterable<number>): void {
    for (const slot of slots) this.#taken.add(slot)
  }

  released(slots: Iterable<number>): void {
    for (const slot of slots) this.#taken.delete(slot)
  }

  /**
   * Which slots to ask for, each alternative in its turn: the lowest that look free first, then the lowest of all.
   * Several at once are asked for in one way only.
   */
  alternatives(count: number, limit: number): readonly (readonly number[])[] {
    const wanted = count === 1 ? TRIED_AT_ONCE : count
    const free: number[] = []
    const taken: number[] = []
    for (let slot = 0; slot < limit && free.length < wanted; slot++) {
      if (!this.#taken.has(slot)) free.push(slot)
      else if (taken.length < wanted) taken.push(slot)
    }
    const slots = [...free, ...taken].slice(0, wanted)
    return count === 1 ? slots.map(slot => [slot]) : [slots.toSorted((one, other) => one - other)]
  }
}

/** The lowest free slots, if there is room for so many: whoever still holds one beyond the limit counts as well. */
export function freeSlots(
  held: readonly number[],
  limit: number,
  count: number,
): readonly number[] | undefined {
  if (held.length + count > limit) return undefined
  const taken = new Set(held)
  const free: number[] = []
  for (let slot = 0; free.length < count; slot++) if (!taken.has(slot)) free.push(slot)
  return free
}
