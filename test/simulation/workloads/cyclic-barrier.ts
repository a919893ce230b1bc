import { CyclicBarrier } from '../../../recipes/cyclic-barrier.ts'
import { EtcdError } from '../../../src/index.ts'
import { type CyclicWait, checkCyclicBarrier } from '../../checkers/cyclic-barrier.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { inTime, whileInSession } from './acting.ts'
import { expected, inSessions, patience, type Scene, wrong } from './barrier-cast.ts'
import { ledger } from './ledger.ts'
import { REQUEST_MS, standing } from './standing.ts'

const PARTIES = 3

type Wait = { -readonly [Name in keyof CyclicWait]: CyclicWait[Name] } & { readonly line: string }

const waitsOf = ledger<Wait>()

/** Parties that meet, give up, crash, and reset what they find broken. */
export const cyclicBarrierWorkload: Workload = {
  name: 'cyclic-barrier',
  lines: () => [],
  deeds: { called: 'passages', enough: 100 },
  actor: (process, stage) => inSessions(process, stage, 2, party),
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    const session = await etcd.session({ ttl: 5 })
    for (const line of linesOf(stage)) {
      const barrier = new CyclicBarrier(session, line, PARTIES)
      await barrier.reset()
      const arrivals = await Promise.all(Array.from({ length: PARTIES }, () => barrier.await()))
      if (new Set(arrivals.map(({ generation }) => generation)).size !== 1)
        wrong(stage, `${line}: parties that came at once passed in different rounds`)
      check(stage, line)
    }
    await session.close()
    await etcd.close()
  },
}

async function party(scene: Scene): Promise<void> {
  const { process, stage, session, random } = scene
  const barriers = linesOf(stage).map(
    line =>
      [
        line,
        new CyclicBarrier(session, line, PARTIES, actionOf({ process, stage }, random.chance(0.3))),
      ] as const,
  )
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(900))
    if (stage.isOver || session.signal.aborted) return
    const [line, barrier] = random.pick(barriers)
    const wait: Wait = { line, startedAt: stage.world.nowMs }
    waitsOf(stage).push(wait)
    const giving = patience({ process, stage }, random.chance(0.1) ? random.exponential(500) : 60_000)
    try {
      wait.passed = await whileInSession(scene, 'await', () =>
        standing(scene, [`${line}/`], () => barrier.await({ signal: giving.signal })),
      )
      stage.recorder.did()
    } catch (error) {
      expected(stage, error, 'await others')
      wait.broken = EtcdError.is(error, 'BARRIER_BROKEN')
    } finally {
      wait.endedAt = stage.world.nowMs
      giving.stop()
    }
    if (wait.broken !== true || stage.isOver) continue
    await pause(process, random.exponential(100))
    const status = await inTime(scene, REQUEST_MS, 'status', () => barrier.status()).catch(error =>
      expected(stage, error, 'status'),
    )
    if (status?.broken === true) await barrier.reset().catch(error => expected(stage, error, 'reset'))
  }
}

function actionOf(
  { process }: Pick<Scene, 'process' | 'stage'>,
  slow: boolean,
): { action?: () => Promise<void> } {
  return slow ? { action: () => pause(process, 50) } : {}
}

function check(stage: Stage, name: string): void {
  const waits = waitsOf(stage).filter(({ line }) => line === name)
  // Who came when is asked of the past where the answer was lost, and the past may be compacted.
  const indexesAreKnown = !stage.plan.faults.includes('compaction') && !stage.plan.hostile
  const use = { name, parties: PARTIES, waits, recorderLagMs: 0, indexesAreKnown }
  for (const { message } of checkCyclicBarrier(stage.cluster.log, use)) wrong(stage, message)
}

function linesOf({ plan }: Stage): string[] {
  return Array.from({ length: plan.lines }, (_, index) => `cyclic/${index}`)
}
