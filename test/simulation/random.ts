import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator'

/**
 * All chance of a simulation. Whoever needs some takes a fork under a name of its own, so that what one part
 * draws does not shift what the others get: a fault can be left out and the rest stays as it was.
 */
export class Random {
  readonly #seed: number
  readonly #generator: RandomGenerator

  constructor(seed: number) {
    this.#seed = seed | 0
    this.#generator = xoroshiro128plus(this.#seed)
  }

  fork(name: string): Random {
    let hash = this.#seed ^ 0x9e3779b9
    for (let index = 0; index < name.length; index++)
      hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193)
    return new Random(hash ^ (hash >>> 15))
  }

  /** In [0, 1). */
  next(): number {
    return uniformFloat64(this.#generator)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from)
  }

  /** Both ends included. */
  integer(from: number, to: number): number {
    return uniformInt(this.#generator, from, to)
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.integer(0, items.length - 1)] as Item
  }

  /** Waiting times between things that happen without memory, this long on average. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.integer(0, 255))
  }
}
