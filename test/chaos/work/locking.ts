import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError, type Handle, op, type Session } from '../../../src/index.ts'
import type { Chance } from '../chance.ts'
import { sharedNowMs } from '../clock.ts'
import type { Journal } from '../journal.ts'
import type { LineUse, Taken } from './lines.ts'
import { codeOf, outcomeOf } from './what-went-wrong.ts'

export interface Locking {
  readonly session: Session
  readonly use: LineUse
  readonly chance: Chance
  readonly journal: Journal
}

/** How long the waiting and the letting go may take before this user gives up. */
const PATIENCE_MS = 30_000

/** Waits for the lock, believes in it for a while, writes under it, and lets go. */
export async function lockForAWhile(locking: Locking): Promise<void> {
  const { session, use, chance, journal } = locking
  // Some give up early: an abandoned wait must leave nothing in the line.
  const patienceMs = chance.happens(0.2) ? chance.between(0, 300) : PATIENCE_MS
  const id = journal.begin('acquisitions', { line: use.line, invokedAt: sharedNowMs() })
  let taken: Taken
  try {
    taken = await use.take(session, AbortSignal.timeout(patienceMs))
  } catch (error) {
    // Whether a place stood in the line for a while, nobody said.
    journal.more('acquisitions', id, { settledAt: sharedNowMs(), outcome: 'unknown', error: codeOf(error) })
    return
  }
  const { handle } = taken
  const belief = new Belief(handle, id, journal)
  journal.more('acquisitions', id, {
    settledAt: sharedNowMs(),
    outcome: 'ok',
    key: Buffer.from(handle.key).toString('latin1'),
    token: handle.fencingToken,
  })
  await workUnder(handle, belief, id, locking)
  await letGo(taken, belief, id, locking)
}

/** When this process stopped believing that it holds, written down once. */
class Belief {
  readonly #hold: Handle
  readonly #acquisition: string
  readonly #journal: Journal
  #isOver = false

  constructor(hold: Handle, acquisition: string, journal: Journal) {
    this.#hold = hold
    this.#acquisition = acquisition
    this.#journal = journal
    const { signal } = hold
    const ended = () => this.end(codeOf(signal.reason))
    if (signal.aborted) ended()
    else signal.addEventListener('abort', ended, { once: true })
  }

  /** Asks the hold, synchronously, and believes what it says. */
  get holds(): boolean {
    if (!this.#isOver && !this.#hold.held) this.end('NOT_HELD')
    return !this.#isOver
  }

  end(loss?: string): void {
    if (this.#isOver) return
    this.#isOver = true
    const told = loss === undefined ? {} : { loss }
    this.#journal.more('acquisitions', this.#acquisition, { believedUntil: sharedNowMs(), ...told })
  }
}

async function workUnder(
  hold: Handle,
  belief: Belief,
  acquisition: string,
  { use, chance, journal }: Locking,
): Promise<void> {
  for (let writes = chance.between(0, 2); writes > 0 && belief.holds; writes--) {
    const key = `${use.line.slice(0, -1)}-guarded`
    const value = journal.value()
    const id = journal.begin('guardedWrites', { acquisition, key, value, invokedAt: sharedNowMs() })
    try {
      const { revision } = await hold.txn({ then: [op.put(key, value)] })
      journal.more('guardedWrites', id, { settledAt: sharedNowMs(), outcome: 'ok', revision })
    } catch (error) {
      const outcome = EtcdError.is(error, 'LOCK_LOST') ? 'failed' : outcomeOf(error)
      journal.more('guardedWrites', id, { settledAt: sharedNowMs(), outcome, error: codeOf(error) })
    }
  }
  // Mostly short; some long enough that the own key is watched, too.
  const untilMs = sharedNowMs() + (chance.happens(0.15) ? chance.between(1000, 2500) : chance.between(0, 60))
  while (sharedNowMs() < untilMs && belief.holds) await sleep(5)
}

async function letGo(
  { leave }: Taken,
  belief: Belief,
  acquisition: string,
  { session, journal }: Locking,
): Promise<void> {
  const wasHeld = belief.holds
  belief.end()
  const id = journal.begin('releases', { acquisition, wasHeld, invokedAt: sharedNowMs() })
  try {
    await leave(AbortSignal.timeout(PATIENCE_MS))
    // With its session a release ends, too, and the place goes when the cluster ends the lease.
    const outcome = session.state === 'lost' ? 'unknown' : 'ok'
    journal.more('releases', id, { settledAt: sharedNowMs(), outcome })
  } catch (error) {
    journal.more('releases', id, { settledAt: sharedNowMs(), outcome: 'unknown', error: codeOf(error) })
  }
}
