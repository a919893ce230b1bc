import { KeyRange, prefix, rangeOf } from '../../../src/client/key-range.ts'
import type { KeySpace } from '../../../src/client/key-space.ts'
import { checkInteger, checkOptions, checkRevision } from '../../../src/support/options.ts'
import { type Bytes, fromMapKey, mapKey, text, toBytes } from '../../../src/wire/bytes.ts'
import type {
  Transaction,
  TransactionKeyValue,
  TransactionPutOptions,
  TransactionRangeOptions,
  TransactionReads,
} from '../../transaction.ts'
import { type Attempt, type Outcome, Retry } from './attempt.ts'
import { type Interval, intervalOf, only } from './interval.ts'
import type { Item } from './item.ts'
import { WriteLog } from './write-log.ts'

/** Called when it is committed. */
export type Hook = (revision: bigint) => void

/** Runs the function once, to its end. Never rejects. */
export async function execute(
  attempt: Attempt,
  fn: (tx: Transaction) => unknown,
): Promise<{ readonly outcome: Outcome; readonly hooks: readonly Hook[] }> {
  const tx = new StmTransaction(attempt, [attempt.log])
  attempt.settle(await runOn(tx, fn))
  return { outcome: await attempt.settled, hooks: tx.hooks }
}

async function runOn(tx: StmTransaction, fn: (tx: Transaction) => unknown): Promise<Outcome> {
  try {
    const value = await fn(tx)
    // Whoever catches all errors has not caught this one.
    return tx.retries ? { kind: 'retry' } : { kind: 'value', value }
  } catch (error) {
    return tx.retries ? { kind: 'retry' } : { kind: 'error', error }
  }
}

/** Reading through a namespace, from an attempt and the logs of writes above it. */
class Reads implements TransactionReads {
  readonly attempt: Attempt
  readonly logs: readonly WriteLog[]
  readonly #kind: 'recorded' | 'unrecorded'

  constructor(attempt: Attempt, logs: readonly WriteLog[], kind: 'recorded' | 'unrecorded') {
    this.attempt = attempt
    this.logs = logs
    this.#kind = kind
  }

  async get(key: Bytes): Promise<TransactionKeyValue | undefined> {
    const { space } = this.attempt
    const [item] = await this.attempt.read(keyOf(space, key), 0, this.logs, this.#kind)
    return item === undefined ? undefined : new Entry(item, space)
  }

  async getMany(keys: readonly Bytes[]): Promise<readonly (TransactionKeyValue | undefined)[]> {
    if (!Array.isArray(keys)) throw new TypeError('getMany: keys are a list')
    return Promise.all(keys.map(key => this.get(key)))
  }

  async range(
    range: KeyRange,
    options: TransactionRangeOptions = {},
  ): Promise<readonly TransactionKeyValue[]> {
    const { limit = 0 } = checkOptions(options, ['limit'], 'range')
    if (!KeyRange.is(range)) throw new TypeError('range: prefix(…), between(…), from(…) or everything')
    const { space } = this.attempt
    const interval = intervalOf(space.span(range))
    const items = await this.attempt.read(
      interval,
      checkInteger(limit, 'limit', { min: 0 }),
      this.logs,
      this.#kind,
    )
    return items.map(item => new Entry(item, space))
  }

  async prefix(start: Bytes, options: TransactionRangeOptions = {}): Promise<readonly TransactionKeyValue[]> {
    return this.range(prefix(start), options)
  }

  async has(key: Bytes): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }
}

class StmTransaction extends Reads implements Transaction {
  readonly hooks: Hook[] = []
  #retries = false

  constructor(attempt: Attempt, logs: readonly WriteLog[]) {
    super(attempt, logs, 'recorded')
  }

  get retries(): boolean {
    return this.#retries
  }

  get snapshot(): TransactionReads {
    return new Reads(this.attempt, this.logs, 'unrecorded')
  }

  async revision(key: Bytes): Promise<bigint> {
    return this.attempt.revision(keyOf(this.attempt.space, key))
  }

  put(key: Bytes, value: Bytes, options: TransactionPutOptions = {}): void {
    const { lease } = checkOptions(options, ['lease'], 'put')
    this.attempt.assertRunning()
    const bytes = toBytes(value, 'a value')
    this.#log.put(
      keyOf(this.attempt.space, key).from,
      // The caller may go on to use an array of its own.
      typeof value === 'string' ? bytes : Uint8Array.from(bytes),
      lease === undefined ? 0n : checkRevision(lease, 'lease'),
    )
  }

  delete(keyOrRange: Bytes | KeyRange): void {
    this.attempt.assertRunning()
    this.#log.delete(intervalOf(this.attempt.space.span(rangeOf(keyOrRange))))
  }

  deletePrefix(start: Bytes): void {
    this.delete(prefix(start))
  }

  retry(): never {
    this.#retries = true
    throw new Retry()
  }

  check<Value>(value: Value): Exclude<Value, undefined | null | false | 0 | 0n | ''> {
    if (!value) this.retry()
    return value as Exclude<Value, undefined | null | false | 0 | 0n | ''>
  }

  async orElse<First, Second>(
    first: (tx: Transaction) => First | Promise<First>,
    second: (tx: Transaction) => Second | Promise<Second>,
  ): Promise<First | Second> {
    const one = await this.#branch(first)
    if (one !== undefined) return one.value
    const other = await this.#branch(second)
    return other !== undefined ? other.value : this.retry()
  }

  afterCommit(action: Hook): void {
    if (typeof action !== 'function') throw new TypeError('afterCommit: takes a function')
    this.attempt.assertRunning()
    this.hooks.push(action)
  }

  /** Undefined if it retried. Only what has come to a value leaves anything behind. */
  async #branch<Value>(
    run: (tx: Transaction) => Value | Promise<Value>,
  ): Promise<{ readonly value: Value } | undefined> {
    const log = new WriteLog()
    const tx = new StmTransaction(this.attempt, [...this.logs, log])
    const outcome = await runOn(tx, run)
    switch (outcome.kind) {
      case 'value':
        this.#log.absorb(log)
        this.hooks.push(...tx.hooks)
        return { value: outcome.value as Value }
      case 'error':
        throw outcome.error
      default:
        return undefined
    }
  }

  get #log(): WriteLog {
    // Every transaction has one of its own.
    return this.logs[this.logs.length - 1]!
  }
}

/** One key as the user knows it. */
class Entry implements TransactionKeyValue {
  readonly key: Uint8Array
  readonly lease: bigint
  readonly #stored: Uint8Array
  #value: Uint8Array | undefined

  constructor({ key, value, lease }: Item, space: KeySpace) {
    this.key = space.local(fromMapKey(key))
    this.lease = lease
    this.#stored = value
  }

  /** A copy: the bytes themselves may be read by other transactions. */
  get value(): Uint8Array {
    this.#value ??= Uint8Array.from(this.#stored)
    return this.#value
  }

  name(): string {
    return text(this.key)
  }

  text(): string {
    return text(this.#value ?? this.#stored)
  }

  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T
  }
}

function keyOf(space: KeySpace, key: Bytes): Interval {
  const bytes = toBytes(key)
  if (bytes.length === 0) throw new RangeError('an empty key: etcd has none')
  return only(mapKey(space.key(bytes)))
}
