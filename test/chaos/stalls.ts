import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

const RESOLUTION_MS = 10

/** How long something took in this process, and how long of that the process may have executed nothing. */
export interface Timing {
  readonly ms: number
  /** The longest pause: what is measured on a busy machine is late by that much, whatever is measured. */
  readonly stalledMs: number
}

export class Stopwatch {
  readonly startedAtMs: number = performance.now()
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })

  constructor() {
    this.#delay.enable()
  }

  /** From the start to that instant, by default to now. Ends the measuring of pauses, which are known only later. */
  async stop(atMs: number = performance.now()): Promise<Timing> {
    await sleep(2 * RESOLUTION_MS)
    this.#delay.disable()
    const stalledMs = Math.max(0, this.#delay.max / 1e6 - RESOLUTION_MS)
    return { ms: atMs - this.startedAtMs, stalledMs }
  }
}

export async function timed(work: () => Promise<unknown>): Promise<Timing> {
  const stopwatch = new Stopwatch()
  await work()
  return await stopwatch.stop()
}
