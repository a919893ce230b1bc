import type { Runtime } from '../support/runtime.ts'

/** More than the grain of any of the clocks, less than the 50 ms every deadline keeps in reserve. */
const NOTICEABLE_MS = 40

/** When a request was handed to the transport, and how long the machine had slept by then. */
export interface SendInstant {
  readonly atMs: number
  readonly sleptMs: number
}

/**
 * The clocks a lease is measured by: the monotonic one, and how long the machine slept while that stood still.
 *
 * Sleep shows as boot time running ahead of monotonic time. Reading boot time costs a system call, so it is
 * read only when the wall clock moved against the monotonic one; a wall clock that somebody corrected moves
 * too, and then boot time tells that nobody slept. Without boot time a wall clock that jumps forwards must be
 * taken for sleep, and one that jumps backwards is ignored.
 */
export class LeaseClock {
  readonly #runtime: Runtime
  readonly #readWall: () => number
  readonly #readBoot: (() => number) | undefined
  readonly #bootAheadMs: number
  #wallAheadMs: number
  #sleptMs = 0

  constructor(runtime: Runtime) {
    this.#runtime = runtime
    this.#readWall = () => runtime.wallNow()
    const { bootNow } = runtime
    this.#readBoot = bootNow === undefined ? undefined : () => bootNow.call(runtime)
    this.#bootAheadMs = this.#readBoot === undefined ? 0 : this.#ahead(this.#readBoot)
    this.#wallAheadMs = this.#ahead(this.#readWall)
  }

  now(): number {
    return this.#runtime.now()
  }

  /** How long the machine has slept since this clock was made, as far as can be told. Never decreases. */
  sleptMs(): number {
    const wallAheadMs = this.#ahead(this.#readWall)
    const movedMs = wallAheadMs - this.#wallAheadMs
    if (this.#readBoot === undefined) {
      if (movedMs > NOTICEABLE_MS) this.#sleptMs += movedMs
      // Corrected backwards: sleep that follows shows against the corrected clock.
      if (movedMs > NOTICEABLE_MS || movedMs < 0) this.#wallAheadMs = wallAheadMs
    } else if (Math.abs(movedMs) > NOTICEABLE_MS) {
      this.#wallAheadMs = wallAheadMs
      const sleptMs = this.#ahead(this.#readBoot) - this.#bootAheadMs
      if (sleptMs > this.#sleptMs + NOTICEABLE_MS) this.#sleptMs = sleptMs
    }
    return this.#sleptMs
  }

  instant(): SendInstant {
    return { atMs: this.now(), sleptMs: this.sleptMs() }
  }

  /**
   * How far another clock is ahead of the monotonic one. A process that is stopped between the two readings
   * would see sleep that never was, so readings that took long are made again.
   */
  #ahead(read: () => number): number {
    for (let attempt = 1; ; attempt++) {
      const beforeMs = this.#runtime.now()
      const otherMs = read()
      const afterMs = this.#runtime.now()
      if (afterMs - beforeMs < 5 || attempt === 8) return otherMs - afterMs
    }
  }
}
