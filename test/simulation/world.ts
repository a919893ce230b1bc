import { type DeadlineEntry, DeadlineHeap } from '../../src/support/deadline-heap.ts'
import { Random } from './random.ts'

/** Taken before a run replaces the globals by traps. */
const nextTurn = setImmediate

/** Turns asked of the event loop at once: Node settles all promises between two of them. */
const TURNS_AHEAD = 32

/** So far apart, at most, are instants that would otherwise be equal, in an order that chance decides. */
const TIE_MS = 1e-4

const START = 0x811c9dc5

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
  /** Of the words that have been hashed: there are few of them, and they come again and again. */
  readonly #words = new Map<string, number>()
  readonly #instant = new Float64Array(1)
  readonly #halves = new Uint32Array(this.#instant.buffer)
  #soon: (() => void)[] = []
  #nowMs = 0
  #hash = START
  #turns = 0

  constructor(seed: number, options: { readonly trace?: boolean } = {}) {
    this.random = new Random(seed)
    this.#ties = this.random.fork('ties')
    this.#trace = options.trace === true ? [] : undefined
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** Of all that has happened, in order: each instant to the last bit, and what it was. */
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

  #mix({ atMs, value: { what } }: DeadlineEntry<Happening>): void {
    this.#instant[0] = atMs
    const hash = mixed(mixed(this.#hash, this.#halves[0] as number), this.#halves[1] as number)
    this.#hash = mixed(hash, this.#hashOf(what))
  }

  #hashOf(words: string): number {
    let hash = this.#words.get(words)
    if (hash === undefined) {
      hash = START
      for (let index = 0; index < words.length; index++) hash = mixed(hash, words.charCodeAt(index))
      this.#words.set(words, hash)
    }
    return hash
  }
}

/** One step of FNV-1a, which keeps what it was given first in the upper bits; those are folded into the lower ones. */
function mixed(hash: number, more: number): number {
  const product = Math.imul(hash ^ more, 0x01000193)
  return product ^ (product >>> 15)
}
