import type { History, Violation } from '../checkers/history.ts'
import type { SessionLife } from '../checkers/sessions.ts'
import type { Transacted } from '../checkers/transactions.ts'
import { Cluster } from './cluster.ts'
import { Nemesis } from './nemesis.ts'
import { Network } from './network.ts'
import type { FaultKind, Plan } from './plan.ts'
import { Recorder } from './recorder.ts'
import type { SimulatedProcess } from './simulated-process.ts'
import { type Stage, startProcess, type Workload } from './stage.ts'
import { Tampering } from './tampering.ts'
import { withoutGlobals } from './traps.ts'
import { World } from './world.ts'

/** Runs as long as this prove something; shorter ones only show a fault. */
const FULL_SECONDS = 60
/** Faults end after this part of it. */
export const FAULTY_PART = 0.8
/** How long all that is under way may take once everything is healed: a request, its repeats, an expiry. */
const SETTLE_MS = 60_000

/** What came of playing a plan. */
export interface Played {
  readonly plan: Plan
  readonly hash: string
  readonly history: History
  readonly sessions: readonly SessionLife[]
  readonly transactions: readonly Transacted[]
  /** What went wrong on the stage itself; the rest is for the checkers to find in the history. */
  readonly complaints: readonly Violation[]
  /** How much was done of what the workload counts. */
  readonly deeds: number
  /** When the actors were told to come to an end. */
  readonly overAtMs: number
  readonly virtualMs: number
  readonly turns: number
  readonly strikes: ReadonlyMap<FaultKind, number>
  readonly trace: readonly string[]
}

/** Plays one plan from start to end: processes at work, faults, then healing, and whether everything settles. */
export function play(
  plan: Plan,
  workload: Workload,
  options: { readonly trace?: boolean } = {},
): Promise<Played> {
  return withoutGlobals(() => new Performance(plan, workload, options).run())
}

class Performance {
  readonly #workload: Workload
  readonly #world: World
  readonly #cluster: Cluster
  readonly #network: Network
  readonly #tampering: Tampering | undefined
  readonly #recorder: Recorder
  readonly #complaints: Violation[] = []
  readonly #cast: { readonly process: SimulatedProcess; isDone: boolean }[] = []
  readonly #plan: Plan
  #isOver = false

