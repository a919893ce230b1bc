import type { SessionContext } from '../../../src/session/session-context.ts'
import { deferred } from '../../../src/support/deferred.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import {
  type Attempt,
  type Claim,
  claimFailed,
  endTurns,
  giveUp,
  oursInLine,
  type Stand,
  takeTurns,
  untilGivenUp,
  type Wish,
} from './claim.ts'
import { type Created, createPlaces } from './creation.ts'
import { type Distance, OwnPlace, type Standing } from './own-place.ts'
import { placeTaken } from './place.ts'
import { takeUp } from './take-up.ts'

/**
 * Stands in line until it is our turn: in one line, or in several at one position.
 *
 * The local turn comes first: tasks of one session share one key. Then one transaction creates the keys if they
 * are absent and reads the lines. Nobody ahead: done, in that one round trip. Else each place waits in the line all
 * sessions of the client share, and is granted by events alone. Keys created in one transaction have one create
 * revision, so whoever stands in several lines has the same position in all of them, everybody waits for smaller
 * revisions only, and no set of acquisitions can wait in a circle.
 *
 * Whatever ends the wait before that is told at once. The places are then removed in the background, also when
 * it is not known yet whether there are any, and only when they are known to be gone the local turn goes on.
 */
export async function acquire(
  session: SessionContext,
  wishes: readonly Wish[],
  signal: AbortSignal | undefined,
): Promise<Claim> {
  signal?.throwIfAborted()
  session.assertOpen()
  const stands = await takeTurns(session, wishes, signal)
  return untilGivenUp(session, new Acquisition(session, stands), signal)
}

class Acquisition implements Attempt<Claim>, Standing {
  readonly session: SessionContext
  readonly abandoned: LazyAbort = new LazyAbort()
  readonly #stands: readonly Stand[]
  readonly #waiting = new Set<OwnPlace>()
  readonly #turned = deferred<void>()
  /** Known once the cluster has answered. */
  #createRevision: bigint | undefined

  constructor(session: SessionContext, stands: readonly Stand[]) {
    this.session = session
    this.#stands = stands
    // Whoever waits for it hears; nobody has to.
    this.#turned.promise.catch(() => {})
  }

  async run(): Promise<Claim> {
    const places = this.#stands.map(
      (stand, index) => new OwnPlace(stand, this, oursInLine(this.#stands, index)),
    )
    try {
      const { createRevision, adopted } = await this.#stand(places)
      // The turn may come to a machine that slept, or in the moment the session is lost.
      await this.session.reliable()
      this.abandoned.throwIfAborted()
      for (const { own } of this.#stands) own.granted(createRevision)
      return { stands: this.#stands, createRevision, adopted }
    } catch (error) {
      this.session.background(this.#undo())
      throw claimFailed(this.session, error)
    } finally {
      for (const place of places) place.leave()
    }
  }

  abandon(reason: unknown): void {
    this.abandoned.abort(() => reason)
    this.#turned.reject(reason)
  }

  turned(place: OwnPlace): void {
    this.#waiting.delete(place)
    if (this.#waiting.size === 0) this.#turned.resolve()
  }

  failed(error: unknown): void {
    this.#turned.reject(error)
  }

  /** Creates the keys and waits wherever somebody is ahead. */
  async #stand(places: readonly OwnPlace[]): Promise<Created> {
    const created = await this.#create(places)
    if (this.#waiting.size > 0) await this.#turned.promise
    return created
  }

  async #create(places: readonly OwnPlace[]): Promise<Created> {
    try {
      const created = await this.#createOrTakeUp()
      const distances = places.map((place, index): Distance => {
        place.created(created.entries[index]!)
        const reading = created.readings[index]
        return reading === undefined ? 'free' : place.look(reading)
      })
      // All or none: a place that is free while another waits must be told, too, when it is deleted.
      if (distances.every(distance => distance === 'free')) return created
      for (const place of places) this.#waiting.add(place)
      for (const [index, place] of places.entries()) place.wait(distances[index]!, created.readings[index]!)
      return created
    } finally {
      // Only now that the answer is used, deletions seen while it was on its way may be forgotten.
      for (const place of places) place.answered()
    }
  }

  async #createOrTakeUp(): Promise<Created> {
    for (;;) {
      const created = await createPlaces(this.session, this.#stands, this.abandoned)
      // From here on whatever becomes of us takes the keys away, also those that somebody has written over.
      this.#createRevision = created.createRevision
      const taken = created.entries.find(({ lease }) => lease !== this.session.leaseId)
      if (taken !== undefined) throw placeTaken(taken)
      this.abandoned.throwIfAborted()
      if (!created.adopted) return created
      const isOurs = await takeUp(this.session, this.#stands, created.entries, this.abandoned)
      this.abandoned.throwIfAborted()
      if (isOurs) return created
    }
  }

  /** Whatever there may be of us in the lines goes. An attempt without an answer is left to the watch for ghosts. */
  async #undo(): Promise<void> {
    if (this.#createRevision === undefined) endTurns(this.#stands)
    else await giveUp(this.session, { stands: this.#stands, createRevision: this.#createRevision })
  }
}
