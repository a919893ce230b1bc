import { type Etcd, EtcdError, type Handle, op, type Session } from '../../../src/index.ts'
import type { Timer } from '../../../src/support/runtime.ts'
import { byItsClock, healedAtMs } from '../promptness.ts'
import type { OpenAcquisition } from '../recorder.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { pause, type Stage } from '../stage.ts'
import { outcomeOf } from './outcome.ts'
import { maySay, type Saying } from './said.ts'
import { REQUEST_MS } from './standing.ts'

/** Closing a session, whatever its cluster does. */
export const CLOSE_MS = 5000

/**
 * Giving something up that goes with the session: until that is known, or the session is over. Where new connections
 * are silent, or a member lags, renewals may go through and requests only when all is healed.
 */
export function releaseMs({ plan, world }: Stage): number {
  const mayStarve = plan.faults.includes('never-speaks') || plan.faults.includes('member-lags')
  const healsInMs = mayStarve ? healedAtMs(plan.seconds) - world.nowMs : 0
  return Math.max(plan.ttl * 1000, byItsClock(plan, healsInMs)) + REQUEST_MS
}

interface SessionScene {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly session: Session
}

/** A session, or a short pause and nothing: whoever gets none tries again. One that goes on with a lease, if there is one. */
export async function openSession(
  etcd: Etcd,
  process: SimulatedProcess,
  stage: Stage,
  resume?: bigint,
): Promise<Session | undefined> {
  try {
    const session = await inTime({ process, stage }, REQUEST_MS, 'session', () =>
      etcd.session(resume === undefined ? { ttl: stage.plan.ttl } : { resume }),
    )
    session.signal.addEventListener('abort', () => overSince.set(session, stage.world.nowMs), { once: true })
    return session
  } catch (error) {
    expected(stage, error, resume === undefined ? 'session' : 'session that goes on')
    await pause(process, 100)
    return undefined
  }
}

/** Was it closed in good order? */
export async function closeSession({ process, stage, session }: SessionScene): Promise<boolean> {
  try {
    await inTime({ process, stage }, CLOSE_MS, 'close', () => session.close())
    return true
  } catch (error) {
    expected(stage, error, 'close')
    return false
  }
}

/** Writes what only its owner may write, and writes down what was told of it. */
export async function guardedWrite({
  process,
  stage,
  handle,
  acquisition,
}: {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly handle: Handle
  readonly acquisition: OpenAcquisition
}): Promise<void> {
  const key = `guarded/${handle.name}`
  const value = `${process.name}-${acquisition.id}-${process.world.nowMs}`
  const write = stage.recorder.guardedWrite(process, { acquisition: acquisition.id, key, value })
  try {
    const { revision } = await inTime({ process, stage }, REQUEST_MS, 'guarded write', () =>
      handle.txn({ then: [op.put(key, value)] }),
    )
    write.settle('ok', { revision })
  } catch (error) {
    write.settle(outcomeOf(error))
    expected(stage, error, 'guarded write')
  }
}

/** Waits for something that only a session has: whoever does hears at once that the session is over. */
export async function whileInSession<Result>(
  { process, stage, session }: SessionScene,
  where: string,
  wait: () => Promise<Result>,
): Promise<Result> {
  let timer: Timer | undefined
  const listen = () => {
    timer = process.setTimer(1, () =>
      stage.unexpected(new Error('its session is over, and it waits on'), where),
    )
  }
  session.signal.addEventListener('abort', listen, { once: true })
  try {
    return await wait()
  } finally {
    session.signal.removeEventListener('abort', listen)
    timer?.cancel()
  }
}

/** Does what has to come to an end within so many milliseconds that its process runs. */
export async function inTime<Result>(
  { process, stage }: { readonly process: SimulatedProcess; readonly stage: Stage },
  limitMs: number,
  where: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const tooLong = () => stage.unexpected(new Error(`it takes more than ${limitMs} ms`), where)
  // Whoever stood still past the end of it has a moment to come to it.
  let timer = process.setTimer(limitMs, () => {
    timer = process.setTimer(1, tooLong)
  })
  try {
    return await work()
  } finally {
    timer.cancel()
  }
}

/** Asks whether it is held. Nothing is once its session has no time left, whether a timer has said so or not. */
export function isHeld(stage: Stage, session: Session, handle: Handle): boolean {
  const { held } = handle
  if (held && session.remainingMs === 0)
    stage.unexpected(new Error(`${handle.name} is held, and its session has no time left`), 'held')
  return held
}

/** Why it may not be relied on. */
export function lossOf(handle: Handle): string | undefined {
  try {
    handle.assertHeld()
    return undefined
  } catch (error) {
    return codeOf(error)
  }
}

/** When sessions ended. */
const overSince = new WeakMap<Session, number>()

/**
 * What is granted is ours when it is told: no time passes between the two. In one batch with the grant there may be the
 * news that all is over.
 */
export function heldFromTheFirst({ stage, session }: SessionScene, handle: Handle, where: string): void {
  const isJustOver = session.signal.aborted && overSince.get(session) === stage.world.nowMs
  if (!handle.held && !isJustOver)
    stage.unexpected(new Error(`${handle.name} was granted, and had been lost`), where)
}

/** Does it soon after the play is over. Returns how to forget it. */
export function untilOver(process: SimulatedProcess, stage: Stage, action: () => void): () => void {
  let timer = process.setTimer(1000, look)
  function look(): void {
    if (stage.isOver) action()
    else timer = process.setTimer(1000, look)
  }
  return () => timer.cancel()
}

export function codeOf(reason: unknown): string {
  return EtcdError.is(reason) ? reason.code : String(reason)
}

/** Under faults a call may fail with what it says it may, and with what the faults bring about. */
export function expected(stage: Stage, error: unknown, saying: Saying): void {
  if (!maySay(stage.plan, saying, error)) stage.unexpected(error, saying)
}
