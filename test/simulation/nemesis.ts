import type { Intervention } from '../checkers/history.ts'
import { type FaultKind, faultKinds, type Plan } from './plan.ts'
import type { Random } from './random.ts'
import type { GoingOn, SimulatedProcess } from './simulated-process.ts'
import type { Stage } from './stage.ts'

/** A fault as the plan names it: how often it strikes, and what it does then. */
interface Fault {
  /** Between two strikes, on average, in milliseconds. */
  readonly everyMs: number
  /** Was there anything to strike? */
  strike(nemesis: Strike): boolean
}

interface Strike {
  readonly stage: Stage
  readonly random: Random
  /** A process that runs, if there is any. */
  process(): SimulatedProcess | undefined
  /** Takes that process out, and has another one take its part some time later. */
  replace(process: SimulatedProcess): void
  /** Lifts the fault after this time, and when everything heals. */
  lasting(forMs: number, lift: () => void): void
}

export interface NemesisParts {
  readonly stage: Stage
  readonly processes: () => readonly SimulatedProcess[]
  readonly spawn: () => void
}

/** Plays the faults of the plan at instants of their own, until all is to heal. */
export class Nemesis {
  readonly #parts: NemesisParts
  readonly #lasting = new Set<() => void>()
  readonly #strikes = new Map<FaultKind, number>()
  #isOver = false

  constructor(parts: NemesisParts) {
    this.#parts = parts
  }

  /** How often each fault has struck something. */
  get strikes(): ReadonlyMap<FaultKind, number> {
    return this.#strikes
  }

  start(plan: Plan, spared?: ReadonlySet<FaultKind>): void {
    for (const kind of faultKinds) if (plan.faults.includes(kind) && !spared?.has(kind)) this.#schedule(kind)
  }

