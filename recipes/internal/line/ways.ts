import { part } from '../../../src/client/response-part.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { RequestOp, ResponseOp, TxnRequest, TxnResponse } from '../../../src/wire/gen/rpc.g.ts'
import type { Condition } from './rule.ts'

/** A transaction that does `then` if any of the ways holds, and `otherwise` if none does: one inside the other. */
export function anyOf(
  ways: readonly Condition[],
  then: readonly Init<RequestOp>[],
  otherwise: readonly Init<RequestOp>[],
): Init<TxnRequest> {
  const [way, ...rest] = ways
  if (way === undefined) return { success: otherwise }
  const failure: readonly Init<RequestOp>[] =
    rest.length === 0 ? otherwise : [{ request: { kind: 'txn', value: anyOf(rest, then, otherwise) } }]
  return { compare: way, success: then, failure }
}

export interface WayTaken {
  /** Did any way hold? */
  readonly succeeded: boolean
  readonly responses: readonly ResponseOp[]
}

/** Follows the answer to a transaction made by {@link anyOf} of so many ways to what was done. */
export function wayTaken(
  { succeeded, responses }: Pick<TxnResponse, 'succeeded' | 'responses'>,
  ways: number,
): WayTaken {
  if (ways === 0) return { succeeded: false, responses }
  for (let way = 1; !succeeded && way < ways; way++) ({ succeeded, responses } = part(responses[0], 'txn'))
  return { succeeded, responses }
}
