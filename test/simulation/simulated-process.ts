import type { Runtime, Timer } from '../../src/support/runtime.ts'
import type { Random } from './random.ts'
import type { Scheduled, World } from './world.ts'

/**
 * running ──▶ still ──▶ catching up ──▶ running       still: time goes on and nothing runs
 *    └──────────┴────────────┴──▶ crashed             for good: one that is started again is another
 */
type Life =
  | { readonly kind: 'running' }
  | { readonly kind: 'still'; readonly timers: Waiting[]; readonly arrivals: Waiting[] }
  | { readonly kind: 'catching-up'; readonly backlog: Waiting[] }
  | { readonly kind: 'crashed'; readonly atMs: number }

interface Waiting {
  readonly what: string
  readonly action: () => void
  /** What comes from one source one after the other is handed over in one turn. */
  readonly from?: object | undefined
}

/** How a process goes on that stood still. */
export interface GoingOn {
  /** The code that was interrupted looks around before anything else runs; otherwise right before the timers. */
  readonly looksFirst?: boolean
  /**
   * The part of what came meanwhile that runs before the timers. Node runs them after it has polled: whoever was
   * waiting there, or was blocked in a callback of what came, has the rest of that before any timer.
   */
  readonly arrivalsFirst?: number
  /** Called once, when all that runs before the timers has run, or the process crashes before that. */
  readonly beforeTimers?: () => void
}

interface PendingTimer {
  readonly action: () => void
  scheduled: Scheduled
}

export interface ProcessOptions {
  readonly name: string
  /** How fast its clock runs: 1.005 gains five milliseconds in a second. */
  readonly clockRate: number
}

/** A process as the library sees it: a runtime whose clock may be wrong and which may stand still or crash. */
export class SimulatedProcess implements Runtime {
  readonly name: string
  readonly world: World
  readonly #rate: number
  readonly #random: Random
  readonly #offsetMs: number
  readonly #timers = new Set<PendingTimer>()
  readonly #warnings: { readonly message: string; readonly code: string }[] = []
  readonly #crashed: (() => void)[] = []
  /** What its own code looks at first when it may go on after it stood still. */
  readonly #interrupted = new Set<() => void>()
  #sleptMs = 0
  #life: Life = { kind: 'running' }
  /** It crashes when it has sent this many messages more. */
  #sendsLeft = Infinity

  constructor(world: World, { name, clockRate }: ProcessOptions) {
    this.name = name
    this.world = world
    this.#rate = clockRate
    this.#random = world.random.fork(`process ${name}`)
    this.#offsetMs = this.#random.between(1e3, 1e9)
  }

  get isCrashed(): boolean {
    return this.#life.kind === 'crashed'
  }

  /** Neither gone nor still, nor catching up. */
  get isRunning(): boolean {
    return this.#life.kind === 'running'
  }

  get standsStill(): boolean {
    return this.#life.kind === 'still'
  }

  get crashedAtMs(): number | undefined {
    return this.#life.kind === 'crashed' ? this.#life.atMs : undefined
  }

  get pendingTimers(): number {
    return this.#timers.size
  }

  get warnings(): readonly { readonly message: string; readonly code: string }[] {
    return this.#warnings
  }

