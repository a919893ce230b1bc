import type { AbortFanOut } from '../support/abort.ts'
import { type Deferred, deferred } from '../support/deferred.ts'
import { checkInteger, checkRevision, checkSignal } from '../support/options.ts'
import { type Bytes, printable } from '../wire/bytes.ts'
import { EtcdError } from '../wire/errors.ts'
import { EventType, type Event as WireEvent, type KeyValue as WireKeyValue } from '../wire/gen/kv.g.ts'
import { type KeyRange, rangeOf } from './key-range.ts'
import { KeyValue, ownBytes } from './key-value.ts'
import type { WatchHandle, WatchHub } from './watch-hub.ts'
import type { WatchSink, WatchSpec } from './watcher.ts'

export interface WatchOptions {
  /** The first revision wanted. Default: from now on. */
  readonly from?: bigint | undefined
  /** Leave the other kind of event to the server. Default: both. */
  readonly only?: 'put' | 'delete' | undefined
  /** Deliver what each key was before, as far as etcd still has it. Default: no. */
  readonly previous?: boolean | undefined
  /**
   * Have the server say every few minutes how far it is, so that a watch on which nothing happens outlives
   * compactions and a broken connection. Default: yes.
   */
  readonly progress?: boolean | undefined
  /** Ends the watch; the iteration rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /**
   * From how many events on, delivered by the server and not yet taken by the loop, the server is asked to hold
   * back the rest. A revision is never torn, so the last one may go beyond. Default: 1024.
   */
  readonly maxBuffered?: number | undefined
}

/** A key was created or written. */
export interface PutEvent {
  readonly type: 'put'
  readonly kv: KeyValue
  /** What it was before, with the option `previous`, as far as etcd still has it. */
  readonly previous: KeyValue | undefined
  readonly revision: bigint
}

/** A key was deleted, by a request or with its lease. */
export interface DeleteEvent {
  readonly type: 'delete'
  readonly key: Uint8Array
  /** What it was before, with the option `previous`, as far as etcd still has it. */
  readonly previous: KeyValue | undefined
  readonly revision: bigint
}

export type WatchEvent = PutEvent | DeleteEvent

/** All that happened to the watched keys at one revision: what one transaction did. */
export interface WatchedRevision {
  readonly revision: bigint
  readonly events: readonly WatchEvent[]
}

/** How a view names keys: a namespace leaves out what all of its keys begin with. */
export interface KeyMapping {
  toServer(range: KeyRange): KeyRange
  fromServer(key: Uint8Array): Uint8Array
}

const NO_MAPPING: KeyMapping = { toServer: range => range, fromServer: key => key }

const DEFAULT_MAX_BUFFERED = 1024
/** As much as a whole request may have on a server left as it is. Longer ones end the stream of all watches. */
const LONGEST_KEYS_BYTES = 1.5 * 1024 * 1024

/**
 *           buffer full          half of it taken
 * flowing ──────────────▶ full ──────────────────▶ flowing
 *    │                      │
 *    └──────────┬───────────┘
 *               ├─▶ failed ── the loop was told ──▶ done
 *               └─────────────── close ───────────▶ done
 */
type WatchState =
  | { readonly kind: 'flowing' }
  | { readonly kind: 'full' }
  | { readonly kind: 'failed'; readonly reason: unknown }
  | { readonly kind: 'done' }

/**
 * What happens to some keys, in order and without gaps, through broken connections and changes of the server.
 *
 * Started by the call that makes it; one loop takes from it, and leaving the loop closes it. A loop slower than
 * the cluster makes the server hold back and catch up later: nothing is lost, and nothing piles up here.
 * Rejects with `COMPACTED` when the revisions it would go on from no longer exist.
 */
export class Watch implements AsyncIterable<WatchEvent>, AsyncDisposable {
  /** Resolves once the server has the watch: every event after this revision will come. */
  readonly ready: Promise<bigint>
  /** Resolves once nothing more will come from the server, for whatever reason; the loop tells which. */
  readonly ended: Promise<void>

