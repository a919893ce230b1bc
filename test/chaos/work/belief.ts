import type { Handle } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import type { Journal } from '../journal.ts'
import type { Post } from './post.ts'
import { codeOf } from './what-went-wrong.ts'

/** When this process stopped believing that it holds, written down once for each line it stands in. */
export class Belief {
  readonly #hold: Handle
  readonly #acquisitions: readonly string[]
  readonly #journal: Journal
  readonly #stopLooking: () => void
  #isOver = false

  constructor(hold: Handle, acquisitions: readonly string[], { journal, stalls }: Post) {
    this.#hold = hold
    this.#acquisitions = acquisitions
    this.#journal = journal
    // Whoever acts on it asks first: what was believed before it stood still is nothing to go by.
    this.#stopLooking = stalls.onGoingOn(() => this.holds)
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
    this.#stopLooking()
    const told = { believedUntil: sharedNowMs(), ...(loss === undefined ? {} : { loss }) }
    for (const id of this.#acquisitions) this.#journal.more('acquisitions', id, told)
  }
}