  now(): number {
    return (this.world.nowMs - this.#sleptMs) * this.#rate + this.#offsetMs
  }

  wallNow(): number {
    return 1.7e12 + this.world.nowMs * this.#rate
  }

  bootNow(): number {
    return this.#offsetMs + this.world.nowMs * this.#rate
  }

  setTimer(delayMs: number, action: () => void): Timer {
    // Rounding must not let it fire before its time by its own clock.
    const inMs = Math.max(0, delayMs) / this.#rate + 1e-6
    const pending: PendingTimer = { action, scheduled: this.#scheduleTimer(inMs, () => pending) }
    this.#timers.add(pending)
    const timer: Timer = {
      cancel: () => {
        if (this.#timers.delete(pending)) pending.scheduled.cancel()
      },
      unref: () => timer,
    }
    return timer
  }

  defer(action: () => void): void {
    this.world.after(0, 'defer', () => this.#come('arrivals', { what: 'defer', action }))
  }

  random(): number {
    return this.#random.next()
  }

  randomBytes(length: number): Uint8Array {
    return this.#random.bytes(length)
  }

  identity(): { readonly host: string; readonly pid: number } {
    return { host: `host-of-${this.name}`, pid: 1 }
  }

  warn(message: string, code: string): void {
    this.#warnings.push({ message, code })
  }

  /** Something reaches it from outside, now: it runs unless the process stands still or is gone. */
  receive(what: string, action: () => void, from?: object): void {
    this.#come('arrivals', { what, action, from })
  }

  /** Is a message handed over now still sent? The one that makes the process crash is the last. */
  sends(): boolean {
    if (this.isCrashed) return false
    this.#sendsLeft -= 1
    if (this.#sendsLeft <= 0) this.crash()
    return true
  }

  crashAfterSends(count: number): void {
    this.#sendsLeft = count
  }

  /** Stopped, or its event loop is blocked. False if it was before, or is gone. */
  standStill(): boolean {
    if (this.#life.kind !== 'running') return false
    this.#life = { kind: 'still', timers: [], arrivals: [] }
    this.world.tell(() => `${this.name} stands still`)
    return true
  }

  goOn({ looksFirst = true, arrivalsFirst = 0, beforeTimers = () => {} }: GoingOn = {}): void {
    if (this.#life.kind !== 'still') return
    const { timers, arrivals } = this.#life
    const look = () => {
      for (const one of [...this.#interrupted]) one()
    }
    const first = arrivals.splice(0, Math.ceil(arrivalsFirst * arrivals.length))
    let told = false
    const tell = () => {
      if (!told) beforeTimers()
      told = true
    }
    this.onCrash(tell)
    const then = () => {
      if (!looksFirst) look()
      tell()
    }
    const backlog = [...first, { what: 'look', action: then }, ...timers, ...arrivals]
    this.#life = { kind: 'catching-up', backlog }
    this.world.tell(() => `${this.name} goes on`)
    if (looksFirst) look()
    this.#catchUp(backlog)
  }

  /** The machine sleeps until what this returns is called: monotonic time stands still, boot and wall time do not. */
  sleep(): (how?: GoingOn) => void {
    if (!this.standStill()) return () => {}
    const fellAsleepMs = this.world.nowMs
    return how => {
      if (this.#life.kind !== 'still') return
      const forMs = this.world.nowMs - fellAsleepMs
      this.#sleptMs += forMs
      // No timer came closer meanwhile; those that were about to fire fire now.
      for (const pending of this.#timers) {
        const leftMs = Math.max(0, pending.scheduled.atMs - (this.world.nowMs - forMs))
        pending.scheduled.cancel()
        pending.scheduled = this.#scheduleTimer(leftMs, () => pending)
      }
      this.#life = { ...this.#life, timers: [] }
      this.goOn(how)
    }
  }

  /** Nothing of it runs any more, and nothing cleans up. */
  crash(): void {
    if (this.isCrashed) return
    this.#life = { kind: 'crashed', atMs: this.world.nowMs }
    this.world.tell(() => `${this.name} crashes`)
    for (const pending of this.#timers) pending.scheduled.cancel()
    this.#timers.clear()
    for (const action of this.#crashed) action()
  }

  onCrash(action: () => void): void {
    this.#crashed.push(action)
  }

  /** `look` is the code that was interrupted: it runs before any timer when the process goes on. */
  onGoingOn(look: () => void): () => void {
    this.#interrupted.add(look)
    return () => this.#interrupted.delete(look)
  }

  /** One after the other, each in a turn of its own; what comes meanwhile comes after. */
  #catchUp(backlog: Waiting[]): void {
    this.world.after(0, 'catch up', () => {
      if (this.#life.kind !== 'catching-up' || this.#life.backlog !== backlog) return
      const next = backlog.shift()
      if (next === undefined) {
        this.#life = { kind: 'running' }
        return
      }
      next.action()
      while (next.from !== undefined && backlog[0]?.from === next.from && !this.isCrashed)
        backlog.shift()?.action()
      this.#catchUp(backlog)
    })
  }

  #scheduleTimer(inMs: number, pendingOf: () => PendingTimer): Scheduled {
    return this.world.after(inMs, 'timer', () => {
      const pending = pendingOf()
      const fire = () => {
        if (this.#timers.delete(pending)) pending.action()
      }
      this.#come('timers', { what: 'timer', action: fire })
    })
  }

  #come(kind: 'timers' | 'arrivals', waiting: Waiting): void {
    switch (this.#life.kind) {
      case 'running':
        return waiting.action()
      case 'still':
        return void this.#life[kind].push(waiting)
      case 'catching-up':
        return void this.#life.backlog.push(waiting)
      case 'crashed':
        return
    }
  }
}
