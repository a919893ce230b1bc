import type { SessionContext } from '../../../src/session/session-context.ts'
import { deferred } from '../../../src/support/deferred.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { equalBytes, mapKey } from '../../../src/wire/bytes.ts'
import { methods } from '../../../src/wire/methods.ts'
import {
  type Attempt,
  claimFailed,
  giveUp,
  type Stand,
  takeTurns,
  unanswered,
  understood,
  untilGivenUp,
} from '../line/claim.ts'
import { type Entry, entryOf } from '../line/entry.ts'
import { OwnPlace, type Standing } from '../line/own-place.ts'
import { placeTaken } from '../line/place.ts'
import { empty, type Rule } from '../line/rule.ts'
import { takeLeft } from './left-slots.ts'
import { admit, newWish, type SlotClaim, type SlotPool, slotClaim } from './slot-claim.ts'
import { GhostsOfSlots, removeSlotsWith, type Taken } from './slot-ghosts.ts'
import { HeadOfLine, type TakenSlots } from './slot-head.ts'
import {
  type ClaimAnswer,
  claimedOrQueued,
  claimFootprint,
  claimOrQueue,
  type Queued,
  type SlotWish,
} from './slot-wire.ts'

/** Those who wait for slots: everybody earlier goes first. */
const inLine: Rule = {
  values: 'ignored',
  keys: 'many',
  blocks: () => true,
  vacant: prefix => [[empty(prefix)]],
  adopts: () => true,
}

/**
 * Takes slots: at once if nobody waits, else from the head of the line.
 *
 * While anybody waits only the head takes slots, and holders only release: of what the head has seen free nothing
 * is taken by others, so it can wait until there is enough for it, and nobody behind it passes. It leaves the line
 * in the transaction that takes the slots. That wakes the next, and it makes claims that come late harmless.
 */
export async function acquireSlots(
  session: SessionContext,
  pool: SlotPool,
  count: number,
  signal: AbortSignal | undefined,
): Promise<SlotClaim> {
  await admit(session, pool, count, signal)
  const wish = newWish(session, pool, count)
  // Such a line has a key for every task, so there is no turn to wait for.
  const stands = await takeTurns(
    session,
    [{ prefix: pool.keys.waiters, rule: inLine, value: wish.value }],
    signal,
  )
  return untilGivenUp(session, new SlotAcquisition(session, pool, wish, stands[0]!), signal)
}

class SlotAcquisition implements Attempt<SlotClaim>, Standing {
  readonly session: SessionContext
  readonly abandoned: LazyAbort = new LazyAbort()
  readonly #pool: SlotPool
  readonly #wish: SlotWish
  readonly #stand: Stand
  readonly #ghosts: GhostsOfSlots
  readonly #turned = deferred<void>()
  #hasUnanswered = false
  /** Our place in the line, from when the cluster has told it until it is known to be gone. */
  #mine: Entry | undefined
  /** The place a crash has left to us, until the cluster has told what became of it. */
  #left: bigint | undefined
  #head: HeadOfLine | undefined
  #taken: TakenSlots | undefined

  constructor(session: SessionContext, pool: SlotPool, wish: SlotWish, stand: Stand) {
    this.session = session
    this.#pool = pool
    this.#wish = wish
    this.#stand = stand
    this.#left = stand.left
    this.#ghosts = session.engine.shared(GhostsOfSlots)
    // Whoever waits for it hears; nobody has to.
    this.#turned.promise.catch(() => {})
  }

