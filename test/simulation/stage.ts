import { connect, type Etcd } from '../../src/index.ts'
import type { LineRule } from '../checkers/line-rule.ts'
import { type Cluster, credentials } from './cluster.ts'
import type { Network } from './network.ts'
import type { FaultKind, Plan } from './plan.ts'
import type { Recorder } from './recorder.ts'
import { SimulatedProcess } from './simulated-process.ts'
import type { World } from './world.ts'

/** Where the actors play: one cluster, one network, and the processes that come and go. */
export interface Stage {
  readonly plan: Plan
  readonly world: World
  readonly network: Network
  readonly cluster: Cluster
  readonly recorder: Recorder
  /** True from when everything heals on: actors finish what they are at and leave. */
  readonly isOver: boolean
  /** Something an actor has no explanation for. */
  unexpected(error: unknown, where: string): void
}

/** What one process does on its stage, from start to end. It resolves when all of it is put in order. */
export type Actor = (process: SimulatedProcess, stage: Stage) => Promise<void>

export interface Deeds {
  /** Many of them, as they are told. */
  readonly called: string
  /** A play without so many of them shows little. */
  readonly enough: number
}

export interface Workload {
  readonly name: string
  readonly actor: Actor
  /** The prefixes below which nothing may be left when all actors are gone. */
  lines(plan: Plan): readonly string[]
  /** What is counted of what its actors get done; a play goes on until enough of it was. */
  readonly deeds: Deeds
  /** Faults whose marks its history cannot be read with. */
  readonly spared?: ReadonlySet<FaultKind>
  /** What owning means in a line; without it, one at a time. */
  ruleOf?(line: string): LineRule
  /** After how long a hold in this line is given up by itself. */
  maxHoldMs?(plan: Plan, line: string): number | undefined
  /** Of leases that are left to run out; those of sessions go without saying. */
  readonly longestLeaseMs?: number
  /** Shows that each line can still be had, once everything is healed. */
  readonly afterwards: Actor
}

export function startProcess(stage: Stage, name: string): SimulatedProcess {
  const { drift } = stage.plan
  const clockRate = 1 + stage.world.random.fork(`clock ${name}`).between(-drift, drift)
  return new SimulatedProcess(stage.world, { name, clockRate })
}

/** Connects until it works, or until the play is over. */
export async function connected(process: SimulatedProcess, stage: Stage): Promise<Etcd | undefined> {
  for (;;) {
    try {
      const etcd = await connect([...stage.cluster.endpoints], {
        transport: stage.network.transportOf(process),
        runtime: process,
        ...(stage.plan.tokenTtl > 0 ? { credentials } : {}),
      })
      // What is worth telling an operator is no news here.
      etcd.on('warning', () => {})
      return etcd
    } catch {
      if (stage.isOver) return undefined
      await pause(process, 200)
    }
  }
}

export function pause(process: SimulatedProcess, ms: number): Promise<void> {
  return new Promise(resolve => void process.setTimer(ms, resolve))
}
