import { type DeadlineEntry, DeadlineHeap } from '../../src/support/deadline-heap.ts'
import { Random } from './random.ts'

/** Taken before a run replaces the globals by traps. */
const nextTurn = setImmediate

/** Turns asked of the event loop at once: Node settles all promises between two of them. */
const TURNS_AHEAD = 32

/** So far apart, at most, are instants that would otherwise be equal, in an order that chance decides. */
const TIE_MS = 1e-4

export interface Scheduled {
  readonly atMs: number
  cancel(): void
}

interface Happening {
  readonly what: string
  readonly action: () => void
}

/**
 * Virtual time, and the only order in which anything happens: one happening at a time, the earliest first, and
 * after each all promises settle before the next. The same seed gives the same order, to the last bit.
 */
export class World {
  readonly random: Random
  readonly #ties: Random
  readonly #agenda = new DeadlineHeap<Happening>()
  readonly #trace: string[] | undefined
  #soon: (() => void)[] = []
  #nowMs = 0
  #hash = 0x811c9dc5
  #turns = 0

  constructor(seed: number, options: { readonly trace?: boolean } = {}) {
    this.random = new Random(seed)
    this.#ties = this.random.fork('ties')
    this.#trace = options.trace === true ? [] : undefined
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** Of all that has happened, in order. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  get turns(): number {
    return this.#turns
  }

  get trace(): readonly string[] {
    return this.#trace ?? []
  }

  get isTracing(): boolean {
    return this.#trace !== undefined
  }

  /** A line of the trace; `words` is not called when nobody reads it. */
  tell(words: () => string): void {
    this.#trace?.push(`${(this.#nowMs / 1000).toFixed(4).padStart(9)}  ${words()}`)
  }

  at(atMs: number, what: string, action: () => void): Scheduled {
    const entry: DeadlineEntry<Happening> = this.#agenda.add(
      { what, action },
      Math.max(atMs, this.#nowMs) + this.#ties.next() * TIE_MS,
    )
    return { atMs: entry.atMs, cancel: () => this.#agenda.remove(entry) }
  }

  after(delayMs: number, what: string, action: () => void): Scheduled {
    return this.at(this.#nowMs + Math.max(0, delayMs), what, action)
  }

  /** Before this happening is over. */
  soon(action: () => void): void {
    this.#soon.push(action)
  }

  /** Lets things happen until this instant, or until `enough` says so, or nothing more is to come. */
  run(untilMs: number, enough: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      let isOver = false
      const turn = () => {
        if (isOver) return
        try {
          if (!enough() && this.#happen(untilMs)) return void nextTurn(turn)
          isOver = true
          resolve()
        } catch (error) {
          isOver = true
          reject(error)
        }
      }
      for (let ahead = 0; ahead < TURNS_AHEAD; ahead++) nextTurn(turn)
    })
  }

  /** False when nothing is left to happen until then. */
  #happen(untilMs: number): boolean {
    const first = this.#agenda.first
    if (first === undefined || first.atMs > untilMs) {
      if (untilMs !== Infinity) this.#nowMs = Math.max(this.#nowMs, untilMs)
      return false
    }
    this.#agenda.remove(first)
    this.#nowMs = first.atMs
    this.#turns += 1
    this.#mix(first)
    first.value.action()
    while (this.#soon.length > 0) {
      const soon = this.#soon
      this.#soon = []
      for (const action of soon) action()
    }
    return true
  }

  #mix({ atMs, value }: DeadlineEntry<Happening>): void {
    // Microseconds are fine enough to tell two orders apart.
    let hash = Math.imul(this.#hash ^ Math.floor(atMs * 1000), 0x01000193)
    hash = Math.imul(hash ^ value.what.length, 0x01000193)
    this.#hash = Math.imul(hash ^ value.what.charCodeAt(0), 0x01000193)
  }
}
