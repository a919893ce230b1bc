import type { Etcd, LeaderInfo, Leadership } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import { checkLeaderOrder, type LeaderSeen } from '../../checkers/leader-order.ts'
import { checkObserver, type Observed } from '../../checkers/observers.ts'
import type { Random } from '../random.ts'
import type { OpenAcquisition } from '../recorder.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import {
  codeOf,
  expected,
  guardedWrite,
  heldFromTheFirst,
  inTime,
  isHeld,
  lossOf,
  releaseMs,
  untilOver,
  whileInSession,
} from './acting.ts'
import { ledger } from './ledger.ts'
import { owedTo } from './owed.ts'
import { close, hadAgain, type Leg, passOn, relay } from './relay.ts'
import { REQUEST_MS, standing } from './standing.ts'

const observedIn = ledger<{ -readonly [Name in keyof Observed]: Observed[Name] }>()

/** Processes that campaign, proclaim, give up waiting and resign, orderly or not, and one task each that observes. */
export const electionWorkload: Workload = {
  name: 'election',
  deeds: { called: 'leaderships', enough: 100 },
  lines: ({ lines }) => Array.from({ length: lines }, (_, index) => `${electionName(index)}/`),
  actor: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) return
    const random = stage.world.random.fork(`actor ${process.name}`)
    const observing = observer(etcd, process, stage, random.fork('observer'))
    await relay<Reign>(etcd, { process, stage, random }, { task: campaigner, takeUp: leadOn })
    await observing
    await etcd.close()
  },
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    const session = await etcd.session({ ttl: 5 })
    for (let index = 0; index < stage.plan.lines; index++) {
      const seen = etcd.election(electionName(index)).observe()
      const leadership = await session.election(electionName(index)).campaign('last')
      // Whoever observes comes to see who leads in the end.
      for await (const leader of seen) if (leader?.createRevision === leadership.fencingToken) break
      await leadership.resign()
    }
    await session.close()
    await etcd.close()
    // What was compacted away is left out, and servers that lie are believed.
    if (stage.plan.hostile || stage.plan.faults.includes('compaction')) return
    for (const observed of observedIn(stage))
      for (const { rule, message } of checkObserver(stage.cluster.log, observed))
        stage.unexpected(new Error(`${rule}: ${message}`), 'an observer')
  },
}

/** A leadership, and how it was had. */
interface Reign {
  readonly hold: Leadership
  readonly acquisition: OpenAcquisition
}

type Scene = Leg<Reign>

/** Goes on with a leadership that was left with the lease. Who cannot gives up the lease: nobody else can. */
async function leadOn(scene: Scene, { hold: before, acquisition: had }: Reign): Promise<void> {
  const { process, stage, session, random } = scene
  const acquisition = stage.recorder.acquisition(process, had.line)
  // By its key and revision, or by asking for it as anybody does.
  const leadership = await (random.chance(0.5)
    ? whileInSession(scene, 'resume', () =>
        inTime(scene, REQUEST_MS, 'resume', () =>
          session.election(before.name).resume({ key: before.key, revision: before.fencingToken }),
        ),
      ).catch(error => expected(stage, error, 'resume leadership'))
    : campaign(scene, before.name, acquisition))
  if (leadership !== undefined) return reign(scene, leadership, acquisition)
  acquisition.settle('failed')
  await close(scene)
}

async function campaigner(scene: Scene): Promise<void> {
  const { process, stage, session, random } = scene
  while (!stage.isOver && !session.signal.aborted) {
    await pause(process, random.exponential(1200))
    if (stage.isOver || session.signal.aborted) return
    if (random.chance(0.01)) {
      // In the middle of what the other task is doing.
      await close(scene)
      return
    }
    const name = electionName(random.integer(0, stage.plan.lines - 1))
    const acquisition = stage.recorder.acquisition(process, `${name}/`)
    const leadership = await campaign(scene, name, acquisition)
    if (leadership !== undefined) await reign(scene, leadership, acquisition)
  }
}

async function campaign(
  scene: Scene,
  name: string,
  acquisition: OpenAcquisition,
): Promise<Leadership | undefined> {
  const { process, stage, session, random } = scene
  const election = session.election(name)
  const giveUp = random.chance(0.15) ? new AbortController() : undefined
  const timer =
    giveUp && process.setTimer(random.exponential(400), () => giveUp.abort(new Error('enough waited')))
  const value = `${process.name} ${acquisition.id}`
  const how = random.chance(0.15) ? 'tryCampaign' : 'campaign'
  try {
    const options = { signal: giveUp?.signal }
    const leadership = await whileInSession(scene, how, () =>
      standing<Leadership | undefined>(scene, [`${name}/`], () =>
        how === 'campaign'
          ? election.campaign(value, options)
          : inTime(scene, REQUEST_MS, how, () => election.tryCampaign(value, options)),
      ),
    )
    if (leadership === undefined) {
      acquisition.settle('failed')
      return undefined
    }
    return leadership
  } catch (error) {
    acquisition.settle('failed')
    if (!giveUp?.signal.aborted) expected(stage, error, how === 'campaign' ? how : 'try campaign')
    return undefined
  } finally {
    timer?.cancel()
  }
}

