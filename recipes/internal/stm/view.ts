import type { Batch } from './batch.ts'
import type { Interval } from './interval.ts'
import type { Answer, StmReader } from './reader.ts'
import type { Snapshot } from './snapshot.ts'
import type { WriteLog } from './write-log.ts'

/** What the store is to one attempt. */
export interface View {
  /** Done by others of the same batch, before this attempt; of a batch whose fate is open. */
  readonly pending: WriteLog | undefined
  /** Is the state no older than the call? If it may be, only what the commit confirms can be told of it. */
  readonly isRecent: boolean
  /** Throws `Missing` when it may not ask the server. */
  stored(interval: Interval, limit: number): Answer | Promise<Answer>
}

/** A batch cannot stop for one read: what is missing is fetched for all of its members at once. */
export class Missing extends Error {
  readonly interval: Interval
  readonly limit: number

  constructor(interval: Interval, limit: number) {
    super('this read is made before the transaction runs again')
    this.interval = interval
    this.limit = limit
  }
}

/** All at the revision of the first read, which is the latest when it is made. */
export class OwnView implements View {
  readonly pending: undefined
  readonly isRecent = true
  readonly #snapshot: Snapshot
  readonly #reader: StmReader
  /** The request that fixes the base. */
  #first: { readonly request: object; readonly base: Promise<unknown> } | undefined

  constructor(snapshot: Snapshot, reader: StmReader) {
    this.#snapshot = snapshot
    this.#reader = reader
  }

  get base(): bigint | undefined {
    return this.#snapshot.base
  }

  get isOneState(): boolean {
    return true
  }

  stored(interval: Interval, limit: number): Answer | Promise<Answer> {
    const { base } = this.#snapshot
    if (base === undefined) return this.#read(interval, limit)
    return recall(this.#snapshot, interval, limit) ?? this.#fetch(interval, limit, base)
  }

  async #read(interval: Interval, limit: number): Promise<Answer> {
    if (this.#first !== undefined && !this.#reader.isOpen(this.#first.request)) {
      await this.#first.base
      // Without an answer there is still no base: this read is the first then.
      this.#first = undefined
      return this.stored(interval, limit)
    }
    const { request, answer } = this.#reader.read(interval, limit, undefined)
    this.#first ??= { request, base: answer.catch(() => {}) }
    return this.#learn(await answer)
  }

  async #fetch(interval: Interval, limit: number, base: bigint): Promise<Answer> {
    return this.#learn(await this.#reader.read(interval, limit, base).answer)
  }

  #learn(answer: Answer): Answer {
    this.#snapshot.settle(answer.revision)
    this.#snapshot.learn(answer)
    return answer
  }
}

/** Each read at the latest revision; `cached`: but the same keys only once. */
export class LooseView implements View {
  readonly pending: undefined
  readonly isRecent = true
  readonly #reader: StmReader
  readonly #seen: Snapshot | undefined
  #isOneState = true

  constructor(reader: StmReader, seen: Snapshot | undefined) {
    this.#reader = reader
    this.#seen = seen
  }

  /** Is all that was read, as far as it is kept, of one revision? */
  get isOneState(): boolean {
    return this.#isOneState
  }

  stored(interval: Interval, limit: number): Answer | Promise<Answer> {
    const known = this.#seen?.find(interval, limit)
    if (known === undefined) return this.#read(interval, limit)
    // No later than it was read: the base is that of the first read.
    return { ...known, revision: this.#seen?.base ?? 0n }
  }

  async #read(interval: Interval, limit: number): Promise<Answer> {
    const answer = await this.#reader.read(interval, limit, undefined).answer
    this.#seen?.settle(answer.revision)
    this.#seen?.learn(answer)
    if (this.#seen !== undefined && this.#seen.base !== answer.revision) this.#isOneState = false
    return answer
  }
}

/** The state a batch runs on, for one member. */
export interface BatchState {
  readonly batch: Batch
  readonly snapshot: Snapshot
  readonly base: bigint
  readonly isRecent: boolean
}

/** What a batch knows at its base, and what its members before this one are going to write. */
export class BatchView implements View {
  /** Of the batch this attempt belongs to, or came from. */
  readonly batch: Batch
  readonly base: bigint
  readonly isRecent: boolean
  readonly #snapshot: Snapshot
  readonly #reader: StmReader
  #pending: WriteLog
  #mayAsk = false

  constructor({ batch, snapshot, base, isRecent }: BatchState, reader: StmReader) {
    this.batch = batch
    this.base = base
    this.isRecent = isRecent
    this.#snapshot = snapshot
    this.#reader = reader
    this.#pending = batch.writes
  }

  get pending(): WriteLog {
    return this.#pending
  }

  /** The batch goes on without this one, which keeps what it has seen and may take its time. */
  stepAside(): void {
    this.#pending = this.#pending.copy()
    this.#mayAsk = true
  }

  stored(interval: Interval, limit: number): Answer | Promise<Answer> {
    const known = recall(this.#snapshot, interval, limit)
    if (known !== undefined) return known
    if (!this.#mayAsk) throw new Missing(interval, limit)
    return this.#reader.read(interval, limit, this.base).answer
  }
}

function recall(snapshot: Snapshot, interval: Interval, limit: number): Answer | undefined {
  const known = snapshot.find(interval, limit)
  return known === undefined ? undefined : { ...known, revision: snapshot.base ?? 0n }
}
