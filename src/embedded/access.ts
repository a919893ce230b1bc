import type { DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest } from '../wire/gen/rpc.g.ts'
import type { CallContext } from './service.ts'

/**
 * Who may do what. Each method throws a refusal when the caller may not, and does nothing while
 * authentication is off.
 */
export interface AccessControl {
  range(context: CallContext, request: RangeRequest): void
  put(context: CallContext, request: PutRequest): void
  deleteRange(context: CallContext, request: DeleteRangeRequest): void
  /** Asked before anything of the transaction is applied. */
  txn(context: CallContext, request: TxnRequest): void
  compact(context: CallContext): void
  /** `keys`: those attached to the lease, which revoking deletes. */
  leaseRevoke(context: CallContext, keys: readonly Uint8Array[]): void
  /** `keys`: those the answer would name; none when the request does not ask for them. */
  leaseTimeToLive(context: CallContext, keys: readonly Uint8Array[]): void
  /** Of grants, renewals and lists. */
  lease(context: CallContext): void
  watch(context: CallContext, key: Uint8Array, rangeEnd: Uint8Array): void
  /** Calls for root alone: members, maintenance, users and roles. */
  admin(context: CallContext): void
}
