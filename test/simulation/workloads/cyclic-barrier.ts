import { CyclicBarrier } from '../../../recipes/cyclic-barrier.ts'
import { EtcdError } from '../../../src/index.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { expected, inSessions, ledger, patience, roundsOf, type Scene, wrong } from './barrier-cast.ts'

const PARTIES = 3

interface Wait {
  readonly line: string
  readonly startedAt: number
  endedAt?: number
  passed?: { readonly generation: number; readonly index: number }
  broken?: boolean
}

const waitsOf = ledger<Wait>()

/** Parties that meet, give up, crash, and reset what they find broken. */
export const cyclicBarrierWorkload: Workload = {
  name: 'cyclic-barrier',
  lines: () => [],
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

async function party({ process, stage, session, random }: Scene): Promise<void> {
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
      wait.passed = await barrier.await({ signal: giving.signal })
    } catch (error) {
      expected(stage, error, 'await')
      wait.broken = EtcdError.is(error, 'BARRIER_BROKEN')
    } finally {
      wait.endedAt = stage.world.nowMs
      giving.stop()
    }
    if (wait.broken !== true || stage.isOver) continue
    await pause(process, random.exponential(100))
    try {
      if ((await barrier.status()).broken) await barrier.reset()
    } catch (error) {
      expected(stage, error, 'reset')
    }
  }
}

function actionOf(
  { process }: Pick<Scene, 'process' | 'stage'>,
  slow: boolean,
): { action?: () => Promise<void> } {
  return slow ? { action: () => pause(process, 50) } : {}
}

function check(stage: Stage, line: string): void {
  const ends = roundsOf(stage.cluster.log, line)
  const waits = waitsOf(stage).filter(wait => wait.line === line)
  for (const { generation, how, commit, came, together } of ends) {
    if (came > PARTIES) wrong(stage, `${line}: ${came} came in round ${generation}`)
    if (how === 'passed' && together < PARTIES)
      wrong(stage, `${line}: round ${generation} was passed, but only ${together} were there together`)
    const passed = waits.filter(wait => wait.passed?.generation === generation)
    if (passed.length > 0 && how !== 'passed')
      wrong(stage, `${line}: ${passed.length} passed in round ${generation}, which was ${how}`)
    // Who came when is asked of the past where the answer was lost, and the past may be compacted.
    const isKnown = !stage.plan.faults.includes('compaction') && !stage.plan.hostile
    if (isKnown && new Set(passed.map(wait => wait.passed?.index)).size !== passed.length)
      wrong(stage, `${line}: an index of round ${generation} was given twice`)
    if (passed.length > PARTIES) wrong(stage, `${line}: ${passed.length} passed in round ${generation}`)
    for (const { startedAt, endedAt = 0 } of passed)
      if (startedAt > commit.at || endedAt < commit.at)
        wrong(
          stage,
          `${line}: round ${generation} ended at ${commit.at}, not within ${startedAt} to ${endedAt}`,
        )
  }
  const ended = new Set(ends.map(({ generation }) => generation))
  for (const { passed } of waits)
    if (passed !== undefined && !ended.has(passed.generation))
      wrong(stage, `${line}: somebody passed in round ${passed.generation}, which has not ended`)
  const breaks = ends.filter(({ how }) => how === 'broken')
  for (const { broken, endedAt = 0 } of waits)
    if (broken === true && !breaks.some(({ commit }) => commit.at <= endedAt))
      wrong(stage, `${line}: somebody heard that it was broken before it was`)
}

function linesOf({ plan }: Stage): string[] {
  return Array.from({ length: plan.lines }, (_, index) => `cyclic/${index}`)
}
