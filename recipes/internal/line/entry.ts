import { hexOfLease, mapKey } from '../../../src/wire/bytes.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'

/**
 * How many keys a session may have in a line. `one`: its tasks take turns, in the layout that programs in other
 * languages share. `many`: every task has a key of its own, so those of one session can hold together.
 */
export type KeysOfSession = 'one' | 'many'

/** One key of a line, as far as its order is concerned. Lines are ordered by create revision. */
export interface Entry {
  /** The key in etcd, as the key of a map. */
  readonly name: string
  readonly key: Uint8Array
  readonly createRevision: bigint
  readonly modRevision: bigint
  /** 0 when it goes with no lease: then nobody's death removes it. */
  readonly lease: bigint
  /** Empty where the rule of the line does not read values. */
  readonly value: Uint8Array
}

export function entryOf({ key, createRevision, modRevision, lease, value }: KeyValue): Entry {
  return { name: mapKey(key), key, createRevision, modRevision, lease, value }
}

/**
 * Is this key no place in the line of this prefix? A place is the prefix followed by the hex of the lease it
 * goes with, and a number where a session may stand in the line more than once. Whatever else stands below the
 * prefix (the lock `a/b` below the lock `a`, somebody's plain key) is in the way all the same, since every
 * program with this layout waits for it.
 */
export function isForeign({ name, lease }: Entry, prefixLength: number, keys: KeysOfSession): boolean {
  if (lease === 0n) return true
  const place = name.slice(prefixLength)
  const hex = hexOfLease(lease)
  return keys === 'one'
    ? place !== hex
    : !place.startsWith(`${hex}-`) || !NUMBER.test(place.slice(hex.length + 1))
}

const NUMBER = /^[1-9]\d{0,8}$/
