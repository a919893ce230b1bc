/**
 * Everything the library takes from the machine it runs on: clocks, timers, chance and turns of the event
 * loop. One value, injected once by `connect`. Nothing outside `node-runtime.ts` touches the globals behind
 * it, so a simulation can own time.
 */
export interface Runtime {
  /** Monotonic milliseconds with fractions. Does not stand still while the process is stopped. */
  now(): number
  /** Milliseconds since the epoch. For ages shown to people and for noticing a suspended machine only. */
  wallNow(): number
  /** Milliseconds since the machine booted, suspension included; absent where the platform cannot tell. */
  bootNow?(): number
  /** Runs `action` once, no earlier than `delayMs` from now. Any delay is allowed, also beyond 2^31 ms. */
  setTimer(delayMs: number, action: () => void): Timer
  /** Runs `action` after the code that is running now, before any timer. */
  defer(action: () => void): void
  /** In [0, 1). For jitter. */
  random(): number
  /** For lease ids: must not repeat across processes. */
  randomBytes(length: number): Uint8Array
  /** Who we are, for people who read a line of waiters. */
  identity(): { readonly host: string; readonly pid: number }
  /** Tells the operator of the process, when nobody listens for warnings. */
  warn(message: string, code: string): void
}

/** A pending timer keeps the process alive until it is cancelled, fires, or is told not to. */
export interface Timer {
  cancel(): void
  /** Lets the process end although the timer is pending. */
  unref(): this
}
