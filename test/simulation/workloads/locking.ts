import type { Handle, Session } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { LineRule } from '../../checkers/line-rule.ts'
import type { FaultKind, Plan } from '../plan.ts'
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
  whileInSession,
} from './acting.ts'
import { close, hadAgain, type Leg, passOn, relay } from './relay.ts'
import type { Saying } from './said.ts'
import { REQUEST_MS, standing } from './standing.ts'

/** What somebody goes for: names whose lines it stands in, and how it takes them all. */
export interface Wanted<Held> {
  readonly names: readonly string[]
  /** Does it wait for nobody? */
  readonly tries: boolean
  take(session: Session, signal: AbortSignal | undefined): Promise<Held | undefined>
}

export interface Unlockable {
  unlock(): Promise<void>
}

/** A recipe of locks, as far as those who use it at random need to know it. */
export interface Locks<Held extends Handle & Unlockable> {
  readonly name: string
  /** Below these nothing may be left. */
  prefixes(plan: Plan): readonly string[]
  /** `once` is a name nobody has used. */
  wanted(random: Random, plan: Plan, once: string): Wanted<Held>
  /** One after the other, to show that each can still be had. */
  each(plan: Plan): readonly Wanted<Held>[]
  /** Faults whose marks its history cannot be read with. */
  readonly spared?: ReadonlySet<FaultKind>
  /** What owning means in a line; without it, one at a time. */
  ruleOf?(line: string): LineRule
  /** How what was left with a lease is asked for again, by whoever goes on with the lease; undefined if it cannot be known. */
  again(hold: Held, plan: Plan): Wanted<Held> | undefined
  /** How much longer whoever only tries may have to wait, once it has the lock. */
  delayMs?(plan: Plan): number
  /** May others hold beside it? */
  isShared?(hold: Held): boolean
  /** What else is done under it, and as what it may fail. */
  readonly does?: Saying
  meanwhile?(scene: {
    readonly process: SimulatedProcess
    readonly stage: Stage
    readonly session: Session
    readonly random: Random
    readonly hold: Held
  }): Promise<void>
}

/** Processes that lock, try, give up waiting, work under the lock and leave it, orderly or not. */
export function lockWorkload<Held extends Handle & Unlockable>(recipe: Locks<Held>): Workload {
  const locks = recipe as Locks<Handle & Unlockable>
  return {
    name: locks.name,
    deeds: { called: 'acquisitions', enough: 100 },
    lines: plan => locks.prefixes(plan),
    ...(locks.spared === undefined ? {} : { spared: locks.spared }),
    ...(locks.ruleOf === undefined ? {} : { ruleOf: locks.ruleOf }),
    actor: async (process, stage) => {
      const etcd = await connected(process, stage)
      if (etcd === undefined) return
      const random = stage.world.random.fork(`actor ${process.name}`)
      await relay<Owned>(
        etcd,
        { process, stage, random },
        {
          task: leg => locker({ ...leg, locks }),
          takeUp: (leg, owned) => takeUp({ ...leg, locks }, owned),
          isKnown: ({ hold }) => locks.again(hold, stage.plan) !== undefined,
        },
      )
      await etcd.close()
    },
    afterwards: async (process, stage) => {
      const etcd = await connected(process, stage)
      if (etcd === undefined) throw new Error('a healed cluster could not be reached')
      const session = await etcd.session({ ttl: 5 })
      for (const { take } of locks.each(stage.plan)) await (await take(session, undefined))?.unlock()
      await session.close()
      await etcd.close()
    },
  }
}

const WAVE_EVERY_MS = 12_000
const WAVE_MS = 3000

/** In so many parts work is done under the lock; between them it looks whether it still has it. */
const SLICES = 2

/** What somebody holds, and what was written down of how it was had. */
interface Owned {
  readonly hold: Handle & Unlockable
  readonly acquisitions: readonly OpenAcquisition[]
}

interface Scene extends Leg<Owned> {
  readonly locks: Locks<Handle & Unlockable>
}

async function locker(scene: Scene): Promise<void> {
  const { process, stage, session, random } = scene
  for (let count = 0; !stage.isOver && !session.signal.aborted; count++) {
    await pause(process, restMs(process.world.nowMs, random))
    if (stage.isOver || session.signal.aborted) return
    if (random.chance(0.01)) {
      // In the middle of what the other task is doing.
      await close(scene)
      return
    }
    const wanted = scene.locks.wanted(
      random,
      stage.plan,
      `${process.name}-${process.world.nowMs.toFixed(0)}-${count}`,
    )
    const acquisitions = wanted.names.map(name => stage.recorder.acquisition(process, `${name}/`))
    const hold = await acquire(scene, wanted, acquisitions)
    if (hold !== undefined) await work(scene, { hold, acquisitions })
  }
}

/** Asks for what was held through the lease before, and works with it. Who does not get it gives up the lease: nobody else can. */
async function takeUp(scene: Scene, { hold: before, acquisitions: had }: Owned): Promise<void> {
  const { stage, process, locks } = scene
  const wanted = locks.again(before, stage.plan)!
  const acquisitions = had.map(({ line }) => stage.recorder.acquisition(process, line))
  const hold = await acquire(scene, wanted, acquisitions)
  if (hold !== undefined) await work(scene, { hold, acquisitions })
  else await close(scene)
}

