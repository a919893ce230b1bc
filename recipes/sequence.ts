import { compare } from '../src/client/compare.ts'
import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall, KV } from '../src/client/kv.ts'
import { op } from '../src/client/op.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import { type Bytes, text, toBytes } from '../src/wire/bytes.ts'
import { EtcdError } from '../src/wire/errors.ts'
import { checkName } from './lock-options.ts'

/**
 * Numbers without a gap, each given once, in the order in which they are asked for.
 *
 * Keys      `<name>`, empty. Its version is the number given last: etcd counts the writes of a key.
 * Steps     in one transaction, write the key if it is the one known, and read its version
 * Safety    1, 2, 3 …: unique and without a gap, across processes, and later calls get larger numbers. When the key
 *           is deleted the count would begin anew: whoever knew the old key is refused with FAILED_PRECONDITION,
 *           with outcome `unknown` if it did not know it yet when it asked. A request of outcome `unknown` may have
 *           used up a number.
 * Liveness  no conflicts, so nobody waits for anybody and nothing is ever tried again.
 * Not       cheap by the thousand, as each number is a write: see {@link IdBlocks}.
 * Cost      1 round trip for a number, contended or not.
 */
export class Sequence {
  readonly #kv: KV
  readonly #key: Uint8Array
  /** When the key that is counted on was created. */
  #birth: bigint | undefined

  constructor(engine: Engine, space: KeySpace, name: Bytes) {
    this.#kv = new KV(engine.submitter, space)
    this.#key = toBytes(checkName(name, 'a sequence'))
  }

  /** Resolves with the next number. */
  async next(options: CallOptions = {}): Promise<bigint> {
    options = checkCall(options, [], 'next')
    const birth = this.#birth
    const result = await this.#kv.txn(
      {
        if: birth === undefined ? [] : [compare(this.#key).createRevision.equals(birth)],
        then: [op.put(this.#key, ''), op.range(this.#key)],
      },
      options,
    )
    const counted = result.succeeded ? result.results[1].kvs[0] : undefined
    if (counted === undefined) throw this.#begunAnew('rejected')
    // An answer that comes late knows no more than the first one.
    this.#birth ??= counted.createRevision
    // Asked before the first answer, and so without a compare: it counted on the other key.
    if (counted.createRevision !== this.#birth) throw this.#begunAnew('unknown')
    return counted.version
  }

  /** Resolves with the number given last, 0 if there was none. Gives none. One round trip. */
  async last(options: CallOptions = {}): Promise<bigint> {
    options = checkCall(options, [], 'last')
    return (await this.#kv.get(this.#key, options))?.version ?? 0n
  }

  #begunAnew(outcome: 'rejected' | 'unknown'): EtcdError {
    return new EtcdError(
      'FAILED_PRECONDITION',
      `[FAILED_PRECONDITION] the key of the sequence ${text(this.#key)} was deleted: its numbers would begin anew`,
      { outcome },
    )
  }
}