/** Some time as the leader: proclaims, looks whether it still leads, writes what only the leader may. */
async function reign(scene: Scene, leadership: Leadership, acquisition: OpenAcquisition): Promise<void> {
  const { process, stage, session, random, held } = scene
  heldFromTheFirst(scene, leadership, 'campaign')
  const { belief } = acquisition
  const token = leadership.fencingToken
  const resumes = hadAgain(scene, token)?.acquisition.id
  acquisition.settle('ok', {
    key: mapKey(leadership.key),
    token,
    ...(resumes === undefined ? {} : { resumes }),
  })
  leadership.signal.addEventListener('abort', () => belief.end(codeOf(leadership.signal.reason)), {
    once: true,
  })
  const owned = { hold: leadership, acquisition }
  held.add(owned)
  const look = () => {
    if (!isHeld(stage, session, leadership)) acquisition.belief.end(lossOf(leadership))
  }
  const stopLooking = process.onGoingOn(look)
  const slices = random.integer(1, 3)
  const sliceMs = reignMs(random, stage.plan.ttl) / slices
  for (let slice = 0; slice < slices && leadership.held; slice++) {
    await pause(process, sliceMs)
    look()
    if (random.chance(0.4))
      await inTime(scene, REQUEST_MS, 'proclaim', () =>
        leadership.proclaim(`${process.name} ${acquisition.id}.${slice}`),
      ).catch(error => expected(stage, error, 'proclaim'))
    if (random.chance(0.3)) await guardedWrite({ process, stage, handle: leadership, acquisition })
    if (leadership.held && random.chance(0.02)) await passOn(scene)
  }
  look()
  const release = stage.recorder.release(process, acquisition.id, leadership.held)
  acquisition.belief.end()
  stopLooking()
  try {
    await whileInSession(scene, 'resign', () =>
      inTime(scene, releaseMs(stage), 'resign', () => leadership.resign()),
    )
    // With the session over, the key goes with the lease, whenever the cluster ends that.
    release.settle(session.signal.aborted ? 'unknown' : 'ok')
    if (!session.signal.aborted) held.delete(owned)
  } catch (error) {
    release.settle('unknown')
    expected(stage, error, 'resign')
  }
}

/** Observes one election after the other, and complains of whatever no order of events explains. */
async function observer(etcd: Etcd, process: SimulatedProcess, stage: Stage, random: Random): Promise<void> {
  while (!stage.isOver) {
    const name = electionName(random.integer(0, stage.plan.lines - 1))
    const leave = new AbortController()
    const timer = process.setTimer(random.exponential(15_000), () => leave.abort(new Error('enough seen')))
    const stop = untilOver(process, stage, () => leave.abort(new Error('the play is over')))
    const told: (LeaderSeen | undefined)[] = []
    const observed: ReturnType<typeof observedIn>[number] = { line: `${name}/`, told }
    observedIn(stage).push(observed)
    const beganAt = stage.world.nowMs
    try {
      for await (const leader of etcd.election(name).observe({ signal: leave.signal })) {
        told.push(leader && seenOf(leader))
        for (const { rule, message } of checkLeaderOrder(name, told.slice(-2)))
          stage.unexpected(new Error(`${rule}: ${message}`), `observer of ${name}`)
        if (random.chance(0.1)) await pause(process, random.exponential(200))
      }
    } catch (error) {
      if (!leave.signal.aborted) expected(stage, error, 'observe')
      else observed.owedUntil = owedTo(stage, process, beganAt)
    } finally {
      timer.cancel()
      stop()
    }
  }
}

function seenOf({ key, createRevision, modRevision }: LeaderInfo): LeaderSeen {
  return { key: mapKey(key), createRevision, modRevision }
}

/** Mostly short, sometimes longer than the lease lasts. */
function reignMs(random: Random, ttl: number): number {
  const kind = random.next()
  if (kind < 0.75) return random.exponential(100)
  if (kind < 0.97) return random.exponential(700)
  return random.between(0.5, 1.5) * ttl * 1000
}

function electionName(index: number): string {
  return `elections/${index}`
}
