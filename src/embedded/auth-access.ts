import type {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from '../wire/gen/rpc.g.ts'
import type { AccessControl } from './access.ts'
import type { AuthStore, Identity } from './auth-store.ts'
import type { CallContext } from './service.ts'
import { refuse } from './statuses.ts'

/** A single key has no range end. */
const NO_END = new Uint8Array()

/** The keys attached to a lease; none where there is no such lease. */
export type LeaseKeys = (leaseId: bigint) => Iterable<Uint8Array>

/**
 * Admits calls by the token they carry. Where etcd 3.5.16 leaves something open that later patches closed
 * (nested transactions, watches without an end), this is as strict as those.
 */
export class AuthAccess implements AccessControl {
  readonly #store: AuthStore
  readonly #leaseKeys: LeaseKeys

  constructor(store: AuthStore, leaseKeys: LeaseKeys) {
    this.#store = store
    this.#leaseKeys = leaseKeys
  }

  range(context: CallContext, request: RangeRequest): void {
    if (!this.#store.enabled) return
    this.#read(this.identify(context), request.key, request.rangeEnd)
  }

  put(context: CallContext, request: PutRequest): void {
    if (!this.#store.enabled) return
    this.#put(this.identify(context), request)
  }

  deleteRange(context: CallContext, request: DeleteRangeRequest): void {
    if (!this.#store.enabled) return
    this.#deleteRange(this.identify(context), request)
  }

  txn(context: CallContext, request: TxnRequest): void {
    if (!this.#store.enabled) return
    this.#txn(this.identify(context), request)
  }

  compact(context: CallContext): void {
    this.identify(context)
  }

  /** Who may not write a key may not delete it by way of its lease either. */
  leaseRevoke(context: CallContext, keys: readonly Uint8Array[]): void {
    if (!this.#store.enabled) return
    this.#writeAll(this.identify(context), keys)
  }

  leaseTimeToLive(context: CallContext, keys: readonly Uint8Array[]): void {
    if (!this.#store.enabled) return
    const identity = this.identify(context)
    // Asked for even where the lease has no keys, as etcd does.
    if (identity === undefined) throw refuse.userEmpty()
    for (const key of keys) this.#read(identity, key, NO_END)
  }

  lease(context: CallContext): void {
    this.identify(context)
  }

  watch(context: CallContext, key: Uint8Array, rangeEnd: Uint8Array): void {
    if (!this.#store.enabled) return
    this.#read(this.identify(context), key, rangeEnd)
  }

  admin(context: CallContext): void {
    if (!this.#store.enabled) return
    this.#store.checkAdmin(this.identify(context))
  }

  /** Throws for a token that is not valid, whatever the call. */
  identify(context: CallContext): Identity | undefined {
    return this.#store.identify(context.metadata.token ?? context.metadata.authorization)
  }

  #read(identity: Identity | undefined, key: Uint8Array, rangeEnd: Uint8Array): void {
    this.#store.checkKeys(identity, 'read', key, rangeEnd)
  }

  #write(identity: Identity | undefined, key: Uint8Array, rangeEnd: Uint8Array): void {
    this.#store.checkKeys(identity, 'write', key, rangeEnd)
  }

  /** A lease that holds keys one may not write cannot be revoked by one, so nothing may be attached to it either. */
  #put(identity: Identity | undefined, { key, lease, prevKv }: PutRequest): void {
    this.#write(identity, key, NO_END)
    this.#writeAll(identity, this.#leaseKeys(lease))
    if (prevKv) this.#read(identity, key, NO_END)
  }

  #deleteRange(identity: Identity | undefined, { key, rangeEnd, prevKv }: DeleteRangeRequest): void {
    this.#write(identity, key, rangeEnd)
    if (prevKv) this.#read(identity, key, rangeEnd)
  }

  #txn(identity: Identity | undefined, { compare, success, failure }: TxnRequest): void {
    for (const { key, rangeEnd } of compare) this.#read(identity, key, rangeEnd)
    for (const operation of [...success, ...failure]) this.#operation(identity, operation)
  }

  #operation(identity: Identity | undefined, { request }: RequestOp): void {
    switch (request?.kind) {
      case undefined:
        return
      case 'range':
        return this.#read(identity, request.value.key, request.value.rangeEnd)
      case 'put':
        // etcd asks for less here than of a put by itself: neither the lease nor the previous value.
        return this.#write(identity, request.value.key, NO_END)
      case 'deleteRange':
        return this.#deleteRange(identity, request.value)
      case 'txn':
        return this.#txn(identity, request.value)
    }
  }

  #writeAll(identity: Identity | undefined, keys: Iterable<Uint8Array>): void {
    for (const key of keys) this.#write(identity, key, NO_END)
  }
}
