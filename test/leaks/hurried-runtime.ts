import { nodeRuntime } from '../../src/support/node-runtime.ts'
import type { Runtime, Timer } from '../../src/support/runtime.ts'

/** How many milliseconds of this runtime pass in one of the machine. */
const HURRY = 1000

/** The machine, a thousand times as fast: a hundred reconnects with their backoffs take a moment. */
export function hurriedRuntime(): Runtime {
  const node = nodeRuntime()
  const now = () => node.now() * HURRY
  return {
    ...node,
    now,
    bootNow: now,
    setTimer: (delayMs, action) => new HurriedTimer(now, now() + delayMs, action),
  }
}

/** Node's timers are too coarse for this, so near instants are waited for turn by turn. */
class HurriedTimer implements Timer {
  readonly #now: () => number
  readonly #atMs: number
  readonly #action: () => void
  #stop: () => void = () => {}
  #unref: () => void = () => {}
  #held = true

  constructor(now: () => number, atMs: number, action: () => void) {
    this.#now = now
    this.#atMs = atMs
    this.#action = action
    this.#arm()
  }

  cancel(): void {
    this.#stop()
  }

  unref(): this {
    this.#held = false
    this.#unref()
    return this
  }

  #arm(): void {
    const remainingMs = (this.#atMs - this.#now()) / HURRY
    const look = () => (this.#now() >= this.#atMs ? this.#action() : this.#arm())
    if (remainingMs > 2) {
      const handle = setTimeout(look, Math.min(remainingMs, 2 ** 31 - 1))
      this.#stop = () => clearTimeout(handle)
      this.#unref = () => void handle.unref()
    } else {
      const handle = setImmediate(look)
      this.#stop = () => clearImmediate(handle)
      this.#unref = () => void handle.unref()
    }
    if (!this.#held) this.#unref()
  }
}
