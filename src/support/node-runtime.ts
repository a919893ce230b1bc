import { randomFillSync } from 'node:crypto'
import { hostname, uptime } from 'node:os'
import { performance } from 'node:perf_hooks'
import type { Runtime, Timer } from './runtime.ts'

/** Node keeps timers in 32 bits: anything longer fires after a millisecond instead. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** The machine as it is. The only file that touches its clocks, timers and dice. */
export function nodeRuntime(): Runtime {
  // Asking for the host's name is a system call, and neither changes under a running process.
  const identity = { host: hostname(), pid: process.pid }
  return {
    now: () => performance.now(),
    wallNow: () => Date.now(),
    bootNow: () => uptime() * 1000,
    setTimer: (delayMs, action) => new NodeTimer(delayMs, action),
    defer: action => void setImmediate(action),
    random: () => Math.random(),
    randomBytes: length => randomFillSync(new Uint8Array(length)),
    identity: () => identity,
    warn: (message, code) => process.emitWarning(message, { type: 'QuorateWarning', code }),
  }
}

class NodeTimer implements Timer {
  #handle: NodeJS.Timeout
  #held = true

  constructor(delayMs: number, action: () => void) {
    this.#handle = this.#arm(performance.now() + delayMs, action)
  }

  cancel(): void {
    clearTimeout(this.#handle)
  }

  unref(): this {
    this.#held = false
    this.#handle.unref()
    return this
  }

  /** Node may fire up to a millisecond early by the monotonic clock; a deadline must have passed when its timer runs. */
  #arm(atMs: number, action: () => void): NodeJS.Timeout {
    const remainingMs = Math.max(0, atMs - performance.now())
    const handle = setTimeout(
      () => {
        if (performance.now() >= atMs) action()
        else this.#handle = this.#arm(atMs, action)
      },
      Math.min(Math.ceil(remainingMs), LONGEST_TIMER_MS),
    )
    return this.#held ? handle : handle.unref()
  }
}
