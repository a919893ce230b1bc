import { mapKey } from '../wire/bytes.ts'

/** A key or a range of keys, in names: one character for each byte, so that strings compare as keys do. */
export interface KeyInterval {
  readonly start: string
  /** Exclusive; `undefined`: no end. */
  readonly end: string | undefined
  /** One key, not a range that could hold several. */
  readonly single: boolean
}

/** As etcd reads it: no range end is one key, a single zero byte is no end. */
export function intervalOf(key: Uint8Array, rangeEnd: Uint8Array): KeyInterval {
  const start = mapKey(key)
  // Between a key and the same key with a zero byte there is nothing else.
  if (rangeEnd.length === 0) return { start, end: `${start}\0`, single: true }
  return { start, end: isOpenEnd(rangeEnd) ? undefined : mapKey(rangeEnd), single: false }
}

export function contains({ start, end }: KeyInterval, name: string): boolean {
  return name >= start && (end === undefined || name < end)
}

function isOpenEnd(rangeEnd: Uint8Array): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0
}
