import type { Runtime, Timer } from '../../src/support/runtime.ts'

interface Pending {
  readonly atMs: number
  readonly order: number
  readonly action: () => void
}

/**
 * A runtime whose time stands still until a test moves it. Wall, boot and monotonic time can be pulled apart
 * to play a suspended machine or a corrected clock.
 */
export class FakeRuntime implements Runtime {
  #nowMs = 1000
  #wallOffsetMs = 1_700_000_000_000
  #bootOffsetMs = 5000
  #order = 0
  #seed = 1
  readonly #pending = new Set<Pending>()

  now(): number {
    return this.#nowMs
  }

  wallNow(): number {
    return this.#nowMs + this.#wallOffsetMs
  }

  bootNow(): number {
    return this.#nowMs + this.#bootOffsetMs
  }

  setTimer(delayMs: number, action: () => void): Timer {
    const pending: Pending = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, action }
    this.#pending.add(pending)
    const timer: Timer = { cancel: () => void this.#pending.delete(pending), unref: () => timer }
    return timer
  }

  defer(action: () => void): void {
    queueMicrotask(action)
  }

  random(): number {
    this.#seed = (this.#seed * 48271) % 2147483647
    return this.#seed / 2147483647
  }

  randomBytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => Math.floor(this.random() * 256))
  }

  identity(): { readonly host: string; readonly pid: number } {
    return { host: 'test-host', pid: 1 }
  }

  readonly warnings: { readonly message: string; readonly code: string }[] = []

  warn(message: string, code: string): void {
    this.warnings.push({ message, code })
  }

  /** How many timers are pending: leaks show here. */
  get pendingTimers(): number {
    return this.#pending.size
  }

  /** Lets time pass: every timer due on the way runs at its instant, and promises settle in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms
    await settle()
    for (let next = this.#nextBy(untilMs); next !== undefined; next = this.#nextBy(untilMs)) {
      this.#pending.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.action()
      await settle()
    }
    this.#nowMs = untilMs
  }

  /** The event loop stands still: time passes, no timer runs until the next `advance`. */
  stall(ms: number): void {
    this.#nowMs += ms
  }

  /** The machine sleeps: monotonic time stands still, wall and boot time go on. */
  suspend(ms: number): void {
    this.#wallOffsetMs += ms
    this.#bootOffsetMs += ms
  }

  /** Somebody corrects the wall clock. */
  setWallClock(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  #nextBy(untilMs: number): Pending | undefined {
    let first: Pending | undefined
    for (const pending of this.#pending) {
      if (pending.atMs > untilMs) continue
      if (
        first === undefined ||
        pending.atMs < first.atMs ||
        (pending.atMs === first.atMs && pending.order < first.order)
      ) {
        first = pending
      }
    }
    return first
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  await new Promise<void>(resolve => setImmediate(resolve))
}
