import { type Etcd, EtcdError, type Session } from '../../../src/index.ts'
import type { TimeSpan } from '../../checkers/belief.ts'
import { turnAt } from '../../checkers/openings.ts'
import { checkTurns, type Turn } from '../../checkers/turns.ts'
import { promptnessOf } from '../promptness.ts'
import type { Random } from '../random.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage } from '../stage.ts'
import { closeSession, expected as expectedOf, openSession } from './acting.ts'
import { isCompacted, type Saying } from './said.ts'

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
    if (await closeSession({ process, stage, session })) open.closed()
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

/** As for all, or because it was given up. */
export function expected(stage: Stage, error: unknown, saying: Saying): void {
  if (error instanceof EnoughWaited) return
  expectedOf(stage, error, saying)
  // Nobody deletes the keys that tell; but the past may be compacted.
  if (EtcdError.is(error, 'BARRIER_BROKEN') && error.outcome === 'unknown' && !isCompacted(stage.plan))
    stage.unexpected(error, saying)
}

/** Somebody who came to a gate, and when it was let through, or gave up. */
export interface Visit {
  readonly line: string
  readonly process: SimulatedProcess
  readonly startedAt: number
  readonly endedAt: number
}

/** Whoever waits at a gate is let through when it opens, and not only when it looks again. */
export function checkVisits(
  stage: Stage,
  line: string,
  { visits, open }: { readonly visits: readonly Visit[]; readonly open: readonly TimeSpan[] },
): void {
  const { plan, recorder } = stage
  if (plan.hostile) return
  const promptness = promptnessOf(plan, plan.seconds * 1000)
  const turns = visits.flatMap(({ process, startedAt, endedAt, ...visit }): Turn[] => {
    const at = visit.line === line ? turnAt(open, startedAt, promptness) : undefined
    if (at === undefined) return []
    const { name, crashedAtMs: diedAt } = process
    const what = `let through ${line}, or gave up,`
    return [
      {
        id: name,
        process: name,
        turnAt: at,
        toldAt: endedAt,
        what,
        ...(diedAt === undefined ? {} : { diedAt }),
      },
    ]
  })
  for (const { message } of checkTurns(turns, recorder.stalls, promptness)) wrong(stage, message)
}

export function wrong(stage: Stage, what: string): void {
  stage.unexpected(new Error(what), 'the check of the rounds')
}
