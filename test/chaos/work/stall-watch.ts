import { sharedNowMs } from '../clock.ts'
import type { Journal } from '../journal.ts'

const EVERY_MS = 10
/** Below, a late timer is what a busy machine does. */
const WORTH_TELLING_MS = 25

/** Writes down when this process executed nothing, whether it was stopped or its event loop was blocked. */
export class StallWatch {
  readonly #journal: Journal
  readonly #timer: NodeJS.Timeout
  readonly #looks = new Set<() => void>()
  #lastMs = sharedNowMs()

  constructor(journal: Journal) {
    this.#journal = journal
    this.#timer = setInterval(() => this.look(), EVERY_MS).unref()
  }

  /** Calls it first thing whenever this process goes on. Returns how to forget it. */
  onGoingOn(look: () => void): () => void {
    this.#looks.add(look)
    return () => void this.#looks.delete(look)
  }

  look(): void {
    const from = this.#lastMs
    if (sharedNowMs() - from > WORTH_TELLING_MS) {
      for (const look of [...this.#looks]) look()
      this.#journal.begin('stalls', { from, until: sharedNowMs() })
    }
    this.#lastMs = sharedNowMs()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.look()
  }
}