  /** Everything that lasts is lifted, and nothing more strikes. */
  heal(): void {
    this.#isOver = true
    for (const lift of [...this.#lasting]) lift()
  }

  #schedule(kind: FaultKind): void {
    const { stage } = this.#parts
    const random = stage.world.random.fork(`fault ${kind}`)
    const next = () =>
      stage.world.after(random.exponential(FAULTS[kind].everyMs), `fault ${kind}`, () => {
        if (this.#isOver) return
        this.#strike(kind, random)
        next()
      })
    next()
  }

  #strike(kind: FaultKind, random: Random): void {
    const { stage, processes, spawn } = this.#parts
    stage.world.tell(() => `          ! ${kind}`)
    const struck = FAULTS[kind].strike({
      stage,
      random,
      process: () => {
        const running = processes().filter(process => process.isRunning)
        return running.length === 0 ? undefined : random.pick(running)
      },
      replace: process => {
        process.onCrash(() => this.#lastUntil(random.between(100, 5000), spawn))
      },
      lasting: (forMs, lift) => this.#lastUntil(forMs, lift),
    })
    if (struck) this.#strikes.set(kind, (this.#strikes.get(kind) ?? 0) + 1)
  }

  #lastUntil(forMs: number, action: () => void): void {
    // What was to follow on what has just been lifted.
    if (this.#isOver) return action()
    const lift = () => {
      if (this.#lasting.delete(lift)) action()
    }
    this.#lasting.add(lift)
    this.#parts.stage.world.after(forMs, 'lift', lift)
  }
}

/** What processes ask for, what takes places most of all. */
const ASKED = ['Txn', 'Txn', 'Put', 'Range', 'LeaseGrant', 'LeaseRevoke'] as const

const FAULTS: Readonly<Record<FaultKind, Fault>> = {
  cut: {
    everyMs: 1500,
    strike: ({ stage, random }) => somePath(stage, random)?.cut() ?? false,
  },
  'black-hole': {
    everyMs: 8000,
    strike: strike => hole(strike, ['up', 'down']),
  },
  'one-way': {
    everyMs: 8000,
    strike: strike => hole(strike, [strike.random.pick(['up', 'down'] as const)]),
  },
  'slow-path': {
    everyMs: 6000,
    strike: ({ stage, random, lasting }) => {
      const path = somePath(stage, random)
      if (path === undefined) return false
      lasting(random.exponential(3000), path.slow(random.between(50, 2500)))
      return true
    },
  },
  'path-degrades': {
    everyMs: 12_000,
    // As a network does that is about to fail: first answers are late, then there are none.
    strike: ({ stage, random, process, lasting }) => {
      const chosen = process()
      if (chosen === undefined) return false
      const ttlMs = stage.plan.ttl * 1000
      const paths = stage.network.pathsOf(chosen)
      const byMs = random.between(100, 1500)
      const mend = paths.map(path => path.slow(byMs))
      lasting(random.between(0.2, 1) * ttlMs, () => {
        for (const path of paths) mend.push(path.hole(['up', 'down']))
        lasting(random.between(0.5, 1.5) * ttlMs, () => {
          for (const one of mend) one()
        })
      })
      return paths.length > 0
    },
  },
  'never-speaks': {
    everyMs: 10_000,
    strike: strike => {
      shutDoor(strike, 'never speaks')
      return true
    },
  },
  'member-killed': {
    everyMs: 12_000,
    strike: strike => {
      const { stage, random, lasting } = strike
      const member = shutDoor(strike, 'refuses')
      stage.cluster.breakConnections(member)
      // When it led, nobody leads for a while.
      if (random.chance(0.4)) lasting(random.between(900, 1700), stage.cluster.faults.loseLeader())
      return true
    },
  },
  'all-members-down': {
    everyMs: 25_000,
    strike: ({ stage, random, lasting }) => {
      const lift = stage.cluster.faults.loseLeader()
      for (const [member, address] of stage.cluster.endpoints.entries()) {
        stage.network.setDoor(address, 'refuses')
        stage.cluster.breakConnections(member)
      }
      lasting(random.exponential(3000), () => {
        for (const address of stage.cluster.endpoints) stage.network.setDoor(address, 'open')
        lift()
      })
      return true
    },
  },
  'member-stopped': {
    everyMs: 12_000,
    strike: ({ stage, random, lasting }) => {
      const member = random.integer(0, stage.plan.members - 1)
      const lift = stage.cluster.faults.pause(member)
      const mend = stage.network.pathsTo(addressOf(stage, member)).map(path => path.deafen())
      lasting(random.exponential(stage.plan.ttl * 700), () => {
        for (const one of mend) one()
        lift()
      })
      return true
    },
  },
  'member-lags': {
    everyMs: 8000,
    strike: ({ stage, random, lasting }) => {
      const member = random.integer(0, stage.plan.members - 1)
      const ms = random.chance(0.2) ? Infinity : Math.ceil(random.exponential(500))
      lasting(random.exponential(4000), stage.cluster.faults.lag(member, ms))
      return true
    },
  },
  'leader-lost': {
    everyMs: 15_000,
    strike: ({ stage, random, lasting }) => {
      const forMs = random.chance(0.8) ? random.between(900, 1700) : random.between(5000, 12_000)
      lasting(forMs, stage.cluster.faults.loseLeader())
      return true
    },
  },
  'go-away': {
    everyMs: 5000,
    strike: strike => {
      const member = memberInUse(strike)
      if (member !== undefined) strike.stage.cluster.faults.goAway(member)
      return member !== undefined
    },
  },
  'streams-cut': {
    everyMs: 4000,
    strike: strike => {
      const member = memberInUse(strike)
      if (member !== undefined) strike.stage.cluster.faults.cutStreams(member)
      return member !== undefined
    },
  },
  'reply-lost': {
    everyMs: 2500,
    strike: ({ stage, random, lasting }) => {
      const method = random.pick(ASKED)
      const then = random.pick(['disconnect', 'silence'] as const)
      lasting(5000, stage.cluster.faults.loseReplies({ method, times: random.integer(1, 3), then }))
      return true
    },
  },
  'answer-garbled': {
    everyMs: 3000,
    strike: ({ stage, random, lasting }) => {
      lasting(5000, stage.network.garble(random.pick(ASKED)))
      return true
    },
  },
  'process-stopped': {
    everyMs: 9000,
    strike: strike => standStill(strike, strike.random.exponential(strike.stage.plan.ttl * 800)),
  },
  'process-stalled': {
    everyMs: 2500,
    strike: strike => standStill(strike, strike.random.exponential(300)),
  },
  'process-sleeps': {
    everyMs: 15_000,
    strike: strike => {
      const chosen = strike.process()
      if (chosen === undefined) return false
      const wake = chosen.sleep()
      goesOnAfter(strike, chosen, strike.random.exponential(strike.stage.plan.ttl * 800), wake)
      return true
    },
  },
  'process-crashes': {
    everyMs: 12_000,
    strike: ({ process, replace }) => {
      const chosen = process()
      if (chosen === undefined) return false
      replace(chosen)
      chosen.crash()
      return true
    },
  },
  'process-crashes-sending': {
    everyMs: 12_000,
    strike: ({ random, process, replace }) => {
      const chosen = process()
      if (chosen === undefined) return false
      replace(chosen)
      chosen.crashAfterSends(random.integer(1, 20))
      return true
    },
  },
  'lease-revoked': {
    everyMs: 7000,
    strike: ({ stage, random }) => {
      const lease = someLease(stage, random)
      if (lease === undefined) return false
      intervene(stage, 'lease-revoked', lease.keys, () => stage.cluster.endLease(lease.id, 'revoke'))
      return true
    },
  },
  'lease-expires-early': {
    everyMs: 10_000,
    strike: ({ stage, random }) => {
      const lease = someLease(stage, random)
      if (lease === undefined) return false
      intervene(stage, 'lease-expired-early', lease.keys, () => stage.cluster.endLease(lease.id, 'expire'))
      return true
    },
  },
  'lease-ends-at-deadline': {
    everyMs: 15_000,
    // The session hears nothing more, and its lease ends in the very instant in which it gives the lease up.
    strike: ({ stage, random, lasting }) => {
      const open = stage.recorder.openSessions.filter(({ process }) => !process.standsStill)
      if (open.length === 0) return false
      const { process, session } = random.pick(open)
      const forMs = session.remainingMs
      const mend = stage.network.pathsOf(process).map(path => path.hole(['up', 'down']))
      process.setTimer(forMs, () => {
        const lease = stage.cluster.leases().find(({ id }) => id === session.leaseId)
        if (lease === undefined) return
        intervene(stage, 'lease-expired-early', lease.keys, () => stage.cluster.endLease(lease.id, 'expire'))
      })
      lasting(forMs + 50, () => {
        for (const one of mend) one()
      })
      return true
    },
  },
  'key-deleted': {
    everyMs: 5000,
    strike: ({ stage, random }) => {
      const key = someLeasedKey(stage, random)
      if (key === undefined) return false
      intervene(stage, 'key-deleted', [key], () => stage.cluster.deleteKey(key))
      return true
    },
  },
  'key-overwritten': {
    everyMs: 10_000,
    strike: ({ stage, random, lasting }) => {
      const key = someLeasedKey(stage, random)
      if (key === undefined) return false
      intervene(stage, 'key-overwritten', [key], () => stage.cluster.overwriteKey(key))
      // Without its lease it would stay for ever, were it not for whoever wrote it.
      lasting(random.exponential(8000), () => {
        if (stage.cluster.isUnleased(key))
          intervene(stage, 'key-deleted', [key], () => stage.cluster.deleteKey(key))
      })
      return true
    },
  },
  'no-space': {
    everyMs: 12_000,
    strike: ({ stage, random, lasting }) => {
      lasting(random.exponential(3000), stage.cluster.fill(random.integer(0, stage.plan.members - 1)))
      return true
    },
  },
  'tokens-forgotten': {
    everyMs: 8000,
    strike: ({ stage }) => {
      if (stage.plan.tokenTtl === 0) return false
      stage.cluster.forgetTokens()
      return true
    },
  },
  compaction: {
    everyMs: 2000,
    strike: ({ stage, random }) => {
      const { revision, compactedAt } = stage.cluster
      const back = BigInt(random.pick([0, 0, 1, 3, 20]))
      if (revision - back <= compactedAt) return false
      stage.cluster.faults.compact(revision - back)
      return true
    },
  },
}

function somePath(stage: Stage, random: Random) {
  const paths = stage.network.paths.filter(path => !path.process.isCrashed)
  return paths.length === 0 ? undefined : random.pick(paths)
}

/** One that somebody has a connection to. */
function memberInUse({ stage, random }: Strike): number | undefined {
  const { cluster, network } = stage
  const inUse = cluster.endpoints.flatMap((address, member) =>
    network.pathsTo(address).some(({ links }) => links.size > 0) ? [member] : [],
  )
  return inUse.length === 0 ? undefined : random.pick(inUse)
}

/** Between one process and one member, or all members. */
function hole({ stage, random, process, lasting }: Strike, directions: readonly ('up' | 'down')[]): boolean {
  const chosen = process()
  if (chosen === undefined) return false
  const paths = stage.network.pathsOf(chosen)
  const some = random.chance(0.5) || paths.length === 0 ? paths : [random.pick(paths)]
  const mend = some.map(path => path.hole(directions))
  lasting(random.exponential(stage.plan.ttl * 700), () => {
    for (const one of mend) one()
  })
  return paths.length > 0
}

function shutDoor({ stage, random, lasting }: Strike, door: 'refuses' | 'never speaks'): number {
  const member = random.integer(0, stage.plan.members - 1)
  const address = addressOf(stage, member)
  stage.network.setDoor(address, door)
  lasting(random.exponential(4000), () => stage.network.setDoor(address, 'open'))
  return member
}

function standStill(strike: Strike, forMs: number): boolean {
  const chosen = strike.process()
  if (chosen?.standStill() !== true) return false
  goesOnAfter(strike, chosen, forMs, how => chosen.goOn(how))
  return true
}

/** It was blocked in code of its own, or somewhere in what the event loop found when it looked for what has come. */
function goesOnAfter(
  { stage, random, lasting }: Strike,
  process: SimulatedProcess,
  forMs: number,
  goOn: (how: GoingOn) => void,
): void {
  const from = stage.world.nowMs
  const inOwnCode = random.chance(0.5)
  const looksFirst = inOwnCode || random.chance(0.5)
  const arrivalsFirst = inOwnCode ? 0 : random.pick([1, random.next()])
  lasting(forMs, () => {
    const stillStood = stage.recorder.stall(process, from)
    // Nobody answers for what is believed until the code that believes it has had a chance to look.
    goOn({ looksFirst, arrivalsFirst, ...(looksFirst ? {} : { beforeTimers: stillStood }) })
  })
}

function someLease(stage: Stage, random: Random) {
  const leases = stage.cluster.leases()
  return leases.length === 0 ? undefined : random.pick(leases)
}

function someLeasedKey(stage: Stage, random: Random): string | undefined {
  const keys = stage.cluster.leases().flatMap(lease => lease.keys)
  return keys.length === 0 ? undefined : random.pick(keys)
}

function intervene(stage: Stage, kind: Intervention['kind'], keys: readonly string[], act: () => void): void {
  act()
  stage.recorder.intervention({ at: stage.world.nowMs, revision: stage.cluster.revision, kind, keys })
}

function addressOf(stage: Stage, member: number): string {
  return stage.cluster.endpoints[member] as string
}
