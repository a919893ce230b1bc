import type { Engine } from '../../../src/client/engine.ts'
import { Backoff } from '../../../src/support/backoff.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { Batch, type Finished } from './batch.ts'
import { StmCommitter } from './commit.ts'
import { StmLanes } from './lanes.ts'
import { Member, type MemberTerms, type Ran, tooManyConflicts, type Verdict } from './member.ts'
import { notSent } from './not-sent.ts'
import { StmReader } from './reader.ts'
import { Snapshot } from './snapshot.ts'
import type { Hook } from './transaction.ts'
import { type BatchView, LooseView, OwnView } from './view.ts'
import { changeIn, type Unchanged } from './wait.ts'

const BACKOFF = { initialMs: 2, maxMs: 100 }
const FEWEST_FAILURES = 100

export interface RunResult {
  readonly value: unknown
  readonly revision: bigint
  readonly attempts: number
}

/** One call of `stm`, from its first run to its commit. */
export class StmRun {
  readonly #engine: Engine
  readonly #member: Member
  readonly #terms: MemberTerms
  readonly #signal: AbortSignal | undefined
  readonly #reader: StmReader
  readonly #lanes: StmLanes
  readonly #committer: StmCommitter
  readonly #backoff: Backoff
  /** Runs that came to nothing, beside those a lane has counted. */
  #failures = 0

  constructor(engine: Engine, terms: MemberTerms, signal: AbortSignal | undefined) {
    this.#engine = engine
    this.#terms = terms
    this.#signal = signal
    this.#reader = engine.shared(StmReader)
    this.#lanes = engine.shared(StmLanes)
    this.#member = new Member(engine, terms, interval => this.#lanes.writing(interval))
    this.#committer = engine.shared(StmCommitter)
    this.#backoff = new Backoff(engine.runtime, BACKOFF)
  }

