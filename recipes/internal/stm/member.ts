import type { Engine } from '../../../src/client/engine.ts'
import type { KeySpace } from '../../../src/client/key-space.ts'
import { type Deferred, deferred } from '../../../src/support/deferred.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Isolation, Transaction } from '../../transaction.ts'
import { Attempt, type Invite, type Outcome } from './attempt.ts'
import type { Finished } from './batch.ts'
import { type Interval, isOneKey } from './interval.ts'
import { Moments } from './moments.ts'
import type { ReadSet } from './reads.ts'
import type { Snapshot } from './snapshot.ts'
import { execute, type Hook } from './transaction.ts'
import type { BatchView, View } from './view.ts'
import { WriteLog } from './write-log.ts'

/** A function that does nothing but read and write is done before any timer runs, in milliseconds. */
const TURN_MS = 2
/** Nobody holds up the others of its batch for longer. */
const LONGEST_TURN_MS = 1000
/** How often batches may stop to read what one function turned out to need. */
const MOST_STOPS = 8
const EAGER_CONFLICTS = 40

/** One run of the function, to its end. */
export interface Ran {
  readonly attempt: Attempt
  readonly outcome: Outcome
  readonly hooks: readonly Hook[]
}

/** What became of one run. */
export type Verdict =
  | { readonly kind: 'committed'; readonly ran: Ran; readonly revision: bigint }
  /** It ran on what is not, or was never tried: no conflict of its own. */
  | { readonly kind: 'again' }
  /** It waits until something it read changes, and something has. */
  | { readonly kind: 'changed' }
  /** Something it read had changed. */
  | { readonly kind: 'conflict'; readonly snapshot: Snapshot }
  /** Its batch has gone on without it. */
  | { readonly kind: 'aside'; readonly ran: Promise<Ran>; readonly view: BatchView }
  | { readonly kind: 'unread'; readonly error: unknown }
  | { readonly kind: 'failed'; readonly error: unknown }

/** Where transactions at work on the same keys meet. */
export interface MeetingPlace {
  join(member: Member): void
}

export interface MemberTerms {
  readonly fn: (tx: Transaction) => unknown
  readonly isolation: Isolation
  readonly space: KeySpace
  readonly maxAttempts: number
  /** Where to put a marker that tells what became of a commit; undefined for none. */
  readonly markers: Uint8Array | undefined
}

/** One call of `stm`: runs its function as often as it takes, by itself or in a lane, never twice at once. */
export class Member {
  readonly isolation: Isolation
  readonly markers: Uint8Array | undefined
  /** The moment of the call. */
  readonly began: number
  /** Of its latest run: where it will probably be at work in the next one. */
  footprint: Finished | undefined
  readonly #engine: Engine
  readonly #meetingOn: (interval: Interval) => MeetingPlace | undefined
  readonly #terms: MemberTerms
  #attempt: Attempt | undefined
  #running: Promise<Ran> | undefined
  #travel: Deferred<Verdict> | undefined
  /** The first read of the current run, which waits for its turn in a lane. */
  #suspended: Deferred<View | undefined> | undefined
  #runs = 0
  #conflicts = 0
  #stops = 0
  #apart = false
  #turnMs = TURN_MS
  #over = false

  /** `meetingOn` finds those at work on an interval. */
  constructor(
    engine: Engine,
    terms: MemberTerms,
    meetingOn: (interval: Interval) => MeetingPlace | undefined,
  ) {
    this.#engine = engine
    this.#meetingOn = meetingOn
    this.#terms = terms
    this.isolation = terms.isolation
    this.markers = terms.markers
    this.began = engine.shared(Moments).next()
  }

  /** Has the caller left? */
  get isOver(): boolean {
    return this.#over
  }

  get runs(): number {
    return this.#runs
  }

  get conflicts(): number {
    return this.#conflicts
  }

  /**
   * Is it to try again without a pause? Right after a conflict it knows what there is, and whoever was faster lets
   * it go first before long; after a pause it knows nothing.
   */
  get isEager(): boolean {
    return this.#conflicts < EAGER_CONFLICTS
  }

  /** Once the run has come to a lane, what becomes of it is told by the lane, perhaps before it has ended. */
  get travel(): Promise<Verdict> | undefined {
    return this.#travel?.promise
  }

