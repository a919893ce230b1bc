import { setTimeout as sleep } from 'node:timers/promises'
import type { Handle, Session } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { Belief } from './belief.ts'
import { guardedWrite } from './guarded-write.ts'
import { type LineUse, someLine, type Taken } from './lines.ts'
import { Patience } from './patience.ts'
import type { Post } from './post.ts'
import { codeOf } from './what-went-wrong.ts'

/** How long the waiting and the letting go may take before this user gives up. */
const PATIENCE_MS = 30_000

/** Waits for a lock, believes in it for a while, writes under it, and lets go. */
export async function lockForAWhile(post: Post): Promise<void> {
  const { round, chance, journal } = post
  const session = await post.session()
  const use = someLine(round.prefix, chance)
  const ids = use.lines.map(line => journal.begin('acquisitions', { line, invokedAt: sharedNowMs() }))
  // Some give up early: an abandoned wait must leave nothing in the line.
  using patience = new Patience(chance.happens(0.2) ? chance.between(0, 300) : PATIENCE_MS)
  let taken: Taken
  try {
    taken = await use.take(session, patience.signal)
  } catch (error) {
    // Whether a place stood in the line for a while, nobody said.
    const told = { settledAt: sharedNowMs(), outcome: 'unknown', error: codeOf(error) }
    for (const id of ids) journal.more('acquisitions', id, told)
    return
  }
  const { handle } = taken
  const belief = new Belief(handle, ids, post)
  const told = { settledAt: sharedNowMs(), outcome: 'ok', token: handle.fencingToken }
  const keys = handle.keys.map(key => Buffer.from(key).toString('latin1'))
  for (const [index, id] of ids.entries()) {
    const key = keys.find(one => one.startsWith(use.lines[index]!))
    journal.more('acquisitions', id, { ...told, key })
  }
  await workUnder(handle, belief, ids[0]!, use, post)
  await letGo(taken, belief, ids, session, post)
}

async function workUnder(
  hold: Handle,
  belief: Belief,
  acquisition: string,
  { lines }: LineUse,
  { chance, journal }: Post,
): Promise<void> {
  const key = `${lines[0]!.slice(0, -1)}-guarded`
  for (let writes = chance.between(0, 2); writes > 0 && belief.holds; writes--)
    await guardedWrite(hold, acquisition, key, journal)
  // Mostly short; some long enough that the own key is watched, too.
  const untilMs = sharedNowMs() + (chance.happens(0.15) ? chance.between(1000, 2500) : chance.between(0, 60))
  while (sharedNowMs() < untilMs && belief.holds) await sleep(5)
}

async function letGo(
  { leave }: Taken,
  belief: Belief,
  acquisitions: readonly string[],
  session: Session,
  { journal }: Post,
): Promise<void> {
  const wasHeld = belief.holds
  belief.end()
  const ids = acquisitions.map(acquisition =>
    journal.begin('releases', { acquisition, wasHeld, invokedAt: sharedNowMs() }),
  )
  using patience = new Patience(PATIENCE_MS)
  let told: object
  try {
    await leave(patience.signal)
    // With its session a release ends, too, and the place goes when the cluster ends the lease.
    told = { outcome: session.state === 'lost' ? 'unknown' : 'ok' }
  } catch (error) {
    told = { outcome: 'unknown', error: codeOf(error) }
  }
  for (const id of ids) journal.more('releases', id, { settledAt: sharedNowMs(), ...told })
}
