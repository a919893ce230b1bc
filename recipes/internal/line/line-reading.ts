import type { Engine } from '../../../src/client/engine.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import { prefixEnd } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { type RangeRequest, type RangeResponse, SortOrder, SortTarget } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { type Entry, entryOf } from './entry.ts'
import type { Rule } from './rule.ts'

/** Up to so many places ahead are followed one by one; further back, a place follows only its predecessor. */
export const NEAR = 64

/** The head of a line as it stood at one revision, the oldest first. */
export interface LineReading {
  readonly revision: bigint
  readonly entries: readonly Entry[]
  /** There are more behind these. */
  readonly truncated: boolean
}

/**
 * The request for the head of the line: everybody near, and `ours` behind them, so many of one creation. Those come
 * in any order.
 */
export function lineRange(prefix: Uint8Array, values: Rule['values'], ours = 1): Init<RangeRequest> {
  return {
    key: prefix,
    rangeEnd: prefixEnd(prefix),
    sortOrder: SortOrder.ascend,
    sortTarget: SortTarget.createRevision,
    limit: BigInt(NEAR + ours),
    keysOnly: values === 'ignored',
  }
}

/** `revision` is that of the whole answer: the parts of a transaction carry none. */
export function lineReading({ kvs, more }: RangeResponse, revision: bigint): LineReading {
  return { revision, entries: kvs.map(entryOf), truncated: more }
}

/** Are more ahead than are followed one by one? */
export function isFar({ entries, truncated }: LineReading, { name, createRevision }: Entry): boolean {
  if (!truncated) return false
  const ahead = entries.filter(entry => entry.createRevision < createRevision)
  return ahead.length > NEAR || !entries.some(entry => entry.name === name)
}

/** May a place be there that is not seen, for there are more of its creation than were read? */
export function mayHide({ entries, truncated }: LineReading, { createRevision }: Entry): boolean {
  const last = entries.at(-1)
  return truncated && last !== undefined && last.createRevision <= createRevision
}

/** Everybody in a line, the oldest first. One round trip. */
export async function readWholeLine(
  engine: Engine,
  prefix: Uint8Array,
  options: CallOptions = {},
): Promise<readonly KeyValue[]> {
  const end = prefixEnd(prefix)
  const { kvs } = await engine.submitter.submit({
    method: methods.range,
    request: {
      key: prefix,
      rangeEnd: end,
      sortOrder: SortOrder.ascend,
      sortTarget: SortTarget.createRevision,
    },
    footprint: { reads: [{ key: prefix, end }], writes: [] },
    consistency: 'linearizable',
    ...options,
  })
  return kvs
}

/** Reads the head of the line as it is at `atLeast` or later. One round trip. */
export async function readLine(
  engine: Engine,
  prefix: Uint8Array,
  { values, ours }: { readonly values: Rule['values']; readonly ours: number },
  atLeast: bigint,
): Promise<LineReading> {
  const response = await engine.submitter.submit({
    method: methods.range,
    request: lineRange(prefix, values, ours),
    footprint: { reads: [{ key: prefix, end: prefixEnd(prefix) }], writes: [] },
    consistency: 'linearizable',
    atLeast,
  })
  return lineReading(response, response.header?.revision ?? 0n)
}
