import type { Runtime, Timer } from '../../../src/support/runtime.ts'
import { EtcdError } from '../../../src/wire/errors.ts'

/** How long a hold may last. Read by the clock, so it is over in time also where no timer has run. */
export class MaxHold {
  readonly #runtime: Runtime
  readonly #ms: number
  readonly #endsAtMs: number
  readonly #timer: Timer

  /** `over` is called once, unless it was stopped before. */
  constructor(runtime: Runtime, ms: number, over: () => void) {
    this.#runtime = runtime
    this.#ms = ms
    this.#endsAtMs = runtime.now() + ms
    this.#timer = runtime.setTimer(ms, over).unref()
  }

  get isOver(): boolean {
    return this.#runtime.now() >= this.#endsAtMs
  }

  error(name: string): EtcdError {
    return new EtcdError(
      'LOCK_LOST',
      `[LOCK_LOST] ${name} was given up after it had been held for ${this.#ms} ms, the longest it may be (maxHoldMs)`,
      { outcome: 'rejected' },
    )
  }

  stop(): void {
    this.#timer.cancel()
  }
}
