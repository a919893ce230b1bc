import { within } from '../../../src/support/bounded.ts'
import type { Runtime, Timer } from '../../../src/support/runtime.ts'

export type HealthCheck = () => boolean | Promise<boolean>

/**
 * Asks again and again whether all is well. A check that throws, or has not answered when the next one is due, says
 * no. Without a check all is always well.
 */
export class Health {
  readonly #runtime: Runtime
  readonly #check: HealthCheck | undefined
  readonly #everyMs: number
  readonly #listeners = new Set<() => void>()
  #isWell: boolean
  #timer: Timer | undefined
  #isStopped = false

  constructor(runtime: Runtime, check: HealthCheck | undefined, everyMs: number) {
    this.#runtime = runtime
    this.#check = check
    this.#everyMs = everyMs
    // Nobody leads before it was asked once.
    this.#isWell = check === undefined
    if (check !== undefined) void this.#ask()
  }

  get isWell(): boolean {
    return this.#isWell
  }

  /** Calls with each change. Returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  async #ask(): Promise<void> {
    const startedMs = this.#runtime.now()
    const isWell = await this.#answer()
    if (this.#isStopped) return
    const passedMs = this.#runtime.now() - startedMs
    this.#timer = this.#runtime.setTimer(Math.max(0, this.#everyMs - passedMs), () => void this.#ask())
    if (isWell === this.#isWell) return
    this.#isWell = isWell
    for (const listener of [...this.#listeners]) listener()
  }

  async #answer(): Promise<boolean> {
    let isWell = false
    try {
      const asked = (async () => {
        isWell = (await this.#check?.()) === true
      })()
      if ((await within(this.#runtime, this.#everyMs, asked)) === 'still going') return false
    } catch {
      return false
    }
    return isWell
  }
}
