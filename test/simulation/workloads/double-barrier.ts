import { DoubleBarrier } from '../../../recipes/double-barrier.ts'
import { EtcdError } from '../../../src/index.ts'
import { checkDoubleBarrier, type DoubleBarrierStay } from '../../checkers/double-barrier.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { whileInSession } from './acting.ts'
import { expected, inSessions, patience, type Scene, wrong } from './barrier-cast.ts'
import { ledger } from './ledger.ts'
import { standing } from './standing.ts'

const PARTIES = 3

type Stay = { -readonly [Name in keyof DoubleBarrierStay]: DoubleBarrierStay[Name] } & {
  readonly line: string
}

const staysOf = ledger<Stay>()

/** Participants that enter, give up, crash outside and inside, and leave. */
export const doubleBarrierWorkload: Workload = {
  name: 'double-barrier',
  lines: () => [],
  deeds: { called: 'enterings', enough: 100 },
  actor: (process, stage) => inSessions(process, stage, 2, participant),
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    for (const [index, line] of linesOf(stage).entries()) {
      const session = await etcd.session({ ttl: 5 })
      // Whoever crashed is still counted until its lease has run out.
      for (;;) {
        const barrier = new DoubleBarrier(session, line, PARTIES, { onLoss: onLossOf(index) })
        const giving = new AbortController()
        const entering = Array.from({ length: PARTIES }, () => barrier.enter({ signal: giving.signal }))
        const timer = process.setTimer(2000, () => giving.abort(new Error('others are inside still')))
        const entries = await Promise.allSettled(entering)
        timer.cancel()
        await Promise.all(
          entries.map(async entry => (entry.status === 'fulfilled' ? entry.value.leave() : undefined)),
        )
        if (entries.every(({ status }) => status === 'fulfilled')) break
        await pause(process, 500)
      }
      await session.close()
      check(stage, line)
    }
    await etcd.close()
  },
}

async function participant(scene: Scene): Promise<void> {
  const { process, stage, session, random } = scene
  const barriers = linesOf(stage).map(
    (line, index) => [line, new DoubleBarrier(session, line, PARTIES, { onLoss: onLossOf(index) })] as const,
  )
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(900))
    if (stage.isOver || session.signal.aborted) return
    const [line, barrier] = random.pick(barriers)
    const stay: Stay = { line, startedAt: stage.world.nowMs }
    staysOf(stage).push(stay)
    const giving = patience({ process, stage }, random.chance(0.1) ? random.exponential(500) : 60_000)
    try {
      const entry = await whileInSession(scene, 'enter', () =>
        standing(scene, [`${line}/`], () => barrier.enter({ signal: giving.signal })),
      )
      stay.entered = { generation: entry.generation, at: stage.world.nowMs }
      stage.recorder.did()
      await pause(process, random.exponential(100))
      await whileInSession(scene, 'leave', () => entry.leave({ signal: giving.signal })).then(
        () => {
          stay.leftAt = stage.world.nowMs
        },
        error => expected(stage, error, 'leave'),
      )
    } catch (error) {
      expected(stage, error, 'enter')
      if (EtcdError.is(error, 'TOO_MANY_PARTICIPANTS')) await pause(process, random.exponential(500))
    } finally {
      giving.stop()
    }
  }
}

function check(stage: Stage, name: string): void {
  const stays = staysOf(stage).filter(({ line }) => line === name)
  const use = { name, parties: PARTIES, stays, recorderLagMs: 0 }
  for (const { message } of checkDoubleBarrier(stage.cluster.log, use)) wrong(stage, message)
}

function onLossOf(index: number): 'break' | 'wait' {
  return index % 2 === 0 ? 'break' : 'wait'
}

function linesOf({ plan }: Stage): string[] {
  return Array.from({ length: plan.lines }, (_, index) => `double/${index}`)
}