async function acquire(
  scene: Scene,
  { take, tries }: Wanted<Handle & Unlockable>,
  acquisitions: readonly OpenAcquisition[],
): Promise<(Handle & Unlockable) | undefined> {
  const { process, stage, session, random, locks } = scene
  const giveUp = random.chance(0.15) ? new AbortController() : undefined
  const timer =
    giveUp && process.setTimer(random.exponential(400), () => giveUp.abort(new Error('enough waited')))
  try {
    const prefixes = acquisitions.map(({ line }) => line)
    const taking = () => take(session, giveUp?.signal)
    const { faults, ttl } = stage.plan
    // After its machine slept a session is in doubt until its lease is heard of, or over.
    const doubtMs = faults.includes('process-sleeps') ? ttl * 1000 : 0
    // Whoever goes on with a lease looks for what was left there, and takes it up, in requests of their own.
    const requests = scene.inherited === undefined ? 1 : 3
    const tryMs = requests * REQUEST_MS + (locks.delayMs?.(stage.plan) ?? 0) + doubtMs
    const hold = await whileInSession(scene, 'lock', () =>
      standing(
        scene,
        prefixes,
        () => (tries ? inTime(scene, tryMs, 'try lock', taking) : taking()),
        tries ? 'tries' : 'waits',
      ),
    )
    if (hold === undefined) {
      for (const acquisition of acquisitions) acquisition.settle('failed')
      return undefined
    }
    heldFromTheFirst(scene, hold, 'lock')
    const keys = hold.keys.map(key => mapKey(key))
    for (const { id, line, belief, settle } of acquisitions) {
      const key = keys.find(one => one.startsWith(line)) as string
      const resumes = hadBefore(scene, { key, hold, id })
      settle('ok', { key, token: hold.fencingToken, ...(resumes === undefined ? {} : { resumes }) })
      hold.signal.addEventListener('abort', () => belief.end(codeOf(hold.signal.reason)), { once: true })
    }
    return hold
  } catch (error) {
    for (const acquisition of acquisitions) acquisition.settle('failed')
    if (!giveUp?.signal.aborted) expected(stage, error, tries ? 'try lock' : 'lock')
    return undefined
  } finally {
    timer?.cancel()
  }
}

/**
 * The acquisition by which a place that was left with the lease was had. Where many may hold together it may have been
 * left by an attempt that nobody had an answer to, and then it is had for the first time.
 */
function hadBefore(
  scene: Scene,
  { key, hold, id }: { readonly key: string; readonly hold: Handle & Unlockable; readonly id: string },
): string | undefined {
  const { inherited, locks } = scene
  const owned = hadAgain(scene, hold.fencingToken)
  const had = owned?.acquisitions.find(({ line }) => key.startsWith(line))?.id
  return had ?? (inherited !== undefined && locks.isShared?.(hold) === true ? id : undefined)
}

/** Some time under the lock: looks whether it still holds, writes what only its holder may. */
async function work(scene: Scene, owned: Owned): Promise<void> {
  const { process, stage, session, random, locks, held } = scene
  const { hold, acquisitions } = owned
  const { recorder, plan } = stage
  held.add(owned)
  const look = () => {
    if (!isHeld(stage, session, hold)) for (const { belief } of acquisitions) belief.end(lossOf(hold))
  }
  const stopLooking = process.onGoingOn(look)
  const sliceMs = holdMs(random, plan.ttl) / SLICES
  for (let slice = 0; slice < SLICES && hold.held; slice++) {
    await pause(process, sliceMs)
    look()
    if (random.chance(0.3))
      await guardedWrite({ process, stage, handle: hold, acquisition: acquisitions[0]! })
    await locks
      .meanwhile?.({ process, stage, session, random, hold })
      .catch(error => expected(stage, error, locks.does ?? 'meddling'))
    if (hold.held && random.chance(0.015)) await passOn(scene)
  }
  look()
  const releases = acquisitions.map(({ id }) => recorder.release(process, id, hold.held))
  for (const { belief } of acquisitions) belief.end()
  stopLooking()
  try {
    await whileInSession(scene, 'unlock', () =>
      inTime(scene, releaseMs(stage), 'unlock', () => hold.unlock()),
    )
    // With the session over, the key goes with the lease, whenever the cluster ends that.
    for (const release of releases) release.settle(session.signal.aborted ? 'unknown' : 'ok')
    if (!session.signal.aborted) held.delete(owned)
  } catch (error) {
    for (const release of releases) release.settle('unknown')
    expected(stage, error, 'unlock')
  }
}

/** All come in waves: between them only who holds or waits is left, and who comes early in one stands in line. */
function restMs(nowMs: number, random: Random): number {
  const intoWaveMs = nowMs % WAVE_EVERY_MS
  const untilNextMs = intoWaveMs < WAVE_MS ? 0 : WAVE_EVERY_MS - intoWaveMs
  return untilNextMs + random.exponential(1100)
}

/** Mostly short, sometimes longer than the lease lasts. */
function holdMs(random: Random, ttl: number): number {
  const kind = random.next()
  if (kind < 0.75) return random.exponential(60)
  if (kind < 0.97) return random.exponential(700)
  return random.between(0.5, 1.5) * ttl * 1000
}
