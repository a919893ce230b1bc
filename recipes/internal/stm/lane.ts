import type { Engine } from '../../../src/client/engine.ts'
import { Backoff } from '../../../src/support/backoff.ts'
import type { Timer } from '../../../src/support/runtime.ts'
import { whenSettled } from '../../../src/support/settling.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Outcome } from './attempt.ts'
import { Batch, type Finished } from './batch.ts'
import { StmCommitter } from './commit.ts'
import { isItsOwnFault } from './courier.ts'
import { Courtesy, SharedPause } from './courtesy.ts'
import type { Interval } from './interval.ts'
import { anyOverlap } from './interval.ts'
import type { Member, Ran } from './member.ts'
import { Moments } from './moments.ts'
import { StmReader } from './reader.ts'
import type { Snapshot } from './snapshot.ts'
import { BatchView, type Missing } from './view.ts'

/** No batch is put together for longer, in milliseconds, so that the first of it need not wait for the last. */
const FORMING_MS = 5
const MOST_MEMBERS = 512
/** A commit that takes longer holds up nobody else, in milliseconds. */
const PATIENCE_MS = 1000
const BACKOFF = { initialMs: 2, maxMs: 100 }

/** One that has run in this batch and is to be committed with it. */
interface Seat {
  readonly member: Member
  readonly ran: Ran
}

/** What all lanes of a client are to one of them. */
export interface Crossing {
  /** Another lane that is at work on the keys of this batch. */
  rivalOf(lane: Lane, batch: Batch): Lane | undefined
  /** This lane is at work on these keys, until it is cleared. */
  claim(lane: Lane, footprint: Finished): void
  clear(lane: Lane): void
}

/**
 *              a commit starts a lane
 *                       │
 *                       ▼        answered: one turn for newcomers
 *      forming ──▶ committing ───────────────────────────────────▶ forming, or over if nobody waits
 *         │                                                          ▲
 *         └── meets another lane: all go there, over                 └── conflict: the same members again
 *
 * Transactions of one client that are at work on the same keys. They run one after the other, each on what the
 * one before has left, and are committed as one: none is in another's way.
 *
 * Invariant: all members of a batch have run on one snapshot, in the order of the batch, and nothing of it is
 * told to anybody before the server has said that the snapshot still held.
 */
export class Lane {
  readonly #engine: Engine
  readonly #crossing: Crossing
  readonly #reader: StmReader
  readonly #committer: StmCommitter
  readonly #backoff: Backoff
  readonly #courtesy = new Courtesy()
  #queue: Member[] = []
  /** Being formed or committed, or just committed. */
  #batch: Batch = new Batch()
  #snapshot: Snapshot | undefined
  /** The snapshot was taken after this moment. */
  #asOf = 0
  #state: 'forming' | 'committing' | 'gathering' | 'over' = 'committing'
  #impatient: Timer | undefined
  /** Before the next batch, in milliseconds. */
  #pauseMs = 0
  /** For how many members: fewer and fewer while one of them is at fault, until it is alone. */
  #room = MOST_MEMBERS
  #abandoned = false

  constructor(engine: Engine, crossing: Crossing) {
    this.#engine = engine
    this.#crossing = crossing
    this.#reader = engine.shared(StmReader)
    this.#committer = engine.shared(StmCommitter)
    this.#backoff = new Backoff(engine.runtime, BACKOFF)
  }

  /** Is somebody here about to write this, or has just done so? */
  writesTo(interval: Interval): boolean {
    return (
      this.#batch.writesTo(interval) || this.#queue.some(({ footprint }) => footprint?.log.writesTo(interval))
    )
  }