  readonly #ready: Deferred<bigint> = deferred()
  readonly #ended: Deferred<void> = deferred()
  readonly #keys: KeyMapping
  readonly #maxBuffered: number
  readonly #handle: WatchHandle | undefined
  readonly #forgetSignal: (() => void) | undefined
  #state: WatchState = { kind: 'flowing' }

  readonly #buffer: WatchedRevision[] = []
  /** How many events of the first revision in the buffer are taken. */
  #taken = 0
  /** How many events in the buffer are not. */
  #buffered = 0

  /** Undefined until a loop has begun. */
  #takeNext: (() => unknown) | undefined
  /** Calls of `next` without an answer. While there are any, the buffer is empty. */
  readonly #waiting: Deferred<IteratorResult<unknown, undefined>>[] = []

  constructor(
    { hub, aborts }: { readonly hub: WatchHub; readonly aborts: AbortFanOut },
    keyOrRange: Bytes | KeyRange,
    options: WatchOptions = {},
    keys: KeyMapping = NO_MAPPING,
  ) {
    const range = keys.toServer(rangeOf(keyOrRange))
    this.#maxBuffered = checkedMaxBuffered(options.maxBuffered)
    const spec = specOf(range, options)
    this.#keys = keys
    this.ready = this.#ready.promise
    this.ended = this.#ended.promise
    // Whoever does not ask for it learns of the failure from the loop.
    this.ready.catch(() => {})
    const { signal } = options
    if (signal?.aborted) {
      this.#abort(signal.reason)
      return
    }
    this.#handle = hub.watch(spec, this.#sink())
    this.#forgetSignal = aborts.on(signal, reason => this.#abort(reason))
  }

  /** Event by event. There can be one loop in all, over events or over revisions. */
  [Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent, undefined> {
    return this.#iterate(() => this.#takeEvent())
  }

  /** Revision by revision: what was written at once is seen at once. */
  revisions(): AsyncIterableIterator<WatchedRevision, undefined> {
    return this.#iterate(() => this.#takeRevision())
  }

  /** Ends the watch, and its loop in good order, leaving out what it had not taken. Any number of times. */
  async close(): Promise<void> {
    if (this.#state.kind !== 'done') this.#end({ kind: 'done' })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #sink(): WatchSink {
    return {
      opened: revision => this.#ready.resolve(revision),
      revision: (revision, events) => this.#onRevision(revision, events),
      broken: () => {}, // it resumes, and nothing is missing
      ended: error => this.#onEnded(error),
    }
  }

  #onRevision(revision: bigint, wireEvents: readonly WireEvent[]): void {
    const events = wireEvents.flatMap(event => this.#eventOf(event, revision))
    if (events.length === 0) return
    this.#buffer.push({ revision, events })
    this.#buffered += events.length
    this.#answerWaiting()
    if (this.#state.kind === 'flowing' && this.#buffered >= this.#maxBuffered) {
      this.#state = { kind: 'full' }
      this.#handle?.pause()
    }
  }

  /** The server or the client ended it: what came before is still delivered. */
  #onEnded(error: EtcdError): void {
    if (this.#isOver) return
    this.#state = { kind: 'failed', reason: error }
    this.#settle(error)
  }

  #abort(reason: unknown): void {
    if (this.#isOver) return
    this.#end({ kind: 'failed', reason })
  }

  /** We ended it: nothing more is delivered. */
  #end(next: WatchState & { kind: 'failed' | 'done' }): void {
    this.#state = next
    this.#buffer.length = 0
    this.#buffered = 0
    this.#taken = 0
    this.#handle?.cancel()
    this.#settle(next.kind === 'failed' ? next.reason : closedEarly())
  }

  #settle(reason: unknown): void {
    this.#forgetSignal?.()
    this.#ready.reject(reason)
    this.#ended.resolve()
    while (this.#waiting.length > 0) this.#answer(this.#waiting.shift()!)
  }

  get #isOver(): boolean {
    return this.#state.kind === 'failed' || this.#state.kind === 'done'
  }

