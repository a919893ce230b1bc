import type { KeyPast, ServerTruth } from './server-truth.ts'

const NONE: readonly number[] = []

/** Which commits put which value under a key. Read key by key, when asked. */
export class Occurrences {
  readonly #truth: ServerTruth
  readonly #keys = new Map<string, ReadonlyMap<string, readonly number[]>>()

  constructor(truth: ServerTruth) {
    this.#truth = truth
  }

  /** Indexes of the log, ascending. */
  of(key: string, value: string): readonly number[] {
    let values = this.#keys.get(key)
    if (values === undefined) {
      values = indexesByValue(this.#truth.past(key))
      this.#keys.set(key, values)
    }
    return values.get(value) ?? NONE
  }
}

function indexesByValue(past: KeyPast | undefined): ReadonlyMap<string, readonly number[]> {
  const values = new Map<string, number[]>()
  past?.changes.forEach((change, position) => {
    if (change.kind !== 'put') return
    const index = past.indexes[position]!
    const known = values.get(change.value)
    if (known === undefined) values.set(change.value, [index])
    else known.push(index)
  })
  return values
}
