import { Latch } from '../../../recipes/latch.ts'
import type { Commit } from '../../checkers/history.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { expected, inSessions, ledger, patience, type Scene, wrong } from './barrier-cast.ts'

interface Wait {
  readonly line: string
  readonly startedAt: number
  readonly endedAt: number
}

const waitsOf = ledger<Wait>()
const countsOf = ledger<Wait>()

/** Participants that set counts, count down, more than once if they do not know whether they did, and wait. */
export const latchWorkload: Workload = {
  name: 'latch',
  lines: () => [],
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

async function participant({ process, stage, etcd, session, random }: Scene): Promise<void> {
  const latches = linesOf(stage).map(line => new Latch(etcd.engine, etcd.space, line))
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(600))
    if (stage.isOver || session.signal.aborted) return
    const latch = random.pick(latches)
    const giving = patience({ process, stage }, random.chance(0.1) ? random.exponential(20) : 20_000)
    const startedAt = stage.world.nowMs
    try {
      if (random.chance(0.3)) await latch.trySetCount(random.integer(1, 5), { signal: giving.signal })
      await latch.countDown(random.chance(0.5) ? process.name : undefined, { signal: giving.signal })
      countsOf(stage).push({ line: latch.name, startedAt, endedAt: stage.world.nowMs })
    } catch (error) {
      expected(stage, error, 'count down')
    } finally {
      giving.stop()
    }
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
      expected(stage, error, 'wait')
    } finally {
      giving.stop()
    }
  }
}

/** From when to when a latch was open. */
interface Open {
  readonly from: number
  readonly until: number
}

function check(stage: Stage, line: string): void {
  const { open, faults } = opensOf(stage.cluster.log, line)
  for (const fault of faults) wrong(stage, `${line}: ${fault}`)
  // Servers that answer from the past let through whoever asks them.
  const waits = stage.plan.hostile ? [] : waitsOf(stage).filter(wait => wait.line === line)
  for (const { startedAt, endedAt } of waits)
    if (!open.some(({ from, until }) => from <= endedAt && until >= startedAt))
      wrong(stage, `${line}: somebody was let through from ${startedAt} to ${endedAt}, when it was not open`)
}

/** What the log says: when the latch was open, and whatever was counted wrongly. */
function opensOf(log: readonly Commit[], line: string): { open: readonly Open[]; faults: readonly string[] } {
  const open: Open[] = []
  const faults: string[] = []
  const calls = new Set<string>()
  let round = { round: 0, total: 0, base: '0' }
  let openSince: number | undefined
  let version = 0n
  for (const { changes, at, revision } of log) {
    const count = changes.find(({ key }) => key === `${line}/count`)
    const marks = changes.filter(({ key }) => new RegExp(`^${line}/\\d+/`).test(key))
    const opened = changes.some(({ key }) => key === `${line}/open`)
    const made = marks.filter(({ kind }) => kind === 'put')
    if (count?.kind !== 'put') {
      if (made.length > 0 || opened) faults.push(`${revision} marks somebody and counts nobody`)
      continue
    }
    const now = JSON.parse(count.value) as typeof round
    const isCounted = now.round === round.round
    const missing = () => now.total - Number(count.version - BigInt(now.base))
    if (isCounted !== (made.length === 1))
      faults.push(`${revision} counts without a mark, or marks without counting`)
    if (count.version !== version + 1n) faults.push(`the version was ${version} before ${count.version}`)
    version = count.version
    if (missing() < 0) faults.push(`${missing()} were missing at ${revision}`)
    if (opened !== (isCounted && missing() === 0))
      faults.push(`${revision} opened it with ${missing()} missing`)
    for (const mark of made) {
      if (mark.kind !== 'put') continue
      if (calls.has(mark.value)) faults.push(`one call was counted twice, last at ${revision}`)
      calls.add(mark.value)
      if (mark.version !== 1n) faults.push(`${mark.key} was counted twice, last at ${revision}`)
      if (!mark.key.startsWith(`${line}/${now.round}/`))
        faults.push(`${mark.key} was counted in round ${now.round}`)
    }
    if (!isCounted && openSince === undefined && round.round > 0) faults.push(`a count was set over another`)
    if (!isCounted && openSince !== undefined) {
      open.push({ from: openSince, until: at })
      openSince = undefined
    }
    if (opened) openSince = at
    round = now
  }
  if (openSince !== undefined) open.push({ from: openSince, until: Number.POSITIVE_INFINITY })
  return { open, faults }
}

function linesOf({ plan }: Stage): string[] {
  return Array.from({ length: plan.lines }, (_, index) => `latches/${index}`)
}
