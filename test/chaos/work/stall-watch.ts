import { sharedNowMs } from '../clock.ts'
import type { Journal } from '../journal.ts'

const EVERY_MS = 10
/** Below, a late timer is what a busy machine does. */
const WORTH_TELLING_MS = 25

/** Writes down when this process executed nothing, whether it was stopped or its event loop was blocked. */
export class StallWatch {
  readonly #journal: Journal
  readonly #timer: NodeJS.Timeout
  #lastMs = sharedNowMs()

  constructor(journal: Journal) {
    this.#journal = journal
    this.#timer = setInterval(() => this.look(), EVERY_MS).unref()
  }

  look(): void {
    const nowMs = sharedNowMs()
    const lastMs = this.#lastMs
    this.#lastMs = nowMs
    if (nowMs - lastMs > WORTH_TELLING_MS) this.#journal.begin('stalls', { from: lastMs, until: nowMs })
  }

  stop(): void {
    clearInterval(this.#timer)
    this.look()
  }
}
