import { compare } from '../src/client/compare.ts'
import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall, KV } from '../src/client/kv.ts'
import { op } from '../src/client/op.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import { checkInteger, checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, text, toBytes } from '../src/wire/bytes.ts'
import { EtcdError } from '../src/wire/errors.ts'
import { orAborted } from './internal/signals.ts'
import { checkName } from './lock-options.ts'

export interface IdBlocksOptions {
  /** Ids per block, the same for all who use the name. Default: 1000. */
  readonly size?: number | undefined
}

/** Ids from `first` to the last one before `end`, nobody else's. */
export interface IdBlock {
  readonly first: bigint
  readonly end: bigint
}

const SIZE = 1000
const MOST = 1_000_000_000

/**
 * Unique ids by the thousand: each process fetches a block and gives them out itself.
 *
 * Keys      `<name>`, holding the size of a block. Its version is the number of blocks given out.
 * Steps     1. ids left in the block at hand? the next of them   2. else, in one transaction, write the key if the
 *           size in it is ours, and read its version v: the block is (v − 1) × size to v × size
 * Safety    an id is given once, across processes, unless the key is deleted. What is left of a block when its
 *           process ends is given to nobody. Another size under the same name is FAILED_PRECONDITION.
 * Liveness  no conflicts. All who wait for a block in one process wait for one request.
 * Not       in order across processes, and not without gaps: see {@link Sequence}.
 * Cost      1 round trip per block.
 */
export class IdBlocks {
  readonly #engine: Engine
  readonly #kv: KV
  readonly #key: Uint8Array
  readonly #size: bigint
  #block: IdBlock = { first: 0n, end: 0n }
  #fetching: Promise<void> | undefined

  constructor(engine: Engine, space: KeySpace, name: Bytes, options: IdBlocksOptions = {}) {
    const { size = SIZE } = checkOptions(options, ['size'], 'idBlocks')
    this.#engine = engine
    this.#kv = new KV(engine.submitter, space)
    this.#key = toBytes(checkName(name, 'a name of ids'))
    this.#size = BigInt(checkInteger(size, 'size', { min: 1, max: MOST }))
  }

  /**
   * Resolves with an id nobody else has. Ids of one process ascend. Aborting ends this wait alone: the block that is
   * on its way serves the others, and whoever comes.
   */
  async next(options: Pick<CallOptions, 'signal'> = {}): Promise<bigint> {
    const { signal } = checkOptions(options, ['signal'], 'next')
    checkSignal(signal, 'next')
    signal?.throwIfAborted()
    while (this.#block.first >= this.#block.end) {
      this.#fetching ??= this.block()
        .then(block => {
          this.#block = block
        })
        .finally(() => {
          this.#fetching = undefined
        })
      await orAborted(this.#engine, [signal], this.#fetching)
    }
    const { first, end } = this.#block
    this.#block = { first: first + 1n, end }
    return first
  }

  /** Resolves with a whole block, to be given out by the caller. */
  async block(options: CallOptions = {}): Promise<IdBlock> {
    options = checkCall(options, [], 'block')
    const size = String(this.#size)
    const take = [op.put(this.#key, size), op.range(this.#key)] as const
    const result = await this.#kv.txn(
      {
        if: [compare(this.#key).value.equals(size)],
        then: take,
        // There is no "or" among compares: the first block of all is taken by a transaction within.
        else: [op.txn({ if: [compare(this.#key).version.equals(0n)], then: take })],
      },
      options,
    )
    const taken = result.succeeded
      ? result.results
      : result.results[0].succeeded
        ? result.results[0].results
        : undefined
    const version = taken?.[1].kvs[0]?.version
    if (version === undefined) {
      throw new EtcdError(
        'FAILED_PRECONDITION',
        `[FAILED_PRECONDITION] the blocks of ${text(this.#key)} have another size than ${size}`,
        { outcome: 'rejected' },
      )
    }
    return { first: (version - 1n) * this.#size, end: version * this.#size }
  }
}
