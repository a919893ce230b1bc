import { Code } from '../support/codes.ts'
import { concat, hexOfLease, mapKey, prefixEnd, toBytes } from '../wire/bytes.ts'
import type { Init, MessageCodec } from '../wire/codec.ts'
import type { KeyValue } from '../wire/gen/kv.g.ts'
import {
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  FilterType,
  RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  TxnRequest,
} from '../wire/gen/rpc.g.ts'
import type { Core } from './core.ts'
import { intervalOf } from './key-interval.ts'
import { checkDeleteRange, checkSize, checkTxn } from './kv-checks.ts'
import { answerRange } from './range.ts'
import type { CallContext } from './service.ts'
import { StatusError } from './status-error.ts'
import { applyDeleteRange, applyTxn } from './txn.ts'

/** What a transaction under the create revision of one key came to. */
export interface GuardedAnswer {
  readonly succeeded: boolean
  readonly revision: bigint
}

/** The lease a lock or an election gets when it brings none: a minute, and nobody renews it. */
const LEASE_TTL = 60n
const LEASE_BYTES = 64

const NO_END: Uint8Array = new Uint8Array()

/**
 * A client inside the server: it acts with the permissions of whoever called, and what is refused to it
 * reaches them as UNKNOWN, since the words of such a refusal travel through Go without their status.
 */
export class InnerClient {
  readonly #core: Core
  readonly #context: CallContext

  constructor(core: Core, context: CallContext) {
    this.#core = core
    this.#context = context
  }

  /** The given lease, whether it exists or not; a new one for 0. */
  lease(given: bigint): bigint {
    if (given !== 0n) return given
    return this.#asUnknown(() => {
      this.#core.space.admit(LEASE_BYTES, this.#context.member.id)
      this.#core.access.lease(this.#context)
      this.#core.space.checkAlarm(LEASE_BYTES)
      return this.#core.lessor.grant(LEASE_TTL, 0n).id
    })
  }

  /** Refuses who may not read every key with the prefix. */
  checkReadable(prefix: Uint8Array): void {
    const request = complete(RangeRequest, { key: prefix, rangeEnd: prefixEnd(prefix) })
    this.#asUnknown(() => this.#core.access.range(this.#context, request))
  }

  /** The oldest key with the prefix; with a bound the youngest of those created before it. */
  first(prefix: Uint8Array, createdBefore?: bigint): KeyValue | undefined {
    const request = complete(RangeRequest, {
      key: prefix,
      rangeEnd: prefixEnd(prefix),
      limit: 1n,
      sortTarget: SortTarget.createRevision,
      ...(createdBefore === undefined
        ? { sortOrder: SortOrder.ascend }
        : { sortOrder: SortOrder.descend, maxCreateRevision: createdBefore - 1n }),
    })
    return this.#asUnknown(() => {
      this.#core.access.range(this.#context, request)
      // A bound below every revision would be no bound at all.
      if (createdBefore !== undefined && createdBefore <= 1n) return undefined
      return answerRange(this.#core.store, request).kvs?.[0] as KeyValue | undefined
    })
  }

  /** Puts the key of the lease unless it is there, and tells what then is there and the revision of the answer. */
  join(
    prefix: Uint8Array,
    lease: bigint,
    value: Uint8Array,
  ): { readonly own: KeyValue; readonly revision: bigint; readonly joined: 'now' | 'before' } {
    const key = concat(prefix, toBytes(hexOfLease(lease)))
    const { succeeded, revision } = this.#guarded(key, 0n, {
      success: [{ request: { kind: 'put', value: { key, value, lease } } }],
      failure: [{ request: { kind: 'range', value: { key } } }],
    })
    return { own: this.#core.store.get(mapKey(key))!, revision, joined: succeeded ? 'now' : 'before' }
  }

  /** Another value for a key, if it is still the one that was created then. */
  rewrite(key: Uint8Array, createRevision: bigint, value: Uint8Array, lease: bigint): GuardedAnswer {
    const success = [{ request: { kind: 'put' as const, value: { key, value, lease } } }]
    return this.#guarded(key, createRevision, { success })
  }

  /** Deletes a key, if it is still the one that was created then. */
  remove(key: Uint8Array, createRevision: bigint): GuardedAnswer {
    const success = [{ request: { kind: 'deleteRange' as const, value: { key } } }]
    return this.#guarded(key, createRevision, { success })
  }

  /** Deletes a key, whoever made it. Tells the revision of the answer. */
  delete(key: Uint8Array): bigint {
    const request = complete(DeleteRangeRequest, { key })
    return this.#asUnknown(() => {
      const { access, settings, space, store } = this.#core
      checkDeleteRange(request)
      checkSize(key.length, settings.maxRequestBytes)
      access.deleteRange(this.#context, request)
      space.checkAlarm(0)
      const write = store.begin()
      applyDeleteRange(write, request)
      write.commit()
      return store.revision
    })
  }

  /** What is left of a caller who is gone is deleted, whatever they may do by now. */
  abandon(own: KeyValue): void {
    const { store } = this.#core
    if (store.get(mapKey(own.key))?.createRevision !== own.createRevision) return
    const write = store.begin()
    applyDeleteRange(write, complete(DeleteRangeRequest, { key: own.key }))
    write.commit()
  }

  /** Resolves when no key with the prefix is older. Rejects when the caller is gone. */
  async untilFirst(prefix: Uint8Array, createRevision: bigint): Promise<void> {
    for (;;) {
      const ahead = this.first(prefix, createRevision)
      if (ahead === undefined) return
      await this.#deletion(ahead.key)
    }
  }

  /** As a watch of the member, so that a line of thousands costs a write elsewhere nothing. */
  #deletion(key: Uint8Array): Promise<void> {
    const { store } = this.#core
    const { watches } = this.#context.member
    return new Promise((resolve, reject) => {
      const stop = watches.follow(
        { interval: intervalOf(key, NO_END), from: store.revision + 1n, filters: [FilterType.noPut] },
        () => {
          stop()
          resolve()
        },
      )
      this.#context.onCancel(() => {
        stop()
        reject(new StatusError(Code.cancelled, 'context canceled'))
      })
    })
  }

  #guarded(
    key: Uint8Array,
    createRevision: bigint,
    branches: { readonly success: readonly Init<RequestOp>[]; readonly failure?: readonly Init<RequestOp>[] },
  ): GuardedAnswer {
    const request = complete(TxnRequest, {
      compare: [
        {
          target: CompareTarget.createRevision,
          result: CompareResult.equal,
          key,
          operand: { kind: 'createRevision', value: createRevision },
        },
      ],
      ...branches,
    })
    return this.#asUnknown(() => {
      const { access, settings, space } = this.#core
      const [write] = request.success
      const bytes = write?.request?.kind === 'put' ? key.length + write.request.value.value.length : 0
      if (bytes > 0) space.admit(bytes, this.#context.member.id)
      checkTxn(request, settings.maxTxnOps)
      checkSize(Math.max(bytes, key.length), settings.maxRequestBytes)
      access.txn(this.#context, request)
      space.checkAlarm(bytes)
      const { revision, response } = applyTxn(this.#core, request)
      return { succeeded: response.succeeded ?? false, revision }
    })
  }

  #asUnknown<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw new StatusError(Code.unknown, StatusError.from(error).message)
    }
  }
}

/** Every field that was left out has its default. */
function complete<Message>(codec: MessageCodec<Message>, init: Init<Message>): Message {
  return codec.decode(codec.encode(init))
}