  #iterate<Item>(take: () => Item | undefined): AsyncIterableIterator<Item, undefined> {
    if (this.#takeNext !== undefined)
      throw new TypeError('a watch can be iterated once: open another for another loop')
    this.#takeNext = take
    const iterator: AsyncIterableIterator<Item, undefined> = {
      next: () => {
        const answer = deferred<IteratorResult<unknown, undefined>>()
        this.#answer(answer)
        // `take` is what fills it.
        return answer.promise as Promise<IteratorResult<Item, undefined>>
      },
      return: async () => {
        await this.close()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  #answerWaiting(): void {
    while (this.#waiting.length > 0 && this.#buffered > 0) this.#answer(this.#waiting.shift()!)
  }

  #answer(answer: Deferred<IteratorResult<unknown, undefined>>): void {
    const item = this.#takeNext?.()
    if (item !== undefined) return answer.resolve({ done: false, value: item })
    switch (this.#state.kind) {
      case 'flowing':
      case 'full':
        this.#waiting.push(answer)
        return
      case 'failed': {
        const { reason } = this.#state
        this.#state = { kind: 'done' }
        return answer.reject(reason)
      }
      case 'done':
        return answer.resolve({ done: true, value: undefined })
      default:
        return unreachable(this.#state)
    }
  }

  #takeEvent(): WatchEvent | undefined {
    const event = this.#buffer[0]?.events[this.#taken]
    if (event === undefined) return undefined
    this.#taken++
    if (this.#taken === this.#buffer[0]?.events.length) {
      this.#buffer.shift()
      this.#taken = 0
    }
    this.#relieve(1)
    return event
  }

  #takeRevision(): WatchedRevision | undefined {
    const revision = this.#buffer.shift()
    if (revision !== undefined) this.#relieve(revision.events.length)
    return revision
  }

  #relieve(events: number): void {
    this.#buffered -= events
    if (this.#state.kind !== 'full' || this.#buffered >= this.#maxBuffered / 2) return
    this.#state = { kind: 'flowing' }
    this.#handle?.resume()
  }

  #eventOf({ type, kv, prevKv }: WireEvent, revision: bigint): WatchEvent | [] {
    if (kv === undefined) return []
    const previous = prevKv === undefined ? undefined : this.#keyValueOf(prevKv)
    if (type === EventType.put) return { type: 'put', kv: this.#keyValueOf(kv), previous, revision }
    return { type: 'delete', key: ownBytes(this.#keys.fromServer(kv.key)), previous, revision }
  }

  #keyValueOf(wire: WireKeyValue): KeyValue {
    return new KeyValue(wire, this.#keys.fromServer(wire.key))
  }
}

function specOf(
  range: KeyRange,
  { from, only, previous = false, progress = true, signal }: WatchOptions,
): WatchSpec {
  if (from !== undefined) checkRevision(from, 'from', 1n)
  if (typeof previous !== 'boolean') throw new TypeError(`previous is a boolean, not ${typeof previous}`)
  if (typeof progress !== 'boolean') throw new TypeError(`progress is a boolean, not ${typeof progress}`)
  checkSignal(signal, 'watch')
  const keysBytes = range.key.length + range.end.length
  if (keysBytes > LONGEST_KEYS_BYTES)
    throw new RangeError(`keys of ${keysBytes} bytes are too long to be watched: ${printable(range.key)}`)
  return {
    key: range.key,
    rangeEnd: range.end,
    startRevision: from,
    filter: filterOf(only),
    previous,
    progress,
    onBreak: 'resume',
  }
}

function filterOf(only: WatchOptions['only']): WatchSpec['filter'] {
  switch (only) {
    case 'put':
      return 'no-deletes'
    case 'delete':
      return 'no-puts'
    case undefined:
      return undefined
    default:
      throw new TypeError(`only is one of put, delete, got ${JSON.stringify(only)}`)
  }
}

function checkedMaxBuffered(maxBuffered: number = DEFAULT_MAX_BUFFERED): number {
  return checkInteger(maxBuffered, 'maxBuffered', { min: 1 })
}

function closedEarly(): EtcdError {
  return new EtcdError('CANCELLED', '[CANCELLED] the watch was closed before the server had it', {
    outcome: 'unknown',
  })
}

function unreachable(state: never): never {
  throw new TypeError(`not a state of a watch: ${String(state)}`)
}
