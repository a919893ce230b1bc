import { type DeadlineEntry, DeadlineHeap } from './deadline-heap.ts'
import type { Runtime, Timer } from './runtime.ts'

/** Any number of instants on one timer. */
export class Agenda {
  readonly #runtime: Runtime
  readonly #heap = new DeadlineHeap<() => void>()
  #alarm: { readonly atMs: number; readonly timer: Timer } | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** Runs `due` when the instant has come; the entry then stays, without an instant, until it is moved or removed. */
  add(atMs: number, due: () => void): DeadlineEntry<() => void> {
    const entry = this.#heap.add(due, atMs)
    this.#setAlarm()
    return entry
  }

  move(entry: DeadlineEntry<() => void>, atMs: number): void {
    this.#heap.move(entry, atMs)
    this.#setAlarm()
  }

  remove(entry: DeadlineEntry<() => void>): void {
    this.#heap.remove(entry)
    this.#setAlarm()
  }

  /** An alarm that is too early stays: it costs one needless look, where setting it anew would cost one per renewal. */
  #setAlarm(): void {
    const atMs = this.#heap.first?.atMs ?? Infinity
    if (atMs < (this.#alarm?.atMs ?? Infinity)) {
      this.#alarm?.timer.cancel()
      const timer = this.#runtime.setTimer(Math.max(0, atMs - this.#runtime.now()), () => this.#work())
      this.#alarm = { atMs, timer }
    } else if (atMs === Infinity) {
      this.#alarm?.timer.cancel()
      this.#alarm = undefined
    }
  }

  /** The alarm that rang stays in place meanwhile, so that whatever moves on the way sets no other. */
  #work(): void {
    try {
      const nowMs = this.#runtime.now()
      for (
        let first = this.#heap.first;
        first !== undefined && first.atMs <= nowMs;
        first = this.#heap.first
      ) {
        this.#heap.move(first, Infinity)
        first.value()
      }
    } finally {
      this.#alarm?.timer.cancel()
      this.#alarm = undefined
      this.#setAlarm()
    }
  }
}
