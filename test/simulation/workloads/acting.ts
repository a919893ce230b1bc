import { type Etcd, EtcdError, type Handle, op, type Session } from '../../../src/index.ts'
import type { Timer } from '../../../src/support/runtime.ts'
import type { OpenAcquisition } from '../recorder.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { pause, type Stage } from '../stage.ts'
import { outcomeOf } from './outcome.ts'

/** A session, or a short pause and nothing: whoever gets none tries again. */
export async function openSession(
  etcd: Etcd,
  process: SimulatedProcess,
  stage: Stage,
): Promise<Session | undefined> {
  try {
    return await etcd.session({ ttl: stage.plan.ttl })
  } catch (error) {
    expected(stage, error, 'session')
    await pause(process, 100)
    return undefined
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
    const { revision } = await handle.txn({ then: [op.put(key, value)] })
    write.settle('ok', { revision })
  } catch (error) {
    write.settle(outcomeOf(error))
    expected(stage, error, 'guarded write')
  }
}

/** Waits for something that only a session has: whoever does hears at once that the session is over. */
export async function whileInSession<Result>(
  { process, stage, session }: { process: SimulatedProcess; stage: Stage; session: Session },
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

/** What is granted is ours when it is told: no time passes between the two. */
export function heldFromTheFirst(stage: Stage, handle: Handle, where: string): void {
  if (!handle.held) stage.unexpected(new Error(`${handle.name} was granted, and had been lost`), where)
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

/** Under faults a call may fail with an error of ours, and with nothing else. */
export function expected(stage: Stage, error: unknown, where: string): void {
  if (!EtcdError.is(error)) stage.unexpected(error, where)
}
