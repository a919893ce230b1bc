import type { Client } from '../src/client/client.ts'
import { compare } from '../src/client/compare.ts'
import type { KeyValue } from '../src/client/key-value.ts'
import { checkCall } from '../src/client/kv.ts'
import { op } from '../src/client/op.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import { checkOptions } from '../src/support/options.ts'
import { type Bytes, toBytes } from '../src/wire/bytes.ts'
import type { ChangeOptions } from './counter.ts'
import { checkName } from './lock-options.ts'
import { type StmResult, stm } from './stm.ts'
import type { TransactionKeyValue } from './transaction.ts'
import { valuesOf, type WatchValueOptions } from './watched-value.ts'

/**
 * One value that many change, none on top of a change it has not seen.
 *
 * Keys      `<name>`
 * Steps     `compareAndSet`: in one transaction, write it if its revision is the one given.   `update`: see {@link stm}
 * Safety    linearizable; no update is lost.
 * Liveness  of those who change it at once one succeeds each time.
 * Not       for large values changed in small parts: give each part a key, and change them in a transaction.
 * Cost      1 round trip for each but `update`, which takes 2, and one for each batch of those in one process.
 */
export class VersionedValue {
  readonly #client: Client
  readonly #key: Uint8Array

  constructor(client: Client, name: Bytes) {
    this.#client = client
    this.#key = toBytes(checkName(name, 'a value'))
  }

  /** Resolves with the value and its `modRevision`, undefined if there is none. */
  async get(options: CallOptions = {}): Promise<KeyValue | undefined> {
    options = checkCall(options, [], 'get')
    return this.#client.get(this.#key, options)
  }

  /** Whatever it was before. Resolves with the revision of the new value. */
  async set(value: Bytes, options: CallOptions = {}): Promise<bigint> {
    options = checkCall(options, [], 'set')
    return (await this.#client.put(this.#key, value, options)).revision
  }

  /**
   * Sets it if it was last written at `modRevision`; 0 for a value that does not exist. Resolves with the revision
   * of the new value, undefined if somebody was faster. Not repeated when its outcome is unknown.
   */
  async compareAndSet(
    modRevision: bigint,
    value: Bytes,
    options: CallOptions = {},
  ): Promise<bigint | undefined> {
    options = checkCall(options, [], 'compareAndSet')
    const { succeeded, revision } = await this.#client.txn(
      { if: [compare(this.#key).modRevision.equals(modRevision)], then: [op.put(this.#key, value)] },
      options,
    )
    return succeeded ? revision : undefined
  }

  /** Replaces it by what `next` makes of it, as often as it takes; undefined deletes it. */
  async update<Next extends Bytes | undefined>(
    next: (current: TransactionKeyValue | undefined) => Next | Promise<Next>,
    options: ChangeOptions = {},
  ): Promise<StmResult<Next>> {
    if (typeof next !== 'function') throw new TypeError('update: takes a function of the value')
    options = checkOptions(options, ['exactlyOnce', 'maxAttempts', 'signal'], 'update')
    return stm(
      this.#client.engine,
      this.#client.space,
      async tx => {
        const value = await next(await tx.get(this.#key))
        if (value === undefined) tx.delete(this.#key)
        else tx.put(this.#key, value)
        return value
      },
      options,
    )
  }

  /** The value as it is, then every value it takes; undefined while there is none. See {@link valuesOf}. */
  watch(options: WatchValueOptions = {}): AsyncIterable<KeyValue | undefined> {
    return valuesOf(this.#client, this.#key, kv => kv, options)
  }
}
