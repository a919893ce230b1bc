import type { Permit, Semaphore, Session } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import { exact } from '../../checkers/assumptions.ts'
import { checkLosses } from '../../checkers/lost-for-nothing.ts'
import { checkPermitBeliefs, type PermitGrant } from '../../checkers/permit-beliefs.ts'
import { permitTurns } from '../../checkers/permit-turns.ts'
import { checkPermits, SLOT } from '../../checkers/permits.ts'
import { checkTurns, type Turn } from '../../checkers/turns.ts'
import { healedAtMs, leasesAreSafe, noticeMs, promptnessOf } from '../promptness.ts'
import type { Random } from '../random.ts'
import type { OpenAcquisition } from '../recorder.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'
import { expected, heldFromTheFirst, inTime, isHeld, lossOf, releaseMs, whileInSession } from './acting.ts'
import { ledger } from './ledger.ts'
import { close, hadAgain, type Leg, passOn, relay } from './relay.ts'
import { REQUEST_MS, standing } from './standing.ts'

/** Processes that acquire permits, one or several, try, give up, change their number, and leave, orderly or not. */
export const semaphoreWorkload: Workload = {
  name: 'semaphore',
  deeds: { called: 'acquisitions', enough: 100 },
  lines: ({ lines }) =>
    Array.from({ length: lines }, (_, index) => nameOf(index)).flatMap(name => [`${name}/s/`, `${name}/w/`]),
  actor: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) return
    const random = stage.world.random.fork(`actor ${process.name}`)
    await relay<Grant>(
      etcd,
      { process, stage, random },
      {
        places: 'unrecorded',
        task: player,
        takeUp,
        // What is left with a lease and not asked for goes with the lease.
        finish: async ({ session, inherited }) => {
          if (inherited === undefined) await nothingOfNobody(process, stage, session)
        },
      },
    )
    await etcd.close()
  },
  afterwards: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) throw new Error('a healed cluster could not be reached')
    const session = await etcd.session({ ttl: 5 })
    for (let index = 0; index < stage.plan.lines; index++) {
      const semaphore = session.semaphore(nameOf(index), { permits: PERMITS })
      await semaphore.resize(PERMITS)
      // All of them: whatever is left of anybody would be in the way.
      const permit = await semaphore.acquire({ count: PERMITS })
      await permit.release()
    }
    await session.close()
    await etcd.close()
    const { log } = stage.cluster
    for (const { rule, message } of checkPermits(log))
      stage.unexpected(new Error(`${rule}: ${message}`), 'the server')
    if (stage.plan.hostile) return
    const history = stage.recorder.history(log)
    const grants = grantsOf(stage).map(asGrant)
    for (const { rule, message } of checkPermitBeliefs(history, grants, { noticeMs: noticeMs(stage.plan) }))
      stage.unexpected(new Error(`${rule}: ${message}`), 'belief')
    for (const words of lateGrants(stage)) stage.unexpected(new Error(words), 'a turn')
    for (const words of lostForNothing(stage, grantsOf(stage))) stage.unexpected(new Error(words), 'a loss')
  },
}

/** Requests, their repeats and what clears up after them take no longer, once everything is healed. */
const CLEARED_MS = 20_000

/** All was released: whatever goes with the lease now was taken by an attempt nobody waits for, and is to be cleared. */
async function nothingOfNobody(process: SimulatedProcess, stage: Stage, session: Session): Promise<void> {
  if (!stage.isOver || stage.plan.hostile) return
  await pause(process, CLEARED_MS)
  if (session.state !== 'active') return
  const lease = stage.cluster.leases().find(({ id }) => id === session.leaseId)
  const left = lease?.keys.filter(key => SLOT.test(key)) ?? []
  if (left.length > 0) stage.unexpected(new Error(`nobody has ${left.join(', ')}`), 'release')
}

const LAST_HOLD_MS = 500

const PERMITS = 3
const PERMITS_AT_MOST = 5

type Scene = Leg<Grant>

