import type { Runtime } from './runtime.ts'

export interface BackoffOptions {
  /** The longest the first delay can be. */
  readonly initialMs: number
  /** The longest any delay can be. */
  readonly maxMs: number
  /** How much the longest possible delay grows from one to the next. Default 2. */
  readonly factor?: number
}

/**
 * How long to wait before trying again: anything from nothing to a bound that grows with every failure.
 * Drawing from the whole span spreads clients that failed together over it, where a fixed delay with a little
 * jitter would have them come back together.
 */
export class Backoff {
  readonly #runtime: Pick<Runtime, 'random'>
  readonly #initialMs: number
  readonly #maxMs: number
  readonly #factor: number
  #boundMs: number

  constructor(runtime: Pick<Runtime, 'random'>, { initialMs, maxMs, factor = 2 }: BackoffOptions) {
    this.#runtime = runtime
    this.#initialMs = Math.min(initialMs, maxMs)
    this.#maxMs = maxMs
    this.#factor = factor
    this.#boundMs = this.#initialMs
  }

  /** Call once per failure: the next delay comes from a wider span. */
  delay(): number {
    const boundMs = this.#boundMs
    this.#boundMs = Math.min(this.#maxMs, boundMs * this.#factor)
    return this.#runtime.random() * boundMs
  }

  /** Something worked: the next failure starts from the beginning. */
  reset(): void {
    this.#boundMs = this.#initialMs
  }
}
