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
  const tx = new StmTransaction(Scope.of(attempt))
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

/** The run of a function, or of one branch of it: what it reads from, and where its writes go. */
class Scope {
  readonly attempt: Attempt
  readonly log: WriteLog
  readonly #parent: Scope | undefined
  #over = false

  constructor(attempt: Attempt, log: WriteLog, parent?: Scope) {
    this.attempt = attempt
    this.log = log
    this.#parent = parent
  }

  static of(attempt: Attempt): Scope {
    return new Scope(attempt, attempt.log)
  }

  branch(): Scope {
    return new Scope(this.attempt, new WriteLog(), this)
  }

  /** All that was written so far, the oldest first. */
  get logs(): readonly WriteLog[] {
    return this.#parent === undefined ? [this.log] : [...this.#parent.logs, this.log]
  }

  end(): void {
    this.#over = true
  }

  /** What is written after the end would be lost. */
  assertRunning(): void {
    if (this.#over) throw new TypeError('stm: this branch is over; it has not waited for all it did')
    if (this.#parent === undefined) this.attempt.assertRunning()
    else this.#parent.assertRunning()
  }
}

/** Reading through a namespace, as far as a scope can see. */
class Reads implements TransactionReads {
  readonly scope: Scope
  readonly #kind: 'recorded' | 'unrecorded'

  constructor(scope: Scope, kind: 'recorded' | 'unrecorded') {
    this.scope = scope
    this.#kind = kind
  }

  get(key: Bytes): Promise<TransactionKeyValue | undefined> {
    return heard(this.scope.attempt, this.#get(key))
  }

  getMany(keys: readonly Bytes[]): Promise<readonly (TransactionKeyValue | undefined)[]> {
    return heard(this.scope.attempt, this.#getMany(keys))
  }

  range(range: KeyRange, options: TransactionRangeOptions = {}): Promise<readonly TransactionKeyValue[]> {
    return heard(this.scope.attempt, this.#range(range, options))
  }

  prefix(start: Bytes, options: TransactionRangeOptions = {}): Promise<readonly TransactionKeyValue[]> {
    return heard(this.scope.attempt, this.#prefix(start, options))
  }

  has(key: Bytes): Promise<boolean> {
    return heard(this.scope.attempt, this.#has(key))
  }

  async #get(key: Bytes): Promise<TransactionKeyValue | undefined> {
    const { space } = this.scope.attempt
    const [item] = await this.#read(keyOf(space, key), 0)
    return item === undefined ? undefined : new Entry(item, space)
  }

  async #getMany(keys: readonly Bytes[]): Promise<readonly (TransactionKeyValue | undefined)[]> {
    if (!Array.isArray(keys)) throw new TypeError('getMany: keys are a list')
    return Promise.all(keys.map(key => this.#get(key)))
  }

  async #range(range: KeyRange, options: TransactionRangeOptions): Promise<readonly TransactionKeyValue[]> {
    const { limit = 0 } = checkOptions(options, ['limit'], 'range')
    if (!KeyRange.is(range)) throw new TypeError('range: prefix(…), between(…), from(…) or everything')
    const { space } = this.scope.attempt
    const interval = intervalOf(space.span(range))
    const items = await this.#read(interval, checkInteger(limit, 'limit', { min: 0 }))
    return items.map(item => new Entry(item, space))
  }

  async #prefix(start: Bytes, options: TransactionRangeOptions): Promise<readonly TransactionKeyValue[]> {
    return this.#range(prefix(start), options)
  }

  async #has(key: Bytes): Promise<boolean> {
    return (await this.#get(key)) !== undefined
  }

  #read(interval: Interval, limit: number): Promise<readonly Item[]> {
    this.scope.assertRunning()
    return this.scope.attempt.read(interval, limit, this.scope.logs, this.#kind)
  }
}

class StmTransaction extends Reads implements Transaction {
  readonly hooks: Hook[] = []
  #retries = false

  constructor(scope: Scope) {
    super(scope, 'recorded')
  }

  get retries(): boolean {
    return this.#retries
  }

  get snapshot(): TransactionReads {
    return new Reads(this.scope, 'unrecorded')
  }

  revision(key: Bytes): Promise<bigint> {
    return heard(this.scope.attempt, this.#revision(key))
  }

  put(key: Bytes, value: Bytes, options: TransactionPutOptions = {}): void {
    const { lease } = checkOptions(options, ['lease'], 'put')
    this.scope.assertRunning()
    const bytes = toBytes(value, 'a value')
    this.scope.log.put(
      this.#intervalOf(key).from,
      // The caller may go on to use an array of its own.
      typeof value === 'string' ? bytes : Uint8Array.from(bytes),
      lease === undefined ? 0n : checkRevision(lease, 'lease'),
    )
  }

  delete(keyOrRange: Bytes | KeyRange): void {
    this.scope.assertRunning()
    this.scope.log.delete(intervalOf(this.scope.attempt.space.span(rangeOf(keyOrRange))))
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

  orElse<First, Second>(
    first: (tx: Transaction) => First | Promise<First>,
    second: (tx: Transaction) => Second | Promise<Second>,
  ): Promise<First | Second> {
    return heard(this.scope.attempt, this.#orElse(first, second))
  }

  afterCommit(action: Hook): void {
    if (typeof action !== 'function') throw new TypeError('afterCommit: takes a function')
    this.scope.assertRunning()
    this.hooks.push(action)
  }

  async #revision(key: Bytes): Promise<bigint> {
    this.scope.assertRunning()
    return this.scope.attempt.revision(this.#intervalOf(key))
  }

  async #orElse<First, Second>(
    first: (tx: Transaction) => First | Promise<First>,
    second: (tx: Transaction) => Second | Promise<Second>,
  ): Promise<First | Second> {
    for (const branch of [first, second]) {
      if (typeof branch !== 'function') throw new TypeError('orElse: takes two functions of a transaction')
    }
    const one = await this.#branch(first)
    if (one !== undefined) return one.value
    const other = await this.#branch(second)
    return other !== undefined ? other.value : this.retry()
  }

  /** Undefined if it retried. Only what has come to a value leaves anything behind. */
  async #branch<Value>(
    run: (tx: Transaction) => Value | Promise<Value>,
  ): Promise<{ readonly value: Value } | undefined> {
    const scope = this.scope.branch()
    const tx = new StmTransaction(scope)
    const outcome = await runOn(tx, run)
    scope.end()
    switch (outcome.kind) {
      case 'value':
        this.scope.assertRunning()
        this.scope.log.absorb(scope.log)
        this.hooks.push(...tx.hooks)
        return { value: outcome.value as Value }
      case 'error':
        throw outcome.error
      default:
        return undefined
    }
  }

  #intervalOf(key: Bytes): Interval {
    return keyOf(this.scope.attempt.space, key)
  }
}

/**
 * Of several reads begun together the function hears of the first that fails and leaves the others behind. When that
 * spoils the run, which may only mean that it runs again, the others are nobody's unhandled rejection.
 */
function heard<Value>(attempt: Attempt, reading: Promise<Value>): Promise<Value> {
  const told: Promise<Value> = reading.catch(error => {
    if (attempt.isSpoilt) told.catch(() => {})
    throw error
  })
  return told
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
