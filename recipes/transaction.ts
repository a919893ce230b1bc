import type { KeyRange } from '../src/client/key-range.ts'
import type { Bytes } from '../src/wire/bytes.ts'

/**
 * How far a transaction is apart from others. What each level rules out, and what it lets happen:
 *
 * - `serializable-snapshot`, the default: as if all transactions ran one after another, in an order that agrees
 *   with real time. All reads are of one revision. A key that is only written must not have been written by anybody
 *   else since the transaction first read.
 * - `serializable`: the same, but a key that is only written is overwritten whoever wrote it last.
 * - `repeatable-reads`: nothing it read by key, or found in a range, had changed when it was committed: no lost
 *   update, no write skew, no read skew among what it commits on. But different keys may be read at different
 *   revisions, so `fn` itself may see a state that never was, before it is run again; and a range may have gained keys.
 * - `read-committed`: each read is of the latest revision, and nothing is compared at the end: updates can get lost.
 */
export type Isolation = 'serializable-snapshot' | 'serializable' | 'repeatable-reads' | 'read-committed'

/** A key as a transaction sees it. Revisions are left out: what is still to be committed has none. */
export interface TransactionKeyValue {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** The lease it goes with; 0 for none. */
  readonly lease: bigint
  /** The key as UTF-8. */
  name(): string
  /** The value as UTF-8. */
  text(): string
  /** The value parsed as JSON. Throws SyntaxError when it is none. */
  json<T = unknown>(): T
}

/** Reading. Reads of one tick travel together, in one round trip. */
export interface TransactionReads {
  /** The key, or undefined where there is none. */
  get(key: Bytes): Promise<TransactionKeyValue | undefined>
  /** The keys in the order asked for, undefined where there is none. */
  getMany(keys: readonly Bytes[]): Promise<readonly (TransactionKeyValue | undefined)[]>
  /**
   * The keys of a range in order. With `limit` only the first ones, and only those, with what lies between them,
   * count as read: a key behind the last one may change.
   */
  range(range: KeyRange, options?: TransactionRangeOptions): Promise<readonly TransactionKeyValue[]>
  /** The keys that begin with `start`, in order. */
  prefix(start: Bytes, options?: TransactionRangeOptions): Promise<readonly TransactionKeyValue[]>
  /** Does the key exist? */
  has(key: Bytes): Promise<boolean>
}

export interface TransactionRangeOptions {
  /** At most so many keys; 0, the default, for all. */
  readonly limit?: number | undefined
}

export interface TransactionPutOptions {
  /** The key goes when this lease does. Without it a lease the key had is taken off. */
  readonly lease?: bigint | undefined
}

/**
 * What a transaction can do. Reads see its own writes, ranges too. Nothing is written before the function is done.
 *
 * A function that is run again must do nothing to the world outside but through `afterCommit`.
 */
export interface Transaction extends TransactionReads {
  /**
   * Reads that may change before the commit: no conflict comes of them, and `retry` does not wait for them. None is
   * older than the call.
   */
  readonly snapshot: TransactionReads
  /** When the key was last written, 0 if it does not exist; writes of this transaction do not count. */
  revision(key: Bytes): Promise<bigint>
  /** Written at the commit, like everything below, and not at all if there is none. */
  put(key: Bytes, value: Bytes, options?: TransactionPutOptions): void
  delete(keyOrRange: Bytes | KeyRange): void
  deletePrefix(start: Bytes): void
  /**
   * Gives this run up, waits until something it read has changed, ranges included, and runs again: the one wait
   * without a deadline of its own. Throws; let it pass.
   */
  retry(): never
  /** Retries unless the value is there, or true. Returns it. */
  check<Value>(value: Value): Exclude<Value, undefined | null | false | 0 | 0n | ''>
  /**
   * Runs `first`; if that retries, undoes its writes and runs `second`; if that retries, too, waits until something
   * either of them read has changed. Both write through the transaction they are given.
   */
  orElse<First, Second>(
    first: (tx: Transaction) => First | Promise<First>,
    second: (tx: Transaction) => Second | Promise<Second>,
  ): Promise<First | Second>
  /** Called once, after the commit, with its revision. What it throws is an uncaught error of its own. */
  afterCommit(action: (revision: bigint) => void): void
}
