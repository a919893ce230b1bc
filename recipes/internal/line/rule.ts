import { prefixEnd } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { CompareResult, CompareTarget, type Compare as WireCompare } from '../../../src/wire/gen/rpc.g.ts'
import type { Entry, KeysOfSession } from './entry.ts'

/** Compares as they travel, all of which must hold. */
export type Condition = readonly Init<WireCompare>[]

/** What distinguishes one recipe that stands in a line from another: whom it waits for. */
export interface Rule {
  /**
   * `ignored`: order alone decides, so writes to keys of the line are kept from us by the server. `read`: values
   * decide, too, and may change while we wait.
   */
  readonly values: 'ignored' | 'read'
  readonly keys: KeysOfSession
  /**
   * Must `mine` wait for `earlier`, which was created before it? Once it need not, it never must again: a set of
   * earlier entries that has become free stays so.
   */
  blocks(earlier: Entry, mine: Entry): boolean
  /** Ways to tell, by compares alone, that a newcomer waits for nobody: any one of them will do. */
  vacant(prefix: Uint8Array): readonly [Condition, ...Condition[]]
  /** Is an own key with this value, found where ours was to be created, what we wanted? */
  adopts(value: Uint8Array): boolean
}

/** A mutex, an election: everybody earlier. */
export const oneAtATime: Rule = {
  values: 'ignored',
  keys: 'one',
  blocks: () => true,
  vacant: prefix => [[empty(prefix)]],
  adopts: () => true,
}

/** No key begins with this. */
export function empty(prefix: Uint8Array): Init<WireCompare> {
  return emptyRange(prefix, prefixEnd(prefix))
}

export function emptyRange(key: Uint8Array, rangeEnd: Uint8Array): Init<WireCompare> {
  return {
    key,
    rangeEnd,
    target: CompareTarget.createRevision,
    result: CompareResult.equal,
    operand: { kind: 'createRevision', value: 0n },
  }
}

/** No key that begins with this was created, or written, after this revision. */
export function unchangedSince(prefix: Uint8Array, revision: bigint): Init<WireCompare> {
  return {
    key: prefix,
    rangeEnd: prefixEnd(prefix),
    target: CompareTarget.modRevision,
    result: CompareResult.less,
    operand: { kind: 'modRevision', value: revision + 1n },
  }
}
