import type { Client } from '../src/client/client.ts'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import { checkOptions } from '../src/support/options.ts'
import { type Bytes, text, toBytes } from '../src/wire/bytes.ts'
import { EtcdError } from '../src/wire/errors.ts'
import { checkName } from './lock-options.ts'
import { type StmOptions, stm } from './stm.ts'
import type { Transaction } from './transaction.ts'
import { valuesOf, type WatchValueOptions } from './watched-value.ts'

/** How a change is made: as a transaction, with its options. */
export type ChangeOptions = Pick<StmOptions, 'exactlyOnce' | 'maxAttempts' | 'signal'>

const CHANGE_OPTIONS = ['exactlyOnce', 'maxAttempts', 'signal']
const LEAST = -(2n ** 63n)
const MOST = 2n ** 63n - 1n

/**
 * A number that many processes count in.
 *
 * Keys      `<name>`, as decimal digits; where there is no key it is 0. Any program that writes digits fits in.
 * Steps     a change is a transaction on that one key, see {@link stm}: read, then write if nothing has changed
 * Safety    linearizable. A change without an answer rejects with outcome `unknown`; with `exactlyOnce` it is found
 *           out. Beyond 64 bits it is refused with a RangeError, and nothing is changed.
 * Liveness  of processes that change it at once one succeeds each time; within a process the changes of a moment
 *           are made together.
 * Not       for numbers nobody needs at once: a counter per process, summed up by a range, has no conflicts at all.
 * Cost      2 round trips for a change alone; many at once: one commit for each batch of them. 1 for `get`.
 */
export class Counter {
  readonly #client: Client
  readonly #key: Uint8Array

  constructor(client: Client, name: Bytes) {
    this.#client = client
    this.#key = toBytes(checkName(name, 'a counter'))
  }

  /** Resolves with the number as it is. Rejects with FAILED_PRECONDITION if what is stored is no number. One round trip. */
  async get(options: CallOptions = {}): Promise<bigint> {
    options = checkCall(options, [], 'get')
    const found = await this.#client.get(this.#key, options)
    return this.#numberOf(found?.value)
  }

  /** Adds, or with a negative number subtracts. Resolves with the sum. */
  async add(delta: bigint | number = 1n, options: ChangeOptions = {}): Promise<bigint> {
    const by = checkNumber(delta, 'what to add')
    return this.#change('add', number => number + by, options)
  }

  /** Resolves with the new number, which `next` makes of the old one, as often as it takes. */
  async update(next: (number: bigint) => bigint | number, options: ChangeOptions = {}): Promise<bigint> {
    if (typeof next !== 'function') throw new TypeError('update: takes a function of the number')
    return this.#change('update', number => checkNumber(next(number), 'the new number'), options)
  }

  /** Sets it to `next` if it is `expected`. Resolves with whether it was. */
  async compareAndSet(
    expected: bigint | number,
    next: bigint | number,
    options: ChangeOptions = {},
  ): Promise<boolean> {
    options = checkOptions(options, CHANGE_OPTIONS, 'compareAndSet')
    const from = checkNumber(expected, 'the expected number')
    const to = this.#checkSize(checkNumber(next, 'the new number'))
    const { value } = await stm(
      this.#client.engine,
      this.#client.space,
      async tx => {
        if ((await this.#read(tx)) !== from) return false
        tx.put(this.#key, String(to))
        return true
      },
      options,
    )
    return value
  }

  /** The number as it is, then every number it becomes. See {@link valuesOf}. */
  watch(options: WatchValueOptions = {}): AsyncIterable<bigint> {
    return valuesOf(this.#client, this.#key, kv => this.#numberOf(kv?.value), options)
  }

  async #change(where: string, next: (number: bigint) => bigint, options: ChangeOptions): Promise<bigint> {
    options = checkOptions(options, CHANGE_OPTIONS, where)
    const { value } = await stm(
      this.#client.engine,
      this.#client.space,
      async tx => {
        const number = this.#checkSize(next(await this.#read(tx)))
        tx.put(this.#key, String(number))
        return number
      },
      options,
    )
    return value
  }

  async #read(tx: Transaction): Promise<bigint> {
    return this.#numberOf((await tx.get(this.#key))?.value)
  }

  #numberOf(value: Uint8Array | undefined): bigint {
    if (value === undefined) return 0n
    const digits = text(value)
    if (/^[+-]?\d+$/.test(digits)) return BigInt(digits)
    throw new EtcdError(
      'FAILED_PRECONDITION',
      `[FAILED_PRECONDITION] the counter ${this.#name} holds no number`,
      {
        outcome: 'rejected',
      },
    )
  }

  #checkSize(number: bigint): bigint {
    if (number >= LEAST && number <= MOST) return number
    throw new RangeError(`the counter ${this.#name} cannot be ${number}: it has 64 bits`)
  }

  get #name(): string {
    return text(this.#key)
  }
}

function checkNumber(value: unknown, what: string): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value)
  if (typeof value === 'number') throw new RangeError(`${what} is a whole number, got ${value}`)
  throw new TypeError(`${what} is a bigint or a whole number`)
}
