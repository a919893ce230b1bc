import type { Runtime, Timer } from '../support/runtime.ts'

/** Runs actions in the order they come, each after the same delay. */
export class DelayLine {
  readonly #runtime: Runtime
  readonly #delayMs: number
  readonly #waiting: { readonly atMs: number; readonly action: () => void }[] = []
  #timer: Timer | undefined

  constructor(runtime: Runtime, delayMs: number) {
    this.#runtime = runtime
    this.#delayMs = delayMs
  }

  run(action: () => void): void {
    this.#waiting.push({ atMs: this.#runtime.now() + this.#delayMs, action })
    this.#schedule()
  }

  clear(): void {
    this.#waiting.length = 0
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #schedule(): void {
    const first = this.#waiting[0]
    if (first === undefined || this.#timer !== undefined) return
    this.#timer = this.#runtime.setTimer(Math.max(0, first.atMs - this.#runtime.now()), () => {
      this.#timer = undefined
      this.#waiting.shift()
      first.action()
      this.#schedule()
    })
  }
}
