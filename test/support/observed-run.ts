import { prefix, type Transaction } from '../../src/index.ts'
import { mapKey } from '../../src/wire/bytes.ts'
import type { KeySpan } from '../checkers/key-span.ts'
import type { Seen, Transacted } from '../checkers/transactions.ts'

/** One run of a transaction that remembers what it saw and wrote, for the checkers. */
export class ObservedRun {
  readonly seen: Seen[]
  readonly wrote: Map<string, string | undefined> = new Map()
  readonly #tx: Transaction

  constructor(tx: Transaction, seen: Seen[] = []) {
    this.#tx = tx
    this.seen = seen
  }

  async get(key: string): Promise<string | undefined> {
    const found = (await this.#tx.get(key))?.text()
    this.seen.push({ span: { from: key }, values: new Map(found === undefined ? [] : [[key, found]]) })
    return found
  }

  /** Everything below a prefix. */
  async below(from: string): Promise<ReadonlyMap<string, string>> {
    const all = prefix(from)
    const found = await this.#tx.range(all)
    const values = new Map(found.map(kv => [mapKey(kv.key), kv.text()]))
    const span: KeySpan = { from, to: mapKey(all.end) }
    this.seen.push({ span, values })
    return values
  }

  /** The first key below a prefix, if there is one: what lies behind it does not count. */
  async first(from: string): Promise<string | undefined> {
    const all = prefix(from)
    const [found] = await this.#tx.range(all, { limit: 1 })
    if (found === undefined) {
      this.seen.push({ span: { from, to: mapKey(all.end) }, values: new Map() })
      return undefined
    }
    const key = mapKey(found.key)
    this.seen.push({ span: { from, to: `${key}\0` }, values: new Map([[key, found.text()]]) })
    return key
  }

  /** Keeps what both have seen, and what the one that did not retry has written. */
  async either(
    first: (run: ObservedRun) => Promise<void>,
    second: (run: ObservedRun) => Promise<void>,
  ): Promise<void> {
    const branch = (body: (run: ObservedRun) => Promise<void>) => async (tx: Transaction) => {
      const run = new ObservedRun(tx, this.seen)
      await body(run)
      return run
    }
    const { wrote } = await this.#tx.orElse(branch(first), branch(second))
    for (const [key, value] of wrote) this.wrote.set(key, value)
  }

  put(key: string, value: string): void {
    this.#tx.put(key, value)
    this.wrote.set(key, value)
  }

  delete(key: string): void {
    this.#tx.delete(key)
    this.wrote.set(key, undefined)
  }

  /** Deletes everything below a prefix: at the most these keys. */
  deleteBelow(from: string, keys: readonly string[]): void {
    this.#tx.deletePrefix(from)
    for (const key of keys) this.wrote.set(key, undefined)
  }

  check(condition: boolean): void {
    this.#tx.check(condition)
  }
}

/** What all runs of a transaction come to: the last one counts. */
export function observed(
  runs: readonly Pick<Transacted, 'seen' | 'wrote'>[],
): Pick<Transacted, 'seen' | 'wrote' | 'discarded'> {
  return {
    seen: runs.at(-1)?.seen ?? [],
    wrote: runs.at(-1)?.wrote ?? new Map(),
    discarded: runs
      .slice(0, -1)
      .flatMap(({ wrote }) => [...wrote.values()].filter(value => value !== undefined)),
  }
}
