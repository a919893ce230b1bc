import type { KeySpace } from '../../../src/client/key-space.ts'
import { deferred } from '../../../src/support/deferred.ts'
import { type Interval, isOneKey } from './interval.ts'
import type { Item, Written } from './item.ts'
import { ReadSet } from './reads.ts'
import { Missing, type View } from './view.ts'
import { WriteLog } from './write-log.ts'

/** What one run of the function came to. */
export type Outcome =
  | { readonly kind: 'value'; readonly value: unknown }
  /** The function threw. */
  | { readonly kind: 'error'; readonly error: unknown }
  | { readonly kind: 'retry' }
  /** A read could not be answered. */
  | { readonly kind: 'unread'; readonly error: unknown }
  /** A batch must first read this. */
  | { readonly kind: 'missing'; readonly missing: Missing }
  /** It asked for a revision that the batch before it decides. */
  | { readonly kind: 'too-early' }
  /** It asked for what nothing confirms, of a state that may be older than the call. */
  | { readonly kind: 'outdated' }

/** What the function throws, through the function, to be run again later. */
export class Retry extends Error {
  constructor() {
    super('the transaction waits until something it read changes: let this pass')
    this.name = 'Retry'
  }
}

class TooEarly extends Error {}

class Outdated extends Error {}

/** Finds what the attempt is to read from, just before its first read. Undefined: it stays with what it has. */
export type Invite = (interval: Interval) => Promise<View | undefined> | undefined

/**
 * One run of the function: what it reads from, what it has read, what it is going to write.
 *
 * A read that fails spoils the attempt for good, whatever the function makes of the error.
 */
export class Attempt {
  readonly space: KeySpace
  readonly reads: ReadSet = new ReadSet()
  readonly log: WriteLog = new WriteLog()
  readonly settled: Promise<Outcome>
  readonly #settled = deferred<Outcome>()
  readonly #invite: Invite | undefined
  #view: View
  #entry: 'fresh' | 'entered' | Promise<void> = 'fresh'
  #spoilt: Outcome | undefined
  #over = false

  constructor(view: View, space: KeySpace, invite?: Invite) {
    this.#view = view
    this.space = space
    this.#invite = invite
    this.settled = this.#settled.promise
  }

  get view(): View {
    return this.#view
  }

  get isOver(): boolean {
    return this.#over
  }

  /** Nothing comes of this run any more: a read has failed, or the caller has left. */
  get isSpoilt(): boolean {
    return this.#spoilt !== undefined
  }

  settle(outcome: Outcome): void {
    this.#over = true
    if (outcome.kind === 'unread') this.#spoilt ??= outcome
    this.#settled.resolve(this.#spoilt ?? outcome)
  }

  assertRunning(): void {
    if (this.#over) throw isOver()
  }

  /**
   * The items of an interval as this attempt sees them: the store, below what its batch has written, below these
   * logs. Recorded unless it is a read without conflict.
   */
  async read(
    interval: Interval,
    limit: number,
    logs: readonly WriteLog[],
    kind: 'recorded' | 'unrecorded',
  ): Promise<readonly Item[]> {
    this.assertRunning()
    const record = kind === 'recorded' ? this.reads : undefined
    const oneKey = isOneKey(interval)
    const own = oneKey ? findIn(logs, interval.from) : undefined
    if (own !== undefined) return own === 'deleted' ? [] : [own]
    await this.#enter(interval)
    const { pending } = this.#view
    const before = oneKey ? pending?.find(interval.from) : undefined
    if (before !== undefined) {
      const item = before === 'deleted' ? undefined : before
      record?.sawPending(interval.from, item)
      return item === undefined ? [] : [item]
    }
    if (record === undefined && !this.#view.isRecent) {
      this.#spoilt ??= { kind: 'outdated' }
      throw new Outdated('the batch may know this from before the call: the transaction runs again')
    }
    const layers = pending === undefined ? logs : [pending, ...logs]
    for (;;) {
      const known = await this.#stored(interval, wantedOf(interval, limit, layers))
      record?.sawStored({ ...known, at: at(known.revision) })
      let items = known.items
      for (const layer of layers) items = layer.applyTo(known.interval, items)
      // While it was read, some of it may have been deleted here.
      if (items.length < limit && known.interval.to < interval.to) continue
      if (pending !== undefined) {
        for (const item of pending.applyTo(known.interval, [])) record?.sawPending(item.key, item)
      }
      return limit === 0 ? items : items.slice(0, limit)
    }
  }

  /** When the key was last written by others. */
  async revision(interval: Interval): Promise<bigint> {
    this.assertRunning()
    const [item] = await this.read(interval, 0, [], 'recorded')
    const revision = item === undefined ? 0n : item.written.revision
    if (revision !== undefined) return revision
    this.#spoilt ??= { kind: 'too-early' }
    throw new TooEarly('this revision is decided by the batch before: the transaction runs again after it')
  }

  /** The first read finds out whether others of this client are at work on the same keys. */
  #enter(interval: Interval): Promise<void> | undefined {
    if (this.#entry === 'entered') return undefined
    if (this.#entry !== 'fresh') return this.#entry
    const invited = this.#invite?.(interval)
    if (invited === undefined) {
      this.#entry = 'entered'
      return undefined
    }
    this.#entry = invited.then(view => {
      if (view !== undefined) this.#view = view
      this.#entry = 'entered'
      if (!this.#over) return
      // The function has not waited for this read, so nobody hears of its failure.
      const error = isOver()
      this.#spoilt ??= { kind: 'unread', error }
      throw error
    })
    return this.#entry
  }

  async #stored(interval: Interval, limit: number): Promise<Awaited<ReturnType<View['stored']>>> {
    try {
      const answer = await this.#view.stored(interval, limit)
      this.assertRunning()
      return answer
    } catch (error) {
      this.#spoilt ??=
        error instanceof Missing ? { kind: 'missing', missing: error } : { kind: 'unread', error }
      throw error
    }
  }
}

function isOver(): TypeError {
  return new TypeError('stm: this run of the transaction is over; it has not waited for all it did')
}

function at(revision: bigint): Written {
  return { revision }
}

function findIn(logs: readonly WriteLog[], key: string): Item | 'deleted' | undefined {
  for (let index = logs.length - 1; index >= 0; index--) {
    const found = logs[index]?.find(key)
    if (found !== undefined) return found
  }
  return undefined
}

/** So many more stored items as may have been deleted since; all, if there is no telling. */
function wantedOf(interval: Interval, limit: number, layers: readonly WriteLog[]): number {
  if (limit === 0) return 0
  let wanted = limit
  for (const layer of layers) {
    const deletions = layer.deletions(interval)
    if (deletions === undefined) return 0
    wanted += deletions
  }
  return wanted
}
