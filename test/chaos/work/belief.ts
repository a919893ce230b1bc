import type { Handle } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import type { Journal } from '../journal.ts'
import { codeOf } from './what-went-wrong.ts'

/** When this process stopped believing that it holds, written down once for each line it stands in. */
export class Belief {
  readonly #hold: Handle
  readonly #acquisitions: readonly string[]
  readonly #journal: Journal
  #isOver = false

  constructor(hold: Handle, acquisitions: readonly string[], journal: Journal) {
    this.#hold = hold
    this.#acquisitions = acquisitions
    this.#journal = journal
    const { signal } = hold
    // A term that is to end in order is told while it still holds.
    const ended = () => this.end(hold.held ? undefined : codeOf(signal.reason))
    if (signal.aborted) ended()
    else signal.addEventListener('abort', ended, { once: true })
  }

  /** Asks the hold, synchronously, and believes what it says. */
  get holds(): boolean {
    if (!this.#isOver && !this.#hold.held) this.end('NOT_HELD')
    return !this.#isOver
  }

  end(loss?: string): void {
    if (this.#isOver) return
    this.#isOver = true
    const told = { believedUntil: sharedNowMs(), ...(loss === undefined ? {} : { loss }) }
    for (const id of this.#acquisitions) this.#journal.more('acquisitions', id, told)
  }
}
