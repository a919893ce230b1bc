import type { World } from './world.ts'

/** What a lane leads through: it may hold messages up, and takes its time. */
export interface Road {
  readonly isHoled: boolean
  /** For one message, in milliseconds. */
  delayMs(): number
  /** Do messages that come together reach their reader in one turn, as those of one read from a socket do? */
  readonly inBatches: boolean
}

interface Freight {
  readonly what: string
  readonly action: () => void
  atMs: number
}

/** Messages this close together may come with one read of the socket. */
const BATCH_MS = 0.5

/**
 * One direction of a connection: each message after its own delay, all in order. While there is a hole in the
 * road nothing arrives and nothing is forgotten; it comes when the hole is mended, as what TCP sends again does.
 */
export class Lane {
  readonly #world: World
  readonly #road: Road
  readonly #arrive: (what: string, action: () => void) => void
  readonly #underWay: Freight[] = []
  #lastAtMs = 0
  #scheduled: { cancel(): void } | undefined

  constructor(world: World, road: Road, arrive: (what: string, action: () => void) => void) {
    this.#world = world
    this.#road = road
    this.#arrive = arrive
  }

  send(what: string, action: () => void): void {
    this.#lastAtMs = Math.max(this.#lastAtMs, this.#world.nowMs + this.#road.delayMs())
    this.#underWay.push({ what, action, atMs: this.#lastAtMs })
    this.#schedule()
  }

  get length(): number {
    return this.#underWay.length
  }

  /** The connection breaks: only the first `kept` still arrive. */
  cut(kept: number): void {
    this.#underWay.length = Math.min(kept, this.#underWay.length)
    if (this.#underWay.length > 0) return
    this.#scheduled?.cancel()
    this.#scheduled = undefined
  }

  /** The road has got a hole, or is whole again. */
  roadChanged(): void {
    this.#scheduled?.cancel()
    this.#scheduled = undefined
    if (this.#road.isHoled) return
    this.#lastAtMs = this.#world.nowMs
    for (const freight of this.#underWay) {
      this.#lastAtMs = Math.max(this.#lastAtMs, freight.atMs, this.#world.nowMs + this.#road.delayMs())
      freight.atMs = this.#lastAtMs
    }
    this.#schedule()
  }

  #schedule(): void {
    const first = this.#underWay[0]
    if (first === undefined || this.#scheduled !== undefined || this.#road.isHoled) return
    this.#scheduled = this.#world.at(first.atMs, first.what, () => {
      this.#scheduled = undefined
      const untilMs = this.#world.nowMs + BATCH_MS
      const batch = [this.#underWay.shift() as Freight]
      while (this.#road.inBatches && this.#underWay[0] !== undefined && this.#underWay[0].atMs <= untilMs)
        batch.push(this.#underWay.shift() as Freight)
      this.#arrive(first.what, () => {
        for (const { action } of batch) action()
      })
      this.#schedule()
    })
  }
}
