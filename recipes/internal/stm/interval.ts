import type { Span } from '../../../src/client/footprint.ts'
import { fromMapKey, mapKey } from '../../../src/wire/bytes.ts'

/** Keys in a row, as etcd has them, one character for each byte: strings compare as etcd orders keys. */
export interface Interval {
  readonly from: string
  /** The first key beyond. */
  readonly to: string
}

/** Behind every key: no byte is a character as large as this. */
const BEYOND = '\uffff'
const NO_END = new Uint8Array(0)
const TO_THE_LAST = Uint8Array.of(0)

export function intervalOf({ key, end }: Span): Interval {
  const from = mapKey(key)
  if (end.length === 0) return only(from)
  return { from, to: end.length === 1 && end[0] === 0 ? BEYOND : mapKey(end) }
}

/** The interval of one key. */
export function only(key: string): Interval {
  return { from: key, to: after(key) }
}

/** The smallest key behind this one. */
export function after(key: string): string {
  return `${key}\0`
}

export function isOneKey({ from, to }: Interval): boolean {
  return to.length === from.length + 1 && to === after(from)
}

export function spanOf(interval: Interval): Span {
  return { key: fromMapKey(interval.from), end: endOf(interval) }
}

function endOf(interval: Interval): Uint8Array {
  if (isOneKey(interval)) return NO_END
  return interval.to === BEYOND ? TO_THE_LAST : fromMapKey(interval.to)
}

export function holds({ from, to }: Interval, key: string): boolean {
  return from <= key && key < to
}

export function overlap(one: Interval, other: Interval): boolean {
  return one.from < other.to && other.from < one.to
}

export function anyOverlap(some: Iterable<Interval>, others: readonly Interval[]): boolean {
  for (const one of some) for (const other of others) if (overlap(one, other)) return true
  return false
}

/** For maps. */
export function nameOf({ from, to }: Interval): string {
  return `${from}\uffff${to}`
}
