import { prefix, type Transaction } from '../../src/index.ts'
import { mapKey } from '../../src/wire/bytes.ts'
import type { KeySpan } from '../checkers/key-span.ts'
import type { Seen, Transacted } from '../checkers/transactions.ts'

/** One run of a transaction that remembers what it saw and wrote, for the checkers. */
export class ObservedRun {
  readonly seen: Seen[] = []
  readonly wrote: Map<string, string | undefined> = new Map()
  readonly #tx: Transaction

  constructor(tx: Transaction) {
    this.#tx = tx
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

  put(key: string, value: string): void {
    this.#tx.put(key, value)
    this.wrote.set(key, value)
  }

  delete(key: string): void {
    this.#tx.delete(key)
    this.wrote.set(key, undefined)
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
