import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkInteger, checkOneOf, checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, toBytes } from '../src/wire/bytes.ts'
import { StmRun } from './internal/stm/run.ts'
import type { Isolation, Transaction } from './transaction.ts'

export interface StmOptions {
  /** Default: `serializable-snapshot`. */
  readonly isolation?: Isolation | undefined
  /** After so many attempts that others were faster it rejects with CONFLICT. Default: 100. */
  readonly maxAttempts?: number | undefined
  /**
   * Writes a marker along with the commit, so that a commit without an answer is found out: it was made, or it
   * never will be and is tried again. `prefix`: where markers go, `quorate/once/` by default. Default: no.
   */
  readonly exactlyOnce?: boolean | { readonly prefix: Bytes } | undefined
  /** Rejects at once with its reason. A commit already sent may still take effect; none is sent any more. */
  readonly signal?: AbortSignal | undefined
}

export interface StmResult<Value> {
  /** What the function returned in the run that was committed. */
  readonly value: Value
  /** Of the commit; of the state it read, if it wrote nothing. */
  readonly revision: bigint
  /** How often the function has run. */
  readonly attempts: number
}

const OPTIONS = ['isolation', 'maxAttempts', 'exactlyOnce', 'signal']
const LEVELS: readonly Isolation[] = [
  'serializable-snapshot',
  'serializable',
  'repeatable-reads',
  'read-committed',
]
const MAX_ATTEMPTS = 100
const MARKERS = 'quorate/once/'

/**
 * Software transactional memory: runs `fn`, which reads and writes keys as if it were alone, and commits all it
 * wrote at once, if nothing it read has changed meanwhile; else runs it again.
 *
 * Keys      the caller's own, read and written as they are; any STM that compares modification revisions fits in.
 *           With `exactlyOnce` a marker below `quorate/once/`, which goes with a lease of ten minutes.
 * Steps     1. run `fn`: the first read fixes the revision of all others   2. in one transaction: compare all that
 *           was read, then write all that was written, else read everything again   3. others were faster? run `fn`
 *           on the fresh values. Transactions of one client that meet on some key run one after the other on one
 *           snapshot instead, and are committed together
 * Safety    strictly serializable at both serializable levels; see {@link Isolation}. Nobody hears of a result, an
 *           error or a `retry` before the server has confirmed what it rests on. A commit without an answer rejects
 *           with outcome `unknown`, unless it is `exactlyOnce`.
 * Liveness  of transactions that conflict one is always committed. Within a client the order is that of arrival;
 *           clients take turns, as whoever commits without a pause lets others go first now and then. Bounded by
 *           `maxAttempts`, except for `retry`.
 * Not       a place for side effects: `fn` runs as often as it takes, and no more than 128 compares and 128 writes
 *           fit into a transaction. What does not fit is refused before anything is written.
 * Cost      1 round trip for all reads of a tick, 1 to commit, none if nothing was written. A conflict costs no
 *           reads. Many on one key: one commit for each batch of them. 2 more after every 32 commits in a row.
 */
export async function stm<Value>(
  engine: Engine,
  space: KeySpace,
  fn: (tx: Transaction) => Value | Promise<Value>,
  options: StmOptions = {},
): Promise<StmResult<Value>> {
  if (typeof fn !== 'function') throw new TypeError('stm: takes a function of a transaction')
  const {
    isolation = 'serializable-snapshot',
    maxAttempts = MAX_ATTEMPTS,
    exactlyOnce,
    signal,
  } = checkOptions(options, OPTIONS, 'stm')
  checkSignal(signal, 'stm')
  const terms = {
    fn,
    isolation: checkOneOf(isolation, LEVELS, 'isolation'),
    space,
    maxAttempts: checkInteger(maxAttempts, 'maxAttempts', { min: 1 }),
    markers: markersOf(exactlyOnce, space),
  }
  const { value, revision, attempts } = await new StmRun(engine, terms, signal).result()
  return { value: value as Value, revision, attempts }
}

/** Where the markers of this call go, as etcd has it. */
export function markersOf(exactlyOnce: StmOptions['exactlyOnce'], space: KeySpace): Uint8Array | undefined {
  switch (typeof exactlyOnce) {
    case 'undefined':
      return undefined
    case 'boolean':
      return exactlyOnce ? space.key(toBytes(MARKERS)) : undefined
    default: {
      const { prefix } = checkOptions(exactlyOnce, ['prefix'], 'exactlyOnce')
      return space.key(toBytes(prefix, 'the prefix of markers'))
    }
  }
}