  async run(): Promise<SlotClaim> {
    try {
      this.#taken = await this.#take()
      // The turn may come to a machine that slept, or in the moment the session is lost.
      await this.session.reliable()
      this.abandoned.throwIfAborted()
      this.#pool.memory.taken(this.#taken.slots)
      this.session.background(this.#leaveLine())
      this.#ghosts.find(this.session, this.#wish.keys)?.settled(this.#wish.value, this.#taken.createRevision)
      return this.#claim(this.#taken)
    } catch (error) {
      this.session.background(this.#undo())
      throw claimFailed(this.session, error)
    }
  }

  abandon(reason: unknown): void {
    this.abandoned.abort(() => reason)
    this.#head?.abandon(reason)
    this.#turned.reject(reason)
  }

  turned(): void {
    this.#turned.resolve()
  }

  failed(error: unknown): void {
    this.#turned.reject(error)
  }

  async #take(): Promise<TakenSlots> {
    const left = await takeLeft(this.session, this.#wish, this.abandoned)
    if (left !== undefined) return this.#adopted(left)
    const place = new OwnPlace(this.#stand, this)
    let held: readonly number[] | undefined
    try {
      const answer = await this.#ask(place)
      if (answer.kind === 'taken') return answer
      if (answer.kind === 'waiting') await this.#turned.promise
      else held = answer.held
    } finally {
      // Whether the place is still there is for the head to find out, which removes it itself.
      place.leave()
    }
    const mine = this.#mine!
    this.abandoned.throwIfAborted()
    this.#head = new HeadOfLine(this.session, this.#pool, this.#wish, { mine, abandoned: this.abandoned })
    const taken = await this.#head.take(held)
    this.#mine = undefined
    return taken
  }

  async #ask(
    place: OwnPlace,
  ): Promise<
    | ({ readonly kind: 'taken' } & TakenSlots)
    | { readonly kind: 'waiting' }
    | { readonly kind: 'head'; readonly held: readonly number[] }
  > {
    try {
      const answer = await this.#claimOrQueue()
      this.#left = undefined
      if (answer.kind === 'granted')
        return { kind: 'taken', slots: answer.slots, createRevision: answer.revision, adopted: false }
      this.#mine = this.#placeIn(answer)
      this.#pool.memory.seen(answer.held)
      const earlier = await this.#takenEarlier()
      if (earlier !== undefined) return { kind: 'taken', ...earlier }
      this.abandoned.throwIfAborted()
      place.created(this.#mine)
      const distance = place.look(answer.line)
      if (distance === 'free') return { kind: 'head', held: answer.held }
      place.wait(distance, answer.line)
      return { kind: 'waiting' }
    } finally {
      // Only now that the answer is used, deletions seen while it was on its way may be forgotten.
      place.answered()
    }
  }

  async #claimOrQueue(): Promise<Extract<ClaimAnswer, { kind: 'granted' }> | Queued> {
    const { limit, memory } = this.#pool
    for (;;) {
      limit.check(this.#wish.count)
      const alternatives = memory.alternatives(this.#wish.count, limit.permits)
      const response = await this.session.engine.submitter.submit({
        method: methods.txn,
        request: claimOrQueue(this.#wish, limit.raw, alternatives, this.#stand.own.key),
        footprint: claimFootprint(this.#wish),
        // Made twice, it finds its place, or it takes other slots and what it took first is given back.
        repeat: 'idempotent',
        noMoreAttempts: this.abandoned,
        onUnanswered: () => this.#unanswered(),
      })
      const answer = this.#understood(() => claimedOrQueued(response, this.#wish, alternatives))
      if (answer.kind !== 'other-limit') {
        limit.agreed()
        return answer
      }
      await limit.found(answer.limit)
      memory.seen(answer.held)
      await this.session.reliable()
      this.abandoned.throwIfAborted()
    }
  }

  #understood<Reading>(read: () => Reading): Reading {
    try {
      return understood([this.#stand], read)
    } catch (error) {
      this.#hasUnanswered = true
      this.#ghosts.of(this.session, this.#wish.keys).unanswered(this.#wish.value)
      throw error
    }
  }

  #unanswered(): void {
    this.#hasUnanswered = true
    unanswered([this.#stand])
    this.#ghosts.of(this.session, this.#wish.keys).unanswered(this.#wish.value)
  }

  #placeIn({ found, revision }: Queued): Entry {
    const { own, value } = this.#stand
    const { leaseId: lease } = this.session
    if (found === undefined) {
      const created = { createRevision: revision, modRevision: revision }
      return { name: mapKey(own.key), key: own.key, ...created, lease, value }
    }
    // Else it was left on a lease that was resumed, and what became of our attempt is still open.
    if (equalBytes(found.value, value)) {
      own.ghostFound()
      this.#ghosts.find(this.session, this.#wish.keys)?.accounted(value)
    }
    const mine = entryOf(found)
    if (mine.lease === lease) return mine
    this.#mine = mine
    throw placeTaken(mine)
  }

  /** Slots taken by an attempt without an answer, whose repeat found no others. */
  async #takenEarlier(): Promise<TakenSlots | undefined> {
    if (!this.#hasUnanswered) return undefined
    const taken = await this.#ghosts.takenEarlier(this.session, this.#wish)
    return taken && this.#adopted(taken)
  }

  #adopted({ keys, createRevision }: Taken): TakenSlots {
    const slots = this.#wish.keys.numbersOf(keys.map(key => ({ key })))
    return { slots, createRevision, adopted: true }
  }

  /**
   * Of a place that is left over, also of one we were left and never asked for: nobody else of this session looks for
   * it, and everybody would wait for it. Then the key of it may be used by others.
   */
  async #leaveLine(): Promise<void> {
    const place = this.#mine?.createRevision ?? this.#left
    if (place !== undefined) await this.#stand.own.remove(place)
    this.#stand.turn.end()
  }

  /** Whatever there may be of us goes. An attempt without an answer is left to the watches for ghosts. */
  async #undo(): Promise<void> {
    if (this.#taken !== undefined) await giveUp(this.session, this.#claim(this.#taken))
    await this.#leaveLine()
    // With our place gone, no claim of its owner can be applied any more.
    if (this.#head?.mayHold === true && this.#taken === undefined)
      await removeSlotsWith(this.session, this.#wish.keys, this.#wish.value)
    this.#ghosts.find(this.session, this.#wish.keys)?.settled(this.#wish.value, undefined)
  }

  #claim({ slots, createRevision, adopted }: TakenSlots): SlotClaim {
    return slotClaim(this.session, this.#wish, slots, createRevision, adopted)
  }
}
