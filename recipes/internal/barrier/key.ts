import { createdAtWire, modifiedAtWire } from '../../../src/client/compare.ts'
import type { Engine } from '../../../src/client/engine.ts'
import type { KeySpace } from '../../../src/client/key-space.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import { concat, equalBytes, printable, toBytes } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import type { TxnResponse } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { deleteOf, encoded, fieldsOf, NO_END, persist, putOf, readOf, versionOf } from './wire.ts'

/** What to create: a value nobody else writes, and the lease it goes with, 0 for none. */
export interface Closing {
  readonly value: Uint8Array
  readonly leaseId: bigint
}

/**
 * The key that closes a barrier by being there, and the one beside it that says which of its creations was
 * released. Every release writes the latter and every creation compares when that was: so a creation that is
 * applied late, after its barrier was released or given up, does nothing.
 */
export class BarrierKey {
  readonly key: Uint8Array
  readonly #state: Uint8Array
  readonly #engine: Engine

  constructor(engine: Engine, space: KeySpace, name: Uint8Array) {
    this.#engine = engine
    this.key = space.key(name)
    this.#state = concat(this.key, toBytes('.state'))
  }

  /**
   * Resolves with the create revision of the key, once it is ours. Rejects with ALREADY_EXISTS if it is somebody
   * else's. One round trip, one more where the name was used before. `unanswered` is told when an attempt gets no
   * answer: then the key may be there, or appear, until `fence` is answered.
   */
  async create(
    { value, leaseId }: Closing,
    { signal, unanswered }: { readonly signal: AbortSignal; readonly unanswered: () => void },
  ): Promise<bigint> {
    for (let seen = 0n; ; ) {
      const { header, succeeded, responses } = await this.#engine.submitter.submit({
        method: methods.txn,
        request: {
          compare: [createdAtWire(this.key, 0n), modifiedAtWire(this.#state, seen)],
          success: [putOf(this.key, value, leaseId)],
          failure: [readOf(this.key), readOf(this.#state)],
        },
        footprint: { reads: this.#spans, writes: this.#spans },
        // Made twice, it finds a value that is ours alone.
        repeat: 'idempotent',
        signal,
        onUnanswered: unanswered,
      })
      if (succeeded) return revisionOf(header)
      const [found, state] = responses.map(answer => part(answer, 'range').kvs[0])
      if (found !== undefined && equalBytes(found.value, value)) return found.createRevision
      const now = state?.modRevision ?? 0n
      if (found !== undefined || now === seen) throw alreadyHeld(this.key)
      seen = now
    }
  }

  /** From its answer on, no creation that is still on its way is applied. Resolves with the key as it is then. */
  async fence(until: AbortSignal): Promise<KeyValue | undefined> {
    const { responses } = await persist(this.#engine, until, () =>
      this.#write({
        compare: [versionOf(this.#state, 'greater', 0n)],
        success: [
          { request: { kind: 'put', value: { key: this.#state, ignoreValue: true } } },
          readOf(this.key),
        ],
        failure: [putOf(this.#state, encoded({ released: '0' })), readOf(this.key)],
      }),
    )
    return part(responses[1], 'range').kvs[0]
  }

  /** Resolves when the key created at this revision is known to be gone, by us or by others. One round trip. */
  async release(createRevision: bigint, until: AbortSignal): Promise<void> {
    await persist(this.#engine, until, () =>
      this.#write({
        compare: [createdAtWire(this.key, createRevision)],
        success: [deleteOf(this.key), putOf(this.#state, encoded({ released: String(createRevision) }))],
        failure: [],
      }),
    )
  }

  /** The key as it is now. One round trip. */
  async read(signal: AbortSignal | undefined): Promise<KeyValue | undefined> {
    return (await this.#read(this.key, 0n, signal)).kvs[0]
  }

  /** Which creation was released last; 0 if none ever was. One round trip. */
  async released(atLeast: bigint, signal: AbortSignal | undefined): Promise<bigint> {
    const { kvs } = await this.#read(this.#state, atLeast, signal)
    return kvs[0] === undefined ? 0n : fieldsOf(kvs[0], 'a barrier', { released: 'bigint' }).released
  }

  #read(key: Uint8Array, atLeast: bigint, signal: AbortSignal | undefined) {
    return this.#engine.submitter.submit({
      method: methods.range,
      request: { key },
      footprint: { reads: [{ key, end: NO_END }], writes: [] },
      consistency: 'linearizable',
      atLeast,
      signal,
    })
  }

  /** All of these do once what they do twice. */
  #write(request: Parameters<typeof methods.txn.request.encode>[0]): Promise<TxnResponse> {
    const footprint = { reads: this.#spans, writes: this.#spans }
    return this.#engine.submitter.submit({ method: methods.txn, request, footprint, repeat: 'idempotent' })
  }

  get #spans(): readonly { readonly key: Uint8Array; readonly end: Uint8Array }[] {
    return [this.key, this.#state].map(key => ({ key, end: NO_END }))
  }
}

function alreadyHeld(key: Uint8Array): EtcdError {
  return new EtcdError('ALREADY_EXISTS', `[ALREADY_EXISTS] the barrier ${printable(key)} is closed already`, {
    outcome: 'rejected',
  })
}
