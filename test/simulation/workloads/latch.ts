import { Latch } from '../../../recipes/latch.ts'
import { checkLatch, type LatchWait, openingsOf } from '../../checkers/latch.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { inTime } from './acting.ts'
import { checkVisits, expected, inSessions, patience, type Scene, type Visit, wrong } from './barrier-cast.ts'
import { ledger } from './ledger.ts'
import { REQUEST_MS } from './standing.ts'

/** Those who were let through. */
const waitsOf = ledger<LatchWait & { readonly line: string }>()
const visitsOf = ledger<Visit>()

/** Participants that set counts, count down, more than once if they do not know whether they did, and wait. */
export const latchWorkload: Workload = {
  name: 'latch',
  lines: () => [],
  deeds: { called: 'count-downs', enough: 100 },
  actor: (process, stage) =>
    inSessions(process, stage, 2, (scene, index) => (index === 0 ? participant(scene) : waiter(scene))),
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    for (const line of linesOf(stage)) {
      const latch = new Latch(etcd.engine, etcd.space, line)
      await latch.trySetCount(1)
      const waiting = latch.wait()
      while ((await latch.count()) > 0) await latch.countDown()
      await waiting
      check(stage, line)
    }
    await etcd.close()
  },
}

async function participant(scene: Scene): Promise<void> {
  const { process, stage, etcd, session, random } = scene
  const latches = linesOf(stage).map(line => new Latch(etcd.engine, etcd.space, line))
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(600))
    if (stage.isOver || session.signal.aborted) return
    const latch = random.pick(latches)
    const giving = patience({ process, stage }, random.chance(0.1) ? random.exponential(20) : 20_000)
    try {
      if (random.chance(0.3) && !(await setCount(latch, scene, giving.signal))) continue
      const name = random.chance(0.5) ? process.name : undefined
      await inTime(scene, REQUEST_MS, 'count down', () => latch.countDown(name, { signal: giving.signal }))
      stage.recorder.did()
    } catch (error) {
      expected(stage, error, 'count down')
    } finally {
      giving.stop()
    }
  }
}

/** Is it worth counting it down? */
async function setCount(latch: Latch, scene: Scene, signal: AbortSignal): Promise<boolean> {
  const { stage, random } = scene
  try {
    const count = random.integer(1, 5)
    await inTime(scene, REQUEST_MS, 'set count', () => latch.trySetCount(count, { signal }))
    return true
  } catch (error) {
    expected(stage, error, 'set count')
    return false
  }
}

async function waiter({ process, stage, etcd, session, random }: Scene): Promise<void> {
  const latches = linesOf(stage).map(line => new Latch(etcd.engine, etcd.space, line))
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(600))
    if (stage.isOver || session.signal.aborted) return
    const latch = random.pick(latches)
    const giving = patience({ process, stage }, random.chance(0.1) ? random.exponential(500) : 40_000)
    const startedAt = stage.world.nowMs
    try {
      await latch.wait({ signal: giving.signal })
      waitsOf(stage).push({ line: latch.name, startedAt, endedAt: stage.world.nowMs })
    } catch (error) {
      expected(stage, error, 'wait at latch')
    } finally {
      visitsOf(stage).push({ line: latch.name, process, startedAt, endedAt: stage.world.nowMs })
      giving.stop()
    }
  }
}

function check(stage: Stage, name: string): void {
  // Servers that answer from the past let through whoever asks them.
  const waits = stage.plan.hostile ? [] : waitsOf(stage).filter(({ line }) => line === name)
  for (const { message } of checkLatch(stage.cluster.log, { name, waits, recorderLagMs: 0 }))
    wrong(stage, message)
  const { open } = openingsOf(stage.cluster.log, name)
  checkVisits(stage, name, { visits: visitsOf(stage), open })
}

function linesOf({ plan }: Stage): string[] {
  return Array.from({ length: plan.lines }, (_, index) => `latches/${index}`)
}
