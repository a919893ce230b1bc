import { type Etcd, EtcdError, type Handle, type Session } from '../../../src/index.ts'
import type { Random } from '../random.ts'
import type { OpenSession } from '../recorder.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import type { Stage } from '../stage.ts'
import { CLOSE_MS, closeSession, expected, inTime, openSession } from './acting.ts'
import { ledger } from './ledger.ts'

/** One session of a process, as one of its tasks has it. */
export interface Leg<Owned> {
  readonly process: SimulatedProcess
  readonly stage: Stage
  readonly session: Session
  readonly open: OpenSession
  /** What was left with the lease of the session, if it goes on with one. */
  readonly inherited: readonly Owned[] | undefined
  /** What of it was had in this session. */
  readonly again: Set<Owned>
  /** By all tasks of the session. */
  readonly held: Set<Owned>
  readonly fate: { isLeft: boolean }
  readonly random: Random
}

interface Runners<Owned> {
  /** `unrecorded`: what stands in lines is not written down, so nobody could say what a session wants there. */
  readonly places?: 'unrecorded'
  /** What a task of the session does until that is over; there are two of them. */
  task(leg: Leg<Owned>): Promise<void>
  /** Asks for what was held through the lease before. */
  takeUp(leg: Leg<Owned>, owned: Owned): Promise<void>
  /** The session was not left to others, and is about to be closed. */
  finish?(leg: Leg<Owned>): Promise<void>
  /** Can it be asked for again? */
  isKnown?(owned: Owned): boolean
}

const TASKS = 2
/** How long a session that goes on with a lease lasts. */
const RESUMED_MS = 20_000

/** One session after the other until the play is over; some go on with the lease of the one before. */
export async function relay<Owned extends { readonly hold: Handle }>(
  etcd: Etcd,
  { process, stage, random }: { process: SimulatedProcess; stage: Stage; random: Random },
  { task, takeUp, finish, isKnown, places }: Runners<Owned>,
): Promise<void> {
  let left: { readonly lease: bigint; readonly held: readonly Owned[] } | undefined
  for (let count = 0; !stage.isOver; count++) {
    const session = await openSession(etcd, process, stage, left?.lease)
    const inherited = left?.held
    left = undefined
    if (session === undefined) continue
    const held = new Set<Owned>()
    const open = stage.recorder.session(process, session, places)
    const again = new Set<Owned>()
    const leg = { process, stage, session, open, inherited, again, held, fate: { isLeft: false }, random }
    // What an attempt without an answer creates under a lease that was left is nobody's, and may stand in the way of all
    // until the lease ends: whoever goes on with one does not wait for ever.
    const enough =
      inherited && process.setTimer(RESUMED_MS, () => leg.session.signal.aborted || void close(leg))
    const as = (name: string) => ({ ...leg, random: random.fork(`${name} of ${count}`) })
    const tasks = Array.from({ length: TASKS }, (_, index) => task(as(`task ${index}`)))
    const asking = (inherited ?? []).map((owned, index) => takeUp(as(`again ${index}`), owned))
    await Promise.all([...tasks, ...asking])
    enough?.cancel()
    // Where the session was left again before all was had, the rest is still there for the next.
    const owned = [
      ...[...held].filter(({ hold }) => EtcdError.is(hold.signal.reason, 'SESSION_CLOSED')),
      ...(inherited ?? []).filter(one => !again.has(one)),
    ]
    const goesOn = leg.fate.isLeft && EtcdError.is(session.signal.reason, 'SESSION_CLOSED')
    // Of what nobody can ask for again the lease is the only end.
    if (goesOn && owned.every(one => isKnown?.(one) !== false)) left = { lease: session.leaseId, held: owned }
    else {
      await finish?.(leg)
      await close(leg)
    }
  }
}

export async function close<Owned>({ process, stage, session, open, fate }: Leg<Owned>): Promise<void> {
  const isClosed = await closeSession({ process, stage, session })
  // Where another task has left the lease to others there was nothing to close.
  if (isClosed && !fate.isLeft) open.closed()
}

/** What was left with the lease under this token, and is had again now. */
export function hadAgain<Owned extends { readonly hold: Handle }>(
  { inherited, again }: Leg<Owned>,
  token: bigint,
): Owned | undefined {
  const owned = inherited?.find(({ hold }) => hold.fencingToken === token)
  if (owned !== undefined) again.add(owned)
  return owned
}

/** Leases that were left to whoever goes on with them. */
export const leftLeases: (stage: Stage) => bigint[] = ledger()

/** Leaves the lease with all that is held through its session. */
export async function passOn<Owned>({ process, stage, session, fate }: Leg<Owned>): Promise<void> {
  fate.isLeft = true
  leftLeases(stage).push(session.leaseId)
  await inTime({ process, stage }, CLOSE_MS, 'orphan', () => session.orphan()).catch(error =>
    expected(stage, error, 'orphan'),
  )
}
