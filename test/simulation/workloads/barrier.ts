import { Barrier } from '../../../recipes/barrier.ts'
import { EtcdError } from '../../../src/index.ts'
import { type BarrierWait, type Closed, checkBarrier, closingsOf } from '../../checkers/barrier.ts'
import type { TimeSpan } from '../../checkers/belief.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { checkVisits, expected, inSessions, patience, type Scene, type Visit, wrong } from './barrier-cast.ts'
import { ledger } from './ledger.ts'

interface Wait extends BarrierWait {
  readonly line: string
}

interface Grant {
  readonly line: string
  readonly createRevision: bigint
}

const waitsOf = ledger<Wait>()
const visitsOf = ledger<Visit>()
const grantsOf = ledger<Grant>()
const crashableOf = ledger<Scene['process']>()

/** Some close barriers, with and without a session, and open them again; others wait. */
export const barrierWorkload: Workload = {
  name: 'barrier',
  lines: () => [],
  deeds: { called: 'passages', enough: 100 },
  actor: async (process, stage) => {
    crashableOf(stage).push(process)
    await inSessions(process, stage, 2, (scene, index) => (index === 0 ? holder(scene) : waiter(scene)))
  },
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    for (const line of linesOf(stage)) {
      check(stage, line)
      const barrier = new Barrier(etcd.engine, etcd.space, line)
      // What somebody held without a session and did not live to release.
      while (await barrier.release()) await pause(process, 100)
      const hold = await barrier.hold()
      const waiting = barrier.wait()
      await hold.release()
      await waiting
      if (stage.cluster.keys(line).includes(line)) wrong(stage, `${line} is closed, and nobody holds it`)
    }
    await etcd.close()
  },
}

async function holder({ process, stage, etcd, session, random }: Scene): Promise<void> {
  const barriers = linesOf(stage).map(line => new Barrier(etcd.engine, etcd.space, line))
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(600))
    if (stage.isOver || session.signal.aborted) return
    const barrier = random.pick(barriers)
    const giving = patience({ process, stage }, random.chance(0.2) ? random.exponential(50) : 60_000)
    try {
      const hold = await barrier.hold({
        signal: giving.signal,
        ...(random.chance(0.5) ? { session } : {}),
      })
      grantsOf(stage).push({ line: barrier.name, createRevision: hold.createRevision })
      await pause(process, random.exponential(300))
      await hold.release().catch(error => expected(stage, error, 'release barrier'))
    } catch (error) {
      expected(stage, error, 'close barrier')
      // Somebody held it without a session, and may not live any more.
      if (EtcdError.is(error, 'ALREADY_EXISTS') && random.chance(0.1)) await release(barrier, stage)
    } finally {
      giving.stop()
    }
  }
}

async function release(barrier: Barrier, stage: Stage): Promise<void> {
  try {
    await barrier.release()
  } catch (error) {
    expected(stage, error, 'open barrier')
  }
}

async function waiter({ process, stage, etcd, session, random }: Scene): Promise<void> {
  const barriers = linesOf(stage).map(line => new Barrier(etcd.engine, etcd.space, line))
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(600))
    if (stage.isOver || session.signal.aborted) return
    const barrier = random.pick(barriers)
    const giving = patience({ process, stage }, random.chance(0.1) ? random.exponential(500) : 40_000)
    const startedAt = stage.world.nowMs
    try {
      const opening = await barrier.wait({ signal: giving.signal })
      waitsOf(stage).push({ line: barrier.name, startedAt, endedAt: stage.world.nowMs, opening })
      // Where nobody stood in the way there was nothing to pass.
      if (opening !== 'absent') stage.recorder.did()
    } catch (error) {
      expected(stage, error, 'wait at barrier')
    } finally {
      visitsOf(stage).push({ line: barrier.name, process, startedAt, endedAt: stage.world.nowMs })
      giving.stop()
    }
  }
}

function check(stage: Stage, name: string): void {
  const use = {
    name,
    // A server that reads from the past tells of a hold that was over before.
    waits: stage.plan.hostile ? [] : waitsOf(stage).filter(({ line }) => line === name),
    given: grantsOf(stage).map(({ createRevision }) => createRevision),
    running: crashableOf(stage).flatMap(process => (process.isCrashed ? [] : [process.name])),
  }
  const { log } = stage.cluster
  for (const { rule, message } of checkBarrier(log, use)) wrong(stage, `${rule}: ${message}`)
  checkVisits(stage, name, { visits: visitsOf(stage), open: between(closingsOf(log, name).closed) })
}

/** When it was open. */
function between(closed: readonly Closed[]): readonly TimeSpan[] {
  return [{ until: -Infinity }, ...closed].map(({ until }, index) => ({
    from: until,
    until: closed[index]?.from ?? Infinity,
  }))
}

function linesOf({ plan }: Stage): string[] {
  return Array.from({ length: plan.lines }, (_, index) => `gates/${index}`)
}