  constructor(plan: Plan, workload: Workload, options: { readonly trace?: boolean }) {
    this.#plan = plan
    this.#workload = workload
    this.#world = new World(plan.seed, options)
    this.#cluster = new Cluster(this.#world, plan)
    this.#tampering = plan.hostile ? new Tampering(this.#world.random.fork('tampering')) : undefined
    this.#network = new Network(this.#world, {
      server: this.#cluster.transport,
      weather: plan,
      tampering: this.#tampering,
    })
    this.#recorder = new Recorder(this.#world, this.#cluster)
  }

  async run(): Promise<Played> {
    const rejected = (reason: unknown) => this.#complain('unhandled-rejection', wordsOf(reason))
    process.on('unhandledRejection', rejected)
    try {
      return await this.#play()
    } finally {
      process.off('unhandledRejection', rejected)
    }
  }

  async #play(): Promise<Played> {
    const stage = this.#stage()
    const world = this.#world
    for (let count = 0; count < this.#plan.processes; count++) this.#enter(stage)
    const nemesis = new Nemesis({
      stage,
      processes: () => this.#cast.map(({ process }) => process),
      spawn: () => {
        if (!this.#isOver) this.#enter(stage)
      },
    })
    nemesis.start(this.#plan, this.#workload.spared)
    const endMs = this.#plan.seconds * 1000
    await world.run(endMs * FAULTY_PART)
    nemesis.heal()
    this.#tampering?.stop()
    this.#network.openDoors()
    this.#network.calm()
    await world.run(endMs)
    await this.#enoughDeeds()
    const overAtMs = world.nowMs
    this.#isOver = true
    await this.#allSettle()
    await this.#lineCanBeHad(stage)
    this.#nothingIsLeft()
    const { hash, nowMs, turns, trace } = world
    const history = this.#recorder.history(this.#cluster.log)
    this.#cluster.close()
    return {
      plan: this.#plan,
      hash,
      history,
      sessions: this.#recorder.sessions(),
      transactions: this.#recorder.transactions,
      complaints: this.#complaints,
      deeds: this.#recorder.deeds,
      overAtMs,
      virtualMs: nowMs,
      turns,
      strikes: nemesis.strikes,
      trace,
    }
  }

  #stage(): Stage {
    const isOver = () => this.#isOver
    return {
      plan: this.#plan,
      world: this.#world,
      network: this.#network,
      cluster: this.#cluster,
      recorder: this.#recorder,
      get isOver() {
        return isOver()
      },
      unexpected: (error, where) =>
        this.#complain('unexpected-error', `${where} failed with ${wordsOf(error)}`),
    }
  }

  #enter(stage: Stage, actor: Workload['actor'] = this.#workload.actor): void {
    const process = startProcess(stage, `p${this.#cast.length + 1}`)
    const role = { process, isDone: false }
    this.#cast.push(role)
    process.world.after(0, 'enter', () => {
      actor(process, stage).then(
        () => {
          role.isDone = true
        },
        error => {
          role.isDone = true
          this.#complain('actor-failed', `${process.name} ended with ${wordsOf(error)}`)
        },
      )
    })
  }

  async #enoughDeeds(): Promise<void> {
    // A plan that was shrunk to find a fault need not come so far.
    if (this.#plan.seconds < FULL_SECONDS) return
    const { called, enough } = this.#workload.deeds
    const limitMs = this.#world.nowMs * 8
    await this.#world.run(limitMs, () => this.#recorder.deeds >= enough)
    if (this.#recorder.deeds < enough)
      this.#complain('too-few-deeds', `${this.#recorder.deeds} ${called} in ${this.#world.nowMs} ms`)
  }

  /** Whatever is under way must come to an end by itself. */
  async #allSettle(): Promise<void> {
    await this.#world.run(this.#world.nowMs + SETTLE_MS, () => this.#allDone())
    for (const { process, isDone } of this.#cast)
      if (!isDone && !process.isCrashed)
        this.#complain('not-settled', `${process.name} is still at it ${SETTLE_MS} ms after all was healed`)
  }

  /** Each line can be had, at the latest when the leases of those that crashed have run out. */
  async #lineCanBeHad(stage: Stage): Promise<void> {
    this.#enter(stage, this.#workload.afterwards)
    await this.#world.run(this.#world.nowMs + 2 * this.#plan.ttl * 1000 + 10_000, () => this.#allDone())
    const last = this.#cast.at(-1)
    if (last?.isDone !== true) this.#complain('line-blocked', 'some line cannot be had')
    // Connections of crashed processes are given up, and leases nobody renews run out.
    const leaseMs = Math.max(this.#plan.ttl * 2000, this.#workload.longestLeaseMs ?? 0)
    await this.#world.run(this.#world.nowMs + leaseMs + 25_000)
  }

  #nothingIsLeft(): void {
    for (const line of this.#workload.lines(this.#plan)) {
      const keys = this.#cluster.keys(line)
      if (keys.length > 0) this.#complain('key-left', `in the line ${line}: ${keys.join(', ')}`)
    }
    const leases = this.#cluster.leases()
    if (leases.length > 0) this.#complain('lease-left', `${leases.length} of them`)
    for (const { process, isDone } of this.#cast) {
      if (process.isCrashed || !isDone) continue
      if (process.pendingTimers > 0)
        this.#complain('timer-left', `${process.pendingTimers} by ${process.name}`)
    }
    if (this.#network.openLinks > 0) this.#complain('connection-left', `${this.#network.openLinks} of them`)
  }

  #allDone(): boolean {
    return this.#cast.every(({ process, isDone }) => isDone || process.isCrashed)
  }

  #complain(rule: string, message: string): void {
    this.#complaints.push({ rule, message, involved: [] })
    this.#world.tell(() => `COMPLAINT ${rule}: ${message}`)
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
