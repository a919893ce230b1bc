import { setTimeout as sleep } from 'node:timers/promises'
import type { Etcd } from '../../src/index.ts'
import type { FaultyCluster, FaultyMember, Network } from '../support/etcd-cluster.ts'
import type { Chance } from './chance.ts'
import type { Journal } from './journal.ts'
import type { Round } from './messages.ts'
import type { Tally } from './tally.ts'

/** The processes at work, as far as faults need to know them. */
export interface Crew {
  /** Names of those that run. */
  readonly names: readonly string[]
  stop(name: string): void
  go(name: string): void
  /** SIGKILL, then a new one in its place. */
  replace(name: string): Promise<void>
  /** Those that may be replaced. */
  readonly expendable: readonly string[]
}

/** All that a fault can strike. */
export interface Stage {
  readonly cluster: FaultyCluster
  readonly networks: readonly Network[]
  readonly crew: Crew
  readonly round: Round
  readonly chance: Chance
  readonly journal: Journal
  /** How far the recorder is: what is compacted before it is known is known to nobody. */
  recorded(): Promise<bigint>
}

export interface Fault {
  readonly name: string
  /** How often it is chosen among those of its hand. */
  readonly weight: number
  /** How long it lasts, in milliseconds. */
  readonly lasts: readonly [number, number]
  /** Resolves with how to end it. */
  strike(stage: Stage): Promise<() => Promise<void>>
}

export const NOTHING_TO_UNDO = async (): Promise<void> => {}

/** Strikes one fault after the other, drawn by chance, until told to stop; then ends what is under way. */
export async function wield(
  faults: readonly Fault[],
  stage: Stage,
  signal: AbortSignal,
  counts: Tally,
): Promise<void> {
  const { chance } = stage
  while (!signal.aborted) {
    await sleep(chance.between(200, 3000), undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    const fault = drawn(faults, chance)
    let undo: () => Promise<void>
    try {
      undo = await fault.strike(stage)
    } catch {
      // Other faults stood in its way: a lease cannot be revoked without a leader.
      counts.add('(could not strike)')
      continue
    }
    counts.add(fault.name)
    await sleep(chance.between(...fault.lasts), undefined, { signal }).catch(() => {})
    await undo()
  }
}

/** The member a kind of fault is about. */
export async function chosen(stage: Stage, which: 'leader' | 'any'): Promise<FaultyMember> {
  return which === 'leader' ? stage.cluster.leader() : stage.chance.of(stage.cluster.members)
}

/** Repeats until it works: repairs must, whatever else goes on. */
export async function untilDone(what: string, work: () => Promise<unknown>): Promise<void> {
  const giveUpAtMs = performance.now() + 60_000
  for (;;) {
    try {
      await work()
      return
    } catch (error) {
      if (performance.now() > giveUpAtMs)
        throw new Error(`${what} did not succeed within 60 s: ${error}`, { cause: error })
      await sleep(100)
    }
  }
}

/** Lets the cluster forget everything before that revision, if it has not already. */
export async function compactTo(etcd: Etcd, revision: bigint): Promise<void> {
  if (revision > 1n) await etcd.compact(revision, { timeoutMs: 3000 })
}

function drawn(faults: readonly Fault[], chance: Chance): Fault {
  const total = faults.reduce((sum, { weight }) => sum + weight, 0)
  let left = chance.next() * total
  for (const fault of faults) {
    left -= fault.weight
    if (left < 0) return fault
  }
  return faults[0]!
}
