import { type Bytes, compareBytes, ownBytes, prefixEnd, printable } from '../wire/bytes.ts'

const ZERO = Uint8Array.of(0)
const NO_END = new Uint8Array(0)

const BRAND = Symbol.for('quorate.KeyRange')

/** Some keys in a row: what can be read, deleted or watched at once. Made by the functions below it. */
export class KeyRange {
  /** The first key. */
  readonly key: Uint8Array
  /** The first key beyond. Empty: `key` alone. A single zero byte: to the last key there is. */
  readonly end: Uint8Array

  constructor(key: Uint8Array, end: Uint8Array) {
    this.key = key
    this.end = end
    Object.defineProperty(this, BRAND, { value: true })
    Object.freeze(this)
  }

  /** Is this a KeyRange, possibly of another installed copy of the package? */
  static is(value: unknown): value is KeyRange {
    return typeof value === 'object' && value !== null && BRAND in value
  }
}

/** All keys that begin with `start`; every key if it is empty. */
export function prefix(start: Bytes): KeyRange {
  const bytes = ownBytes(start)
  return bytes.length === 0 ? everything : new KeyRange(bytes, prefixEnd(bytes))
}

/** From `first` to the last key before `end`. */
export function between(first: Bytes, end: Bytes): KeyRange {
  const range = new KeyRange(keyBytes(first), keyBytes(end))
  if (compareBytes(range.end, range.key) > 0) return range
  throw new RangeError(
    `a range that ends before it begins: from ${printable(range.key)} to ${printable(range.end)}`,
  )
}

/** `first` and every key after it. */
export function from(first: Bytes): KeyRange {
  return new KeyRange(keyBytes(first), ZERO)
}

/** Every key there is. */
export const everything: KeyRange = new KeyRange(ZERO, ZERO)

/** A range as it is, a name as the range of that one key. */
export function rangeOf(keyOrRange: Bytes | KeyRange): KeyRange {
  return KeyRange.is(keyOrRange) ? keyOrRange : new KeyRange(keyBytes(keyOrRange), NO_END)
}

function keyBytes(key: Bytes): Uint8Array {
  const bytes = ownBytes(key)
  if (bytes.length === 0) throw new RangeError('an empty key: etcd has none')
  return bytes
}
