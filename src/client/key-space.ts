import { concat, equalBytes, prefixEnd } from '../wire/bytes.ts'
import type { Span } from './footprint.ts'
import { KeyRange } from './key-range.ts'

const NO_PREFIX = new Uint8Array(0)

/**
 * The one mapping between keys as a user of a namespace knows them and keys as etcd has them. Everything below
 * the recipes works with etcd's, so that a line or a watch reached through two views is one.
 */
export class KeySpace {
  static readonly whole: KeySpace = new KeySpace(NO_PREFIX)
  readonly #prefix: Uint8Array

  constructor(prefix: Uint8Array) {
    this.#prefix = prefix
  }

  /** The part of this space below `prefix`. */
  within(prefix: Uint8Array): KeySpace {
    return new KeySpace(concat(this.#prefix, prefix))
  }

  key(local: Uint8Array): Uint8Array {
    return this.#prefix.length === 0 ? local : concat(this.#prefix, local)
  }

  /** A range without an end stops where the namespace does. */
  range({ key, end }: KeyRange): KeyRange {
    if (end.length === 0) return new KeyRange(this.key(key), end)
    const open = end.length === 1 && end[0] === 0
    return new KeyRange(this.key(key), open ? prefixEnd(this.#prefix) : this.key(end))
  }

  /** `range`, as requests carry it. */
  span(range: KeyRange): Span {
    return this.#prefix.length === 0 ? range : this.range(range)
  }

  /** Does this key, as etcd has it, lie in here? */
  has(key: Uint8Array): boolean {
    return equalBytes(key.subarray(0, this.#prefix.length), this.#prefix)
  }

  /** Undoes `key`. */
  local(key: Uint8Array): Uint8Array {
    return this.#prefix.length === 0 ? key : key.subarray(this.#prefix.length)
  }
}