  /** Would a commit of this meet one of ours? */
  meets(finished: Finished): boolean {
    if (this.#state !== 'gathering' && this.#batch.meets(finished)) return true
    return this.#queue.some(({ footprint }) => footprint !== undefined && clash(footprint, finished))
  }

  meetsBatch(batch: Batch): boolean {
    if (this.#state !== 'gathering' && this.#batch.meetsBatch(batch)) return true
    return this.#queue.some(({ footprint }) => footprint !== undefined && batch.meets(footprint))
  }

  join(member: Member): void {
    this.#queue.push(member)
    if (member.footprint !== undefined) this.#crossing.claim(this, member.footprint)
    if (this.#state !== 'committing') return
    this.#impatient ??= this.#engine.runtime.setTimer(PATIENCE_MS, () => this.#abandon())
  }

  /** Starts with the commit of one that has run by itself. */
  begin(member: Member, ran: Ran, finished: Finished): void {
    try {
      this.#batch.add(finished)
    } catch (error) {
      member.tell({ kind: 'failed', error })
      return this.#end()
    }
    this.#crossing.claim(this, finished)
    void this.#live([{ member, ran }])
  }

  async #live(first: Seat[]): Promise<void> {
    let seats = first
    for (;;) {
      if (seats.length > 0) await this.#commit(seats)
      if (this.#state === 'over') return
      await this.#gather()
      if (this.#queue.length === 0) return this.#end()
      if (this.#pauseMs > 0) await this.#engine.shared(SharedPause).take(this.#pauseMs)
      this.#pauseMs = 0
      this.#state = 'forming'
      this.#batch = new Batch()
      this.#crossing.clear(this)
      for (const { footprint } of this.#queue) {
        if (footprint !== undefined) this.#crossing.claim(this, footprint)
      }
      seats = await this.#form(this.#batch)
      if (seats.length === 0) this.#batch.fate.resolve(false)
      else if (this.#giveWay(seats)) return
    }
  }

  /** Whoever was told of the commit may be back at once with the next transaction: one turn for that. */
  #gather(): Promise<void> {
    this.#state = 'gathering'
    return new Promise(resolve => {
      whenSettled(() => {
        if (this.#queue.length > 0) resolve()
        else this.#engine.runtime.defer(resolve)
      })
    })
  }

  async #form(batch: Batch): Promise<Seat[]> {
    const seats: Seat[] = []
    const snapshot = this.#snapshot
    const base = snapshot?.base
    if (snapshot === undefined || base === undefined) {
      this.#release(this.#queue.splice(0))
      return seats
    }
    const { runtime } = this.#engine
    const untilMs = runtime.now() + FORMING_MS
    let missing = this.#queue.flatMap(({ footprint }) => unknownTo(snapshot, footprint))
    while (this.#queue.length > 0) {
      if (!(await this.#prefetch(snapshot, base, missing))) {
        // Each by itself, whoever may not read what it asks for hears of that, and the others do not.
        for (const member of this.#queue.splice(0)) member.goApart()
        return seats
      }
      missing = []
      const later: Member[] = []
      while (this.#queue.length > 0) {
        const member = this.#queue.shift()!
        if (member.isOver) continue
        // When the call began after the commit that brought the base, others may have written in between.
        const isRecent = member.began < this.#asOf
        const view = new BatchView({ batch, snapshot, base, isRecent }, this.#reader)
        const ran = await member.takeTurn(view)
        if (ran === 'aside' || member.isOver) continue
        const next = this.#seat(batch, seats, { member, ran }, base)
        if (next === 'missing') {
          missing.push(
            (ran.outcome as Extract<Outcome, { kind: 'missing' }>).missing,
            ...unknownTo(snapshot, member.footprint),
          )
          later.push(member)
        }
        const full = seats.length >= this.#room || (seats.length > 0 && runtime.now() > untilMs)
        if (next === 'next-batch') later.push(member)
        if (next === 'next-batch' || full) {
          this.#queue.unshift(...later)
          return seats
        }
      }
      this.#queue.unshift(...later)
    }
    return seats
  }

  /** What becomes of one that has run in this batch. */
  #seat(batch: Batch, seats: Seat[], seat: Seat, base: bigint): 'seated' | 'missing' | 'next-batch' | 'gone' {
    const { member, ran } = seat
    switch (ran.outcome.kind) {
      case 'missing':
        if (member.mayStopBatch()) return 'missing'
        member.goApart()
        return 'gone'
      case 'outdated':
        // What the others commit brings a state younger than this call.
        if (seats.length > 0) return 'next-batch'
        member.goApart()
        return 'gone'
      case 'too-early':
        if (seats.length > 0) return 'next-batch'
        member.tell({ kind: 'again' })
        return 'gone'
      case 'unread':
        member.tell({ kind: 'unread', error: ran.outcome.error })
        return 'gone'
      case 'value':
      case 'error':
      case 'retry': {
        const finished = member.finished(ran, base)
        member.footprint = finished
        try {
          if (!batch.add(finished)) return 'next-batch'
        } catch (error) {
          // Too much to be compared. What is only read, by itself and at one revision, need not be.
          if (finished.log.isEmpty) member.goApart()
          else member.tell({ kind: 'failed', error })
          return 'gone'
        }
        this.#crossing.claim(this, finished)
        seats.push(seat)
        return 'seated'
      }
    }
  }

  /** Reads for all members at once. False if that is not possible at this base any more. */
  async #prefetch(
    snapshot: Snapshot,
    base: bigint,
    missing: readonly Pick<Missing, 'interval' | 'limit'>[],
  ): Promise<boolean> {
    if (missing.length === 0) return true
    const answers = await Promise.allSettled(
      missing.map(({ interval, limit }) => this.#reader.read(interval, limit, base).answer),
    )
    for (const answer of answers) {
      if (answer.status === 'rejected') return false
      snapshot.learn(answer.value)
    }
    return true
  }

  /** Another lane is about to commit on the same keys: one of the two would fail, so both become one. */
  #giveWay(seats: readonly Seat[]): boolean {
    const rival = this.#crossing.rivalOf(this, this.#batch)
    if (rival === undefined) return false
    this.#batch.fate.resolve(false)
    for (const member of [...seats.map(seat => seat.member), ...this.#queue.splice(0)]) rival.join(member)
    this.#end()
    return true
  }

  async #commit(seats: readonly Seat[]): Promise<void> {
    this.#state = 'committing'
    const batch = this.#batch
    const { runtime } = this.#engine
    const sinceMs = runtime.now()
    // With nothing to tell the server, nothing is heard of it either.
    const asOf = batch.isEmpty ? this.#asOf : this.#engine.shared(Moments).next()
    const markers = seats.find(({ member }) => member.markers !== undefined)?.member.markers
    const result = await this.#committer.commit(batch, {
      markers,
      // Those it has let go may be at work on the same keys: in one request, neither would notice the other.
      company: () => (this.#abandoned ? 'none' : 'welcome'),
      isWanted: () => seats.every(({ member }) => !member.isOver),
    })
    this.#impatient?.cancel()
    this.#impatient = undefined
    switch (result.kind) {
      case 'committed':
        this.#backoff.reset()
        this.#room = Math.min(MOST_MEMBERS, 2 * this.#room)
        this.#pauseMs = this.#courtesy.committed(runtime.now() - sinceMs)
        this.#asOf = asOf
        this.#committed(batch, seats, result.revision)
        return this.#abandoned ? this.#end() : undefined
      case 'conflict':
        batch.fate.resolve(false)
        this.#snapshot = result.snapshot
        this.#asOf = asOf
        this.#courtesy.lost()
        return this.#again(seats)
      case 'aborted':
        batch.fate.resolve(false)
        for (const { member } of seats) member.tell({ kind: 'again' })
        return this.#end()
      case 'unwanted':
        batch.fate.resolve(false)
        return this.#without(seats)
      case 'failed':
        batch.fate.resolve(false)
        return this.#failed(seats, result.error)
    }
  }

  #committed(batch: Batch, seats: readonly Seat[], revision: bigint): void {
    batch.written.revision = revision
    batch.fate.resolve(true)
    this.#snapshot = batch.after(revision)
    seats.forEach(({ member, ran }, index) => {
      // Those behind it have written at the very revision it would wait for.
      const changed =
        ran.outcome.kind === 'retry' &&
        seats.slice(index + 1).some(behind => behind.member.writesAny(ran.attempt.reads))
      member.tell(changed ? { kind: 'changed' } : { kind: 'committed', ran, revision })
    })
  }

  /** The answer has brought what there is now, so nothing needs to be read. */
  async #again(seats: readonly Seat[]): Promise<void> {
    const members = seats.map(({ member }) => member).filter(member => member.mayGoOn())
    this.#comeBack(members)
    if (!this.#abandoned && members.some(({ isEager }) => !isEager)) {
      await this.#rest()
    }
  }

  #rest(): Promise<void> {
    return new Promise(resolve => {
      this.#engine.runtime.setTimer(this.#backoff.delay(), resolve)
    })
  }

  /** The others have seen what is not to be: they run once more. */
  #without(seats: readonly Seat[]): void {
    this.#comeBack(seats.map(({ member }) => member).filter(member => !member.isOver))
  }

  #failed(seats: readonly Seat[], error: unknown): void {
    if (seats.length > 1 && isItsOwnFault(error)) {
      // One of them is at fault, and it is in one half of them.
      this.#room = Math.floor(seats.length / 2)
      return this.#comeBack(seats.map(({ member }) => member))
    }
    const isUnknown = EtcdError.is(error) && error.outcome === 'unknown'
    for (const { member, ran } of seats) {
      // Whoever wrote nothing can find out what there is.
      const mayAsk = isUnknown && member.finished(ran, undefined).log.isEmpty
      member.tell(mayAsk ? { kind: 'again' } : { kind: 'failed', error: ownError(error) })
    }
    // The others are still waiting for their turn, and what the lane knows still holds.
    if (!isItsOwnFault(error) || this.#abandoned) this.#end()
  }

  /** To the head of the next batch; each for itself if there is none. */
  #comeBack(members: readonly Member[]): void {
    if (this.#abandoned) {
      this.#release(members)
      this.#end()
    } else this.#queue.unshift(...members)
  }

  /** The commit under way may take for ever: nobody else is to wait for it. */
  #abandon(): void {
    this.#impatient = undefined
    this.#abandoned = true
    this.#crossing.clear(this)
    this.#release(this.#queue.splice(0))
  }

  #release(members: readonly Member[]): void {
    for (const member of members) member.tell({ kind: 'again' })
  }

  #end(): void {
    this.#state = 'over'
    this.#crossing.clear(this)
    this.#release(this.#queue.splice(0))
  }
}

function clash(one: Finished, other: Finished): boolean {
  return (
    anyOverlap(one.log.intervals(), [...other.log.intervals(), ...other.reads.intervals()]) ||
    anyOverlap(other.log.intervals(), [...one.reads.intervals()])
  )
}

function unknownTo(
  snapshot: Snapshot,
  footprint: Finished | undefined,
): readonly Pick<Missing, 'interval' | 'limit'>[] {
  if (footprint === undefined) return []
  return [...footprint.reads.stored].flatMap(({ interval }) =>
    snapshot.find(interval, 0) === undefined ? [{ interval, limit: 0 }] : [],
  )
}

/** Each caller gets an error of its own to add to. */
function ownError(error: unknown): unknown {
  if (!EtcdError.is(error)) return error
  const { code, message, outcome, endpoint, compactRevision, grpcStatus } = error
  return new EtcdError(code, message, { outcome, endpoint, compactRevision, grpcStatus, cause: error })
}