/** One permit as its owner saw it. */
interface Grant {
  readonly name: string
  readonly hold: Permit
  readonly process: SimulatedProcess
  readonly keys: readonly string[]
  readonly token: bigint
  readonly asked: OpenAcquisition
  /** The acquisition it was had by before, with a session that left its lease; its own, if nobody had heard of it. */
  readonly resumes: string | undefined
  readonly at: number
  until: number
  /** Why it is no longer relied on, if it was lost. */
  loss?: string | undefined
}

const grantsOf = ledger<Grant>()

async function player(scene: Scene): Promise<void> {
  const { process, stage, session, random } = scene
  const semaphores = new Map<string, Semaphore>()
  for (let count = 0; !stage.isOver && !session.signal.aborted; count++) {
    await pause(process, random.exponential(700))
    if (stage.isOver || session.signal.aborted) return
    if (random.chance(0.01)) {
      await close(scene)
      return
    }
    // A name used once: whatever is left there is not found by whoever comes next.
    const name = random.chance(0.2)
      ? `jobs/${process.name}-${process.world.nowMs.toFixed(0)}-${count}`
      : nameOf(random.integer(0, stage.plan.lines - 1))
    const semaphore =
      (random.chance(0.8) ? semaphores.get(name) : undefined) ??
      session.semaphore(name, { permits: PERMITS, mismatch: random.chance(0.1) ? 'set' : 'adopt' })
    semaphores.set(name, semaphore)
    if (random.chance(0.05)) {
      const permits = random.integer(1, PERMITS_AT_MOST)
      await inTime(scene, 2 * REQUEST_MS, 'resize', () => semaphore.resize(permits)).catch(error =>
        expected(stage, error, 'resize'),
      )
    } else await use(scene, name, semaphore)
  }
}

/** Asks for what was held through the lease before. Who does not get it gives up the lease: nobody else can. */
async function takeUp(scene: Scene, { name, keys }: Grant): Promise<void> {
  const semaphore = scene.session.semaphore(name, { permits: PERMITS })
  if (!(await use(scene, name, semaphore, keys.length))) await close(scene)
}

/** Was anything had? */
async function use(scene: Scene, name: string, semaphore: Semaphore, count?: number): Promise<boolean> {
  const { process, stage, session, random, inherited, held } = scene
  const acquisition = stage.recorder.acquisition(process, `${name}/`)
  const permit = await acquire(scene, name, semaphore, count)
  acquisition.settle(permit === undefined ? 'failed' : 'ok')
  // Its line is none of the kind the other checkers know.
  acquisition.forget()
  if (permit === undefined) return false
  const had = hadAgain(scene, permit.fencingToken)?.asked.id
  const grant: Grant = {
    name,
    hold: permit,
    resumes: inherited && (had ?? acquisition.id),
    process,
    keys: permit.slots.map(slot => `${name}/s/${String(slot).padStart(4, '0')}`),
    token: permit.fencingToken,
    asked: acquisition,
    at: stage.world.nowMs,
    until: Infinity,
  }
  grantsOf(stage).push(grant)
  held.add(grant)
  if (mapKey(permit.key) !== grant.keys[0]) stage.unexpected(new Error('another key'), 'acquire')
  const end = () => {
    grant.until = Math.min(grant.until, stage.world.nowMs)
  }
  const look = () => {
    if (isHeld(stage, session, permit)) return
    if (grant.until === Infinity) grant.loss = lossOf(permit)
    end()
  }
  look()
  permit.signal.addEventListener('abort', look, { once: true })
  const stopLooking = process.onGoingOn(look)
  for (let slice = 0; slice < 2 && permit.held; slice++) {
    const ms = holdMs(random, stage.plan.ttl) / 2
    // When the play is over the last in the line still waits for all before it.
    await pause(process, stage.isOver ? Math.min(ms, LAST_HOLD_MS) : ms)
    look()
    if (permit.held && random.chance(0.015)) await passOn(scene)
  }
  end()
  stopLooking()
  await whileInSession(scene, 'release', () =>
    inTime(scene, releaseMs(stage), 'release', () => permit.release()),
  ).catch(error => expected(stage, error, 'release'))
  if (!session.signal.aborted) held.delete(grant)
  return true
}

