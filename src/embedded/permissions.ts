import { compareBytes } from '../wire/bytes.ts'
import { type Permission, PermissionType } from '../wire/gen/auth.g.ts'

/** What a request wants to do with keys. */
export type Access = 'read' | 'write'

/** Keys from `begin` up to, not including, `end`; without an end all from `begin` on. */
interface Interval {
  readonly begin: Uint8Array
  readonly end: Uint8Array | undefined
}

/** Everything the roles of one user allow together: neighbouring permissions join into one. */
export class Permissions {
  readonly #intervals: Readonly<Record<Access, readonly Interval[]>>

  constructor(permissions: Iterable<Permission>) {
    const read: Interval[] = []
    const write: Interval[] = []
    for (const permission of permissions) {
      const interval = intervalOf(permission.key, permission.rangeEnd)
      if (permission.type !== PermissionType.write) read.push(interval)
      if (permission.type !== PermissionType.read) write.push(interval)
    }
    this.#intervals = { read: joined(read), write: joined(write) }
  }

  /** May the single key, or with a range end every key of the range, be accessed so? */
  allow(access: Access, key: Uint8Array, rangeEnd: Uint8Array): boolean {
    const wanted = intervalOf(key, rangeEnd)
    return this.#intervals[access].some(interval => covers(interval, wanted))
  }
}

/** A range end of nothing means the key alone, a single zero byte means no end. */
function intervalOf(key: Uint8Array, rangeEnd: Uint8Array): Interval {
  if (rangeEnd.length === 0) return { begin: key, end: following(key) }
  return { begin: key, end: rangeEnd.length === 1 && rangeEnd[0] === 0 ? undefined : rangeEnd }
}

/** The first key after this one. */
function following(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}

function joined(intervals: readonly Interval[]): readonly Interval[] {
  const result: Interval[] = []
  for (const interval of intervals.toSorted((one, other) => compareBytes(one.begin, other.begin))) {
    const last = result.at(-1)
    if (last === undefined || compareEnds(last.end, interval.begin) < 0) result.push(interval)
    else if (compareEnds(interval.end, last.end) > 0) {
      result[result.length - 1] = { begin: last.begin, end: interval.end }
    }
  }
  return result
}

/** A range whose ends are swapped holds no keys; what counts is where it begins. */
function covers(interval: Interval, wanted: Interval): boolean {
  return (
    compareBytes(interval.begin, wanted.begin) <= 0 &&
    compareEnds(interval.end, wanted.begin) > 0 &&
    compareEnds(interval.end, wanted.end) >= 0
  )
}

/** No end is beyond every end. */
function compareEnds(one: Uint8Array | undefined, other: Uint8Array | undefined): number {
  if (one === undefined) return other === undefined ? 0 : 1
  return other === undefined ? -1 : compareBytes(one, other)
}
