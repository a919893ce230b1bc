import type { SessionContext } from '../../../src/session/session-context.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import {
  type Attempt,
  type Claim,
  claimFailed,
  endTurns,
  giveUp,
  type Stand,
  tryTurns,
  untilGivenUp,
  type Wish,
} from './claim.ts'
import { leftFor } from './left-places.ts'
import { takeUp } from './take-up.ts'
import { createIfVacant, type Vacant } from './vacancy.ts'

/**
 * The head of every line if nobody is to be waited for in any of them, undefined otherwise; then nothing was
 * written. One round trip, none if another task of this session is in the way.
 */
export async function tryAcquire(
  session: SessionContext,
  wishes: readonly Wish[],
  signal: AbortSignal | undefined,
): Promise<Claim | undefined> {
  signal?.throwIfAborted()
  session.assertOpen()
  const left = session.resumed ? await leftFor(session, wishes, signal) : undefined
  const stands = tryTurns(session, wishes, left)
  if (stands === undefined) return undefined
  return untilGivenUp(session, new ImmediateAttempt(session, stands), signal)
}

class ImmediateAttempt implements Attempt<Claim | undefined> {
  readonly #session: SessionContext
  readonly #stands: readonly Stand[]
  readonly #abandoned = new LazyAbort()

  constructor(session: SessionContext, stands: readonly Stand[]) {
    this.#session = session
    this.#stands = stands
  }

  async run(): Promise<Claim | undefined> {
    let created: Vacant | undefined
    try {
      do created = await createIfVacant(this.#session, this.#stands, this.#abandoned)
      while (created !== undefined && !(await this.#takeUp(created)))
      await this.#session.reliable()
      this.#abandoned.throwIfAborted()
    } catch (error) {
      this.#session.background(this.#undo(created?.createRevision))
      throw claimFailed(this.#session, error)
    }
    if (created === undefined) {
      endTurns(this.#stands)
      return undefined
    }
    for (const { own } of this.#stands) own.granted(created.createRevision)
    const { createRevision, found } = created
    return { stands: this.#stands, createRevision, adopted: found.length > 0 }
  }

  abandon(reason: unknown): void {
    this.#abandoned.abort(() => reason)
  }

  async #takeUp({ found }: Vacant): Promise<boolean> {
    const isOurs = await takeUp(this.#session, this.#stands, found, this.#abandoned)
    this.#abandoned.throwIfAborted()
    return isOurs
  }

  async #undo(createRevision: bigint | undefined): Promise<void> {
    if (createRevision === undefined) endTurns(this.#stands)
    else await giveUp(this.#session, { stands: this.#stands, createRevision })
  }
}