async function acquire(
  scene: Scene,
  name: string,
  semaphore: Semaphore,
  again?: number,
): Promise<Permit | undefined> {
  const { process, stage, random } = scene
  const giveUp = random.chance(0.2) ? new AbortController() : undefined
  const timer =
    giveUp && process.setTimer(random.exponential(400), () => giveUp.abort(new Error('enough waited')))
  const count = again ?? (random.chance(0.3) ? random.integer(2, 3) : 1)
  const how = again === undefined && random.chance(0.2) ? 'tryAcquire' : 'acquire'
  try {
    const options = { count, signal: giveUp?.signal }
    const permit = await whileInSession<Permit | undefined>(scene, how, () =>
      how === 'tryAcquire'
        ? inTime(scene, REQUEST_MS, how, () => semaphore.tryAcquire(options))
        : standing(scene, [`${name}/w/`], () => semaphore.acquire(options)),
    )
    if (permit !== undefined) heldFromTheFirst(scene, permit, 'acquire')
    return permit
  } catch (error) {
    if (!giveUp?.signal.aborted) expected(stage, error, how === 'acquire' ? how : 'try acquire')
    return undefined
  } finally {
    timer?.cancel()
  }
}

/** Whoever is the first in line has its permits when there are enough, and not only when it looks again. */
function lateGrants(stage: Stage): string[] {
  const { plan, cluster, recorder } = stage
  if (plan.hostile) return []
  const grants = grantsOf(stage)
  const turns = [...new Set(grants.map(({ name }) => name))].flatMap(name => {
    const turnAt = permitTurns(cluster.log, name)
    return grants.flatMap(({ token, process, asked, at, resumes, ...grant }): Turn[] => {
      const turn = grant.name === name && resumes === undefined ? turnAt.get(token) : undefined
      if (turn === undefined) return []
      const what = `granted permits of ${name} with token ${token}`
      return [{ id: asked.id, process: process.name, turnAt: turn, toldAt: at, what }]
    })
  })
  const promptness = promptnessOf(plan, plan.seconds * 1000)
  // The turn alone gives nothing: permits are written, and where there is no space they are not until there is.
  const from = plan.faults.includes('no-space') ? healedAtMs(plan.seconds) : promptness.from
  return checkTurns(turns, recorder.stalls, { ...promptness, from }).map(({ message }) => message)
}

/** Permits are said to be lost when one of those that were given as one is gone, and not before. */
function lostForNothing({ plan, cluster, recorder }: Stage, grants: readonly Grant[]): string[] {
  const acquisitions = grants.flatMap(grant =>
    grant.keys.map(key => ({
      ...asGrant(grant),
      outcome: 'ok' as const,
      key,
      believedUntil: grant.until,
      ...(grant.loss === undefined ? {} : { loss: grant.loss }),
    })),
  )
  const assumptions = { ...exact, hostile: plan.hostile, leasesAreSafe: leasesAreSafe(plan) }
  return checkLosses({ ...recorder.history(cluster.log), acquisitions }, assumptions).map(
    ({ message }) => message,
  )
}

/** As the checkers know it. */
function asGrant({ process, keys, token, asked, at, until, resumes }: Grant): PermitGrant {
  const { id, line, since } = asked
  const { name, crashedAtMs } = process
  return {
    id,
    process: name,
    line,
    keys,
    token,
    invokedAt: since,
    settledAt: at,
    believedUntil: until,
    ...(crashedAtMs === undefined ? {} : { diedAt: crashedAtMs }),
    ...(resumes === undefined ? {} : { resumes }),
  }
}

/** Mostly short, sometimes longer than the lease lasts. */
function holdMs(random: Random, ttl: number): number {
  const kind = random.next()
  if (kind < 0.7) return random.exponential(100)
  if (kind < 0.97) return random.exponential(900)
  return random.between(0.5, 1.5) * ttl * 1000
}

function nameOf(index: number): string {
  return `semaphores/${index}`
}