  /** Runs the function on a view of its own, or in a lane that its first read leads to. */
  start(view: View): Promise<Ran> {
    this.#travel = undefined
    const mayJoin =
      !this.#apart && (this.isolation === 'serializable-snapshot' || this.isolation === 'serializable')
    return this.#run(
      view,
      !mayJoin
        ? undefined
        : interval => {
            const lane = this.#meetingOn(interval)
            if (lane === undefined) return undefined
            this.#suspended = deferred()
            this.board()
            lane.join(this)
            return this.#suspended.promise
          },
    )
  }

  /** From now on the lane tells what becomes of it. */
  board(): Promise<Verdict> {
    this.#travel ??= deferred()
    return this.#travel.promise
  }

  /** Runs the function as part of a batch. A function that waits for something else must not hold up the batch. */
  async takeTurn(view: BatchView): Promise<Ran | 'aside'> {
    const ran = this.#resume(view) ?? this.#run(view, undefined)
    const { runtime } = this.#engine
    const sinceMs = runtime.now()
    const turn = deferred<'aside'>()
    const timer = runtime.setTimer(this.#turnMs, () => turn.resolve('aside'))
    const result = await Promise.race([ran, turn.promise])
    timer.cancel()
    if (result !== 'aside') return result
    view.stepAside()
    // The next time it is given as long as it needs.
    void ran.then(() => {
      this.#turnMs = Math.min(LONGEST_TURN_MS, 2 * (runtime.now() - sinceMs))
    })
    this.tell({ kind: 'aside', ran, view })
    return 'aside'
  }

  tell(verdict: Verdict): void {
    const suspended = this.#suspended
    this.#suspended = undefined
    // A function that did not wait for the read is over, and its run waits for the verdict.
    if (suspended === undefined || this.#attempt?.isOver) this.#travel?.resolve(verdict)
    // Nothing has been read yet: it goes on by itself as if there had never been a lane.
    else this.#travel = undefined
    suspended?.resolve(undefined)
  }

  /** What is to be committed of a run that read at `base`. One that failed, or waits, has written nothing. */
  finished({ attempt, outcome }: Ran, base: bigint | undefined): Finished {
    const { reads, log } = attempt
    return {
      isolation: this.isolation,
      reads,
      log: outcome.kind === 'value' ? log : new WriteLog(),
      since: () => (reads.isEmpty ? undefined : base),
      pending: 'in-this-batch',
      markers: this.markers,
    }
  }

  /** The same of one that has outlasted its batch: what it saw of it has been committed. */
  finishedAfter(ran: Ran, { batch, base, pending }: BatchView): Finished {
    return {
      ...this.finished(ran, base),
      // A key as the batch had written it by then is no surprise to this run; one behind it may have written it again,
      // and in a range others may have written, too.
      since: interval => {
        if (ran.attempt.reads.isEmpty) return undefined
        const before = isOneKey(interval) ? pending.find(interval.from) : undefined
        return before !== undefined && batch.endsWith(interval.from, before) ? batch.written.revision : base
      },
      pending: 'committed',
    }
  }

  /** Does it write what somebody else has read? */
  writesAny(reads: ReadSet): boolean {
    for (const interval of reads.intervals()) if (this.footprint?.log.writesTo(interval)) return true
    return false
  }

  /** It has asked for what its batch did not know: may the batch fetch that and run it again? */
  mayStopBatch(): boolean {
    this.#stops += 1
    return this.#stops <= MOST_STOPS
  }

  /**
   * What it reads is too much for a batch, takes too long one after the other, or must be of a younger state. It
   * begins by itself from now on: when it meets others at its commit, it brings along what it will read.
   */
  goApart(): void {
    this.#apart = true
    this.#stops = 0
    this.tell({ kind: 'again' })
  }

  /** After a conflict: may it try again? If not, it has been told. */
  mayGoOn(): boolean {
    if (this.#over) return false
    this.#conflicts += 1
    if (this.#conflicts < this.#terms.maxAttempts) return true
    this.tell({ kind: 'failed', error: tooManyConflicts(this.#conflicts) })
    return false
  }

  /** It is not too slow, only waiting: what came to nothing until now counts no more. */
  waited(): void {
    this.#conflicts = 0
  }

  /** The caller does not wait any more. */
  leave(reason: unknown): void {
    this.#over = true
    this.#attempt?.settle({ kind: 'unread', error: reason })
    this.#suspended?.resolve(undefined)
  }

  /** The run that waits for its turn, if there is one, with its view. */
  #resume(view: BatchView): Promise<Ran> | undefined {
    const suspended = this.#suspended
    this.#suspended = undefined
    suspended?.resolve(view)
    return suspended === undefined ? undefined : this.#running
  }

  #run(view: View, invite: Invite | undefined): Promise<Ran> {
    this.#runs += 1
    const attempt = new Attempt(view, this.#terms.space, invite)
    this.#attempt = attempt
    this.#running = execute(attempt, this.#terms.fn).then(({ outcome, hooks }) => ({
      attempt,
      outcome,
      hooks,
    }))
    return this.#running
  }
}

export function tooManyConflicts(attempts: number, cause?: unknown): EtcdError {
  return new EtcdError(
    'CONFLICT',
    `[CONFLICT] nothing was written: in ${attempts} attempts, something the transaction had read was changed by others each time`,
    { outcome: 'rejected', cause },
  )
}
