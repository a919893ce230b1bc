import { type Etcd, EtcdError, type Session } from '../../../src/index.ts'
import type { Commit } from '../../checkers/history.ts'
import type { Random } from '../random.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage } from '../stage.ts'
import { openSession } from './acting.ts'

/** What those who meet at barriers and latches have in common. */

/** One task of one process. */
export interface Scene {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly etcd: Etcd
  readonly session: Session
  readonly random: Random
}

/** Why somebody in the play gives up. */
class EnoughWaited extends Error {}

/** Opens one session after the other, and has so many tasks at work in each until it or the play is over. */
export async function inSessions(
  process: SimulatedProcess,
  stage: Stage,
  tasks: number,
  task: (scene: Scene, index: number) => Promise<void>,
): Promise<void> {
  const etcd = await connected(process, stage)
  if (etcd === undefined) return
  const random = stage.world.random.fork(`actor ${process.name}`)
  for (let count = 0; !stage.isOver; count++) {
    const session = await openSession(etcd, process, stage)
    if (session === undefined) continue
    const open = stage.recorder.session(process, session)
    await Promise.all(
      Array.from({ length: tasks }, (_, index) =>
        task({ process, stage, etcd, session, random: random.fork(`task ${count} ${index}`) }, index),
      ),
    )
    try {
      await session.close()
      open.closed()
    } catch (error) {
      expected(stage, error, 'close')
    }
  }
  // What was given up without a session is still being put in order.
  await pause(process, 20_000)
  await etcd.close()
}

/** A signal that aborts after so long, and at the latest soon after the play is over. */
export function patience(
  { process, stage }: Pick<Scene, 'process' | 'stage'>,
  ms: number,
): { readonly signal: AbortSignal; readonly stop: () => void } {
  const leaving = new AbortController()
  const untilMs = stage.world.nowMs + ms
  let timer = process.setTimer(Math.min(ms, 500), look)
  function look(): void {
    if (stage.isOver || stage.world.nowMs >= untilMs) leaving.abort(new EnoughWaited())
    else timer = process.setTimer(Math.min(Math.max(1, untilMs - stage.world.nowMs), 500), look)
  }
  return { signal: leaving.signal, stop: () => timer.cancel() }
}

/** Under faults a call may fail with an error of ours, or because it was given up, and with nothing else. */
export function expected(stage: Stage, error: unknown, where: string): void {
  if (error instanceof EnoughWaited) return
  if (!EtcdError.is(error)) stage.unexpected(error, where)
  // Nobody deletes the keys that tell; but the past may be compacted.
  else if (error.code === 'BARRIER_BROKEN' && error.outcome === 'unknown' && !isPastLost(stage))
    stage.unexpected(error, where)
}

function isPastLost({ plan }: Stage): boolean {
  return plan.hostile || plan.faults.includes('compaction')
}

/** Lists that belong to one play each. */
export function ledger<Entry>(): (stage: Stage) => Entry[] {
  const entries = new WeakMap<Stage, Entry[]>()
  return stage => {
    const known = entries.get(stage) ?? []
    entries.set(stage, known)
    return known
  }
}

/** The end of a round at a barrier, as the log of the cluster shows it. */
export interface RoundEnd {
  readonly generation: number
  readonly how: 'open' | 'passed' | 'broken'
  readonly commit: Commit
  /** How many had come, and how many of them were there at the same time at most. */
  readonly came: number
  readonly together: number
  /** Keys of that round that were there right before, those without a lease left out. */
  readonly left: number
}

/** All that became of the rounds of the barrier `name`, from the first revision on. */
export function roundsOf(log: readonly Commit[], name: string): readonly RoundEnd[] {
  const members = new Map<number, { came: Set<string>; there: Map<string, bigint>; together: number }>()
  const roundAt = (generation: number) => {
    const round = members.get(generation) ?? { came: new Set(), there: new Map(), together: 0 }
    members.set(generation, round)
    return round
  }
  const ends: RoundEnd[] = []
  let before = { generation: 0, phase: 'gathering', past: '' }
  for (const commit of log) {
    const state = commit.changes.find(({ key }) => key === `${name}/state`)
    if (state?.kind === 'put') {
      const now = JSON.parse(state.value) as typeof before
      const { generation } = before
      const { came, there, together } = roundAt(generation)
      const left = [...there.values()].filter(lease => lease !== 0n).length
      const facts = { generation, commit, came: came.size, together, left }
      if (now.generation > generation)
        ends.push({ ...facts, how: now.past.endsWith('p') ? 'passed' : 'broken' })
      else if (now.phase !== before.phase) ends.push({ ...facts, how: now.phase as 'open' | 'broken' })
      before = now
    }
    for (const change of commit.changes) {
      const [, generation] = new RegExp(`^${name}/(\\d+)/m/`).exec(change.key) ?? []
      if (generation === undefined) continue
      const round = roundAt(Number(generation))
      if (change.kind === 'put') {
        round.came.add(change.key)
        round.there.set(change.key, change.lease)
        round.together = Math.max(round.together, round.there.size)
      } else round.there.delete(change.key)
    }
  }
  return ends
}

export function wrong(stage: Stage, what: string): void {
  stage.unexpected(new Error(what), 'the check of the rounds')
}
