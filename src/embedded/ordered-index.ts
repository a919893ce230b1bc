/** Something kept in order of its name. */
export interface Named {
  readonly name: string
}

/**
 * Values in order of their names, in blocks of a few hundred: finding is two binary searches, adding and
 * removing move no more than a block, and visiting a range costs what it visits. Arrays beat trees of objects
 * here, in memory as in time.
 *
 * Invariants: no block is empty, names ascend within a block and from one block to the next.
 */
export class OrderedIndex<Value extends Named> {
  readonly #blocks: Value[][] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The name must not be in it. */
  add(value: Value): void {
    this.#size += 1
    const at = Math.max(0, this.#blockOf(value.name))
    const block = this.#blocks[at]
    if (block === undefined) {
      this.#blocks.push([value])
      return
    }
    block.splice(lowerBound(block, value.name), 0, value)
    if (block.length > LONGEST_BLOCK) this.#blocks.splice(at + 1, 0, block.splice(LONGEST_BLOCK / 2))
  }

  /** Quiet when the name is not in it. */
  remove(name: string): void {
    const at = this.#blockOf(name)
    const block = this.#blocks[at]
    if (block === undefined) return
    const index = lowerBound(block, name)
    if (block[index]?.name !== name) return
    this.#size -= 1
    block.splice(index, 1)
    if (block.length === 0) this.#blocks.splice(at, 1)
  }

  /** Those from `start` to before `end`, to the last one where there is no end, until `visitor` answers false. */
  visit(start: string, end: string | undefined, visitor: (value: Value) => boolean): void {
    let at = Math.max(0, this.#blockOf(start))
    let index = this.#blocks[at] === undefined ? 0 : lowerBound(this.#blocks[at]!, start)
    for (; at < this.#blocks.length; at++, index = 0) {
      const block = this.#blocks[at]!
      for (; index < block.length; index++) {
        const value = block[index]!
        if (end !== undefined && value.name >= end) return
        if (!visitor(value)) return
      }
    }
  }

  /** How many there are from `start` to before `end`, without visiting them. */
  count(start: string, end: string | undefined): number {
    if (end !== undefined && end <= start) return 0
    const first = Math.max(0, this.#blockOf(start))
    const last = end === undefined ? this.#blocks.length - 1 : Math.max(0, this.#blockOf(end))
    if (this.#blocks.length === 0) return 0
    const before = lowerBound(this.#blocks[first]!, start)
    const beyond = end === undefined ? this.#blocks[last]!.length : lowerBound(this.#blocks[last]!, end)
    let count = beyond - before
    for (let at = first; at < last; at++) count += this.#blocks[at]!.length
    return count
  }

  /** The last block that starts at or before the name; -1 when every block starts behind it. */
  #blockOf(name: string): number {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#blocks[middle]![0]!.name <= name) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

const LONGEST_BLOCK = 512

/** The first place whose name is not before `name`. */
function lowerBound(block: readonly Named[], name: string): number {
  let low = 0
  let high = block.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (block[middle]!.name < name) low = middle + 1
    else high = middle
  }
  return low
}
