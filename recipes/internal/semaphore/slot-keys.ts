import type { KeySpace } from '../../../src/client/key-space.ts'
import { concat, equalBytes, prefixEnd, text, toBytes } from '../../../src/wire/bytes.ts'
import { linePrefix } from '../line/claim.ts'

/** Numbers of slots have as many digits as its largest, so that keys of slots are in the order of their numbers. */
export const PERMITS_LIMIT = 9999
const DIGITS = String(PERMITS_LIMIT).length
const SLOT = /^\d{4}$/

/** The keys of one semaphore, as etcd has them. */
export class SlotKeys {
  /** Holds how many permits there are. */
  readonly limit: Uint8Array
  /** All keys of slots begin with it. */
  readonly slots: Uint8Array
  readonly slotsEnd: Uint8Array
  /** All keys of those who wait begin with it. */
  readonly waiters: Uint8Array

  constructor(space: KeySpace, name: Uint8Array) {
    const base = linePrefix(space, name)
    this.limit = concat(base, toBytes('limit'))
    this.slots = concat(base, toBytes('s/'))
    this.slotsEnd = prefixEnd(this.slots)
    this.waiters = concat(base, toBytes('w/'))
  }

  slot(number: number): Uint8Array {
    return concat(this.slots, toBytes(String(number).padStart(DIGITS, '0')))
  }

  /** Undefined for a key below the prefix that stands for no slot. */
  numberOf(key: Uint8Array): number | undefined {
    if (key.length !== this.slots.length + DIGITS) return undefined
    if (!equalBytes(key.subarray(0, this.slots.length), this.slots)) return undefined
    const digits = text(key.subarray(this.slots.length))
    return SLOT.test(digits) ? Number(digits) : undefined
  }

  /** The slots among these keys. */
  numbersOf(kvs: Iterable<{ readonly key: Uint8Array }>): readonly number[] {
    return [...kvs].map(({ key }) => this.numberOf(key)).filter(number => number !== undefined)
  }
}