  /** Rejects at once with the signal's reason, or when the client is closed. */
  result(): Promise<RunResult> {
    const { aborts, connections } = this.#engine
    return new Promise((resolve, reject) => {
      const leave = (reason: unknown) => {
        stopListening()
        this.#member.leave(reason)
        reject(reason)
      }
      const stops: (() => void)[] = []
      const stopListening = () => {
        for (const stop of stops.splice(0)) stop()
      }
      stops.push(aborts.on(this.#signal, leave))
      if (!this.#member.isOver) stops.push(aborts.on(connections.closing, leave))
      if (this.#member.isOver) return stopListening()
      this.#run().then(resolve, reject).finally(stopListening)
    })
  }

  async #run(): Promise<RunResult> {
    let known: Snapshot | undefined
    for (;;) {
      const verdict = await this.#attempt(known)
      this.#assertWanted()
      known = undefined
      switch (verdict.kind) {
        case 'committed': {
          const { ran, revision } = verdict
          if (ran.outcome.kind === 'error') throw ran.outcome.error
          if (ran.outcome.kind === 'value') {
            this.#tell(ran.hooks, revision)
            return { value: ran.outcome.value, revision, attempts: this.#member.runs }
          }
          await this.#change(ran, revision)
          this.#waited()
          break
        }
        case 'changed':
          this.#waited()
          break
        case 'conflict':
          if (!this.#member.mayGoOn()) throw tooManyConflicts(this.#member.conflicts)
          if (this.#member.isEager) known = verdict.snapshot
          else await this.#pause()
          break
        case 'again':
          // A lane that fell apart: all of its members are back at once.
          if (this.#member.runs > 1) await this.#count()
          break
        case 'unread':
          if (!isOutOfDate(verdict.error)) throw notSent(verdict.error)
          await this.#count(verdict.error)
          break
        case 'failed':
          throw verdict.error
        case 'aside':
          throw new TypeError('a run that stepped aside has been seen to')
      }
      this.#assertWanted()
    }
  }

  /** Whoever has left hears of nothing any more, and the function is not to run for nobody. */
  #assertWanted(): void {
    if (this.#member.isOver) throw new TypeError('the caller has left')
  }

  async #attempt(known: Snapshot | undefined): Promise<Verdict> {
    const member = this.#member
    const view = this.#view(known)
    const ran = await member.start(view)
    const travel = member.travel
    const verdict = travel === undefined ? await this.#byItself(ran, view) : await travel
    return verdict.kind === 'aside' ? this.#aside(await verdict.ran, verdict.view) : verdict
  }

  #view(known: Snapshot | undefined): OwnView | LooseView {
    switch (this.#terms.isolation) {
      case 'serializable-snapshot':
      case 'serializable':
        return new OwnView(known ?? new Snapshot(), this.#reader)
      case 'repeatable-reads':
        return new LooseView(this.#reader, known ?? new Snapshot())
      case 'read-committed':
        return new LooseView(this.#reader, undefined)
    }
  }

  /** What becomes of a run that read from the store alone. */
  async #byItself(ran: Ran, view: OwnView | LooseView): Promise<Verdict> {
    const { attempt, outcome } = ran
    const seen = [...attempt.reads.stored].map(({ at }) => at.revision ?? 0n)
    const latest = seen.reduce((one, other) => (one > other ? one : other), 0n)
    const earliest = seen.reduce((one, other) => (one < other ? one : other), latest)
    switch (outcome.kind) {
      case 'unread':
        return { kind: 'unread', error: outcome.error }
      case 'missing':
      case 'too-early':
      case 'outdated':
        return { kind: 'again' }
      case 'retry':
        return { kind: 'committed', ran, revision: earliest }
      case 'error':
      case 'value': {
        const base = view instanceof OwnView ? view.base : latest
        const finished = this.#member.finished(ran, base)
        // Read at one revision, and the latest at that: it took place there and then.
        if (finished.log.isEmpty && view.isOneState) {
          return { kind: 'committed', ran, revision: base ?? this.#engine.answers.highestRevision }
        }
        if (view instanceof LooseView) return this.#commitAlone(ran, finished)
        const verdict = this.#member.board()
        this.#lanes.commit(this.#member, ran, finished)
        return verdict
      }
    }
  }

  /** What becomes of a run that began in a batch and has outlasted it: it goes by what became of the batch. */
  async #aside(ran: Ran, view: BatchView): Promise<Verdict> {
    if (ran.outcome.kind === 'unread') return { kind: 'unread', error: ran.outcome.error }
    // Where nobody had written before it, it depends on nobody.
    const committed = view.pending.isEmpty || (await view.batch.fate.promise)
    switch (ran.outcome.kind) {
      case 'missing':
      case 'too-early':
      case 'outdated':
        return { kind: 'again' }
    }
    if (!committed || !view.batch.leaves(ran.attempt.reads)) return { kind: 'again' }
    return this.#commitAlone(ran, this.#member.finishedAfter(ran, view))
  }

  async #commitAlone(ran: Ran, finished: Finished): Promise<Verdict> {
    const batch = new Batch()
    try {
      batch.add(finished)
    } catch (error) {
      return { kind: 'failed', error }
    }
    const { markers } = this.#terms
    const result = await this.#committer.commit(batch, {
      markers,
      company: () => 'none',
      isWanted: () => !this.#member.isOver,
    })
    switch (result.kind) {
      case 'committed':
        return { kind: 'committed', ran, revision: result.revision }
      case 'conflict':
        return result
      case 'aborted':
      case 'unwanted':
        return { kind: 'again' }
      case 'failed':
        // Only its reads were to be confirmed.
        return finished.log.isEmpty ? { kind: 'failed', error: notSent(result.error) } : result
    }
  }

  /** Waits for what a retry waits for. */
  #change({ attempt }: Ran, revision: bigint): Promise<void> {
    const { reads } = attempt
    if (reads.isEmpty) {
      throw new TypeError('stm: retry waits until something that was read changes, and nothing was read')
    }
    const unchanged: Unchanged[] = [...reads.intervals()].map(interval => ({ interval, since: revision }))
    return changeIn(this.#engine, unchanged, this.#signal)
  }

  /** Waiting has no bound, however often it is woken. */
  #waited(): void {
    this.#failures = 0
    this.#backoff.reset()
    this.#member.waited()
  }

  #tell(hooks: readonly Hook[], revision: bigint): void {
    for (const hook of hooks) {
      try {
        hook(revision)
      } catch (error) {
        this.#engine.runtime.defer(() => {
          throw error
        })
      }
    }
  }

  /** No conflict, so one that may not have any goes on all the same; but not for ever. */
  async #count(cause?: unknown): Promise<void> {
    this.#failures += 1
    if (this.#failures >= Math.max(this.#terms.maxAttempts, FEWEST_FAILURES)) {
      throw tooManyConflicts(this.#failures, cause)
    }
    await this.#pause()
  }

  #pause(): Promise<void> {
    return new Promise(resolve => {
      this.#engine.runtime.setTimer(this.#backoff.delay(), resolve)
    })
  }
}

/** The revision it read at is gone, or this member has not got that far. */
function isOutOfDate(error: unknown): boolean {
  return EtcdError.is(error, 'COMPACTED') || EtcdError.is(error, 'FUTURE_REVISION')
}
