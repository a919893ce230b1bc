import { Barrier, type BarrierOpening } from '../../../recipes/barrier.ts'
import { EtcdError } from '../../../src/index.ts'
import type { TimeSpan } from '../../checkers/belief.ts'
import type { Commit } from '../../checkers/history.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { checkVisits, expected, inSessions, patience, type Scene, type Visit, wrong } from './barrier-cast.ts'
import { ledger } from './ledger.ts'

interface Wait {
  readonly line: string
  readonly startedAt: number
  readonly endedAt: number
  readonly opening: BarrierOpening
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
    } catch (error) {
      expected(stage, error, 'wait at barrier')
    } finally {
      visitsOf(stage).push({ line: barrier.name, process, startedAt, endedAt: stage.world.nowMs })
      giving.stop()
    }
  }
}

/** From when to when a barrier was closed, and how it opened. */
interface Closed {
  readonly createRevision: bigint
  readonly value: string
  readonly from: number
  readonly until: number
  /** `either` when somebody took its lease off: whoever missed that cannot know. */
  readonly how: 'released' | 'abandoned' | 'either' | undefined
}

function check(stage: Stage, line: string): void {
  const closed = closingsOf(stage.cluster.log, line)
  // A server that reads from the past tells of a hold that was over before.
  const waits = stage.plan.hostile ? [] : waitsOf(stage).filter(wait => wait.line === line)
  for (const { startedAt, endedAt, opening } of waits) {
    const ended = closed.filter(({ until }) => until >= startedAt && until <= endedAt)
    const isTrue =
      opening === 'absent'
        ? !closed.some(({ from, until }) => from < startedAt && until > endedAt)
        : opening === 'unknown'
          ? ended.length > 1
          : ended.some(({ how }) => how === opening || how === 'either')
    if (!isTrue)
      wrong(stage, `${line}: from ${startedAt} to ${endedAt} somebody heard that it was ${opening}`)
  }
  checkVisits(stage, line, { visits: visitsOf(stage), open: between(closed) })
  const granted = new Set(grantsOf(stage).map(({ createRevision }) => createRevision))
  const last = closed.at(-1)
  if (last === undefined || last.how !== undefined || granted.has(last.createRevision)) return
  const owner = crashableOf(stage).find(({ name }) => last.value.includes(`host-of-${name}"`))
  if (owner?.isCrashed === false)
    wrong(stage, `${line}: ${owner.name} left it closed at ${last.createRevision} without knowing`)
}

function closingsOf(log: readonly Commit[], line: string): readonly Closed[] {
  const closed: Closed[] = []
  let now: (Omit<Closed, 'until' | 'how'> & { lease: bigint; isOverwritten: boolean }) | undefined
  for (const { changes, at, revision } of log) {
    const change = changes.find(({ key }) => key === line)
    if (change?.kind === 'put') {
      const { createRevision, value, lease } = change
      now =
        now === undefined
          ? { createRevision, value, from: at, lease, isOverwritten: false }
          : { ...now, isOverwritten: true }
      if (createRevision !== now.createRevision) throw new Error(`${line} was created anew at ${revision}`)
    }
    if (change?.kind !== 'delete' || now === undefined) continue
    const isSaid = changes.some(({ key }) => key === `${line}.state`)
    const how = isSaid || now.lease === 0n ? 'released' : now.isOverwritten ? 'either' : 'abandoned'
    closed.push({ ...now, until: at, how })
    now = undefined
  }
  if (now !== undefined) closed.push({ ...now, until: Number.POSITIVE_INFINITY, how: undefined })
  return closed
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
