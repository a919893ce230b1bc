import type { Store } from './store.ts'

/** What an empty database file of a real server takes. */
const EMPTY_BYTES = 20 * 1024

/**
 * How large the database would be on disk: a file that grows with what is written and shrinks only when it is
 * defragmented, whatever was deleted or compacted meanwhile.
 */
export class DatabaseSize {
  readonly #store: Store
  #highestBytes: number

  constructor(store: Store) {
    this.#store = store
    this.#highestBytes = store.bytes
    store.onCommit(() => {
      this.#highestBytes = Math.max(this.#highestBytes, store.bytes)
    })
  }

  get bytes(): number {
    return EMPTY_BYTES + this.#highestBytes
  }

  get bytesInUse(): number {
    return EMPTY_BYTES + this.#store.bytes
  }

  defragment(): void {
    this.#highestBytes = this.#store.bytes
  }
}
