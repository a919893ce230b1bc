import type { Engine } from '../../../src/client/engine.ts'
import type { WatchHandle } from '../../../src/client/watch-hub.ts'
import type { WatchSink } from '../../../src/client/watcher.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { type Deferred, deferred } from '../../../src/support/deferred.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import type { Timer } from '../../../src/support/runtime.ts'
import { mapKey, prefixEnd } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Event, KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { isFinal } from '../trouble.ts'

const AGAIN_MS = 500
/** Servers are known to lose events: so often the line is read again. */
const CHECK_MS = 30_000
/** The watch has so long to come to what was read, before another one takes its place. */
const GRACE_MS = 5000
/** So many states nobody has taken, and the server is asked to hold the rest back. */
const FULL = 256

/** The head of a line, and what it says; undefined while there is nobody. */
export type Head = KeyValue | undefined

interface Reading {
  readonly revision: bigint
  readonly kvs: readonly KeyValue[]
}

/**
 *        first next            Range at T           compacted: from the beginning
 * idle ─────────────▶ reading ────────────▶ watching ─────────────────────────▶ reading
 *   └──────────────────────┴───────────────────┴──▶ failed ── told ──▶ over ◀── left, from anywhere
 */
type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'reading' }
  | { readonly kind: 'watching'; readonly watch: WatchHandle }
  | { readonly kind: 'failed'; readonly reason: unknown }
  | { readonly kind: 'over' }

/**
 * Who is at the head of a line, from now on, in order: the oldest key that is left, and what it says.
 *
 * The line is read at T and watched from T + 1, so nothing is missed, and through broken connections the watch goes
 * on from where it was. All places are followed, not the head alone: when the head goes it is known at once who is
 * next, at the very revision, and somebody who only came first into the sight of the watch is never taken for a
 * leader. Only when what is to be followed was compacted away, or a server has lost it for good, the line is taken as
 * it was read, and what was in between is left out.
 *
 * Nothing is sent before the first `next`.
 */
export class Observation<Seen> implements AsyncIterableIterator<Seen | undefined, undefined> {
  readonly #engine: Engine
  readonly #prefix: Uint8Array
  readonly #seen: (head: KeyValue) => Seen
  readonly #left = new LazyAbort()
  readonly #waiting: Deferred<IteratorResult<Seen | undefined, undefined>>[] = []
  #heads: Head[] = []
  #isFull = false
  #state: State = { kind: 'idle' }
  #stopListening: () => void = () => {}
  readonly #signal: AbortSignal | undefined

  #line = new Map<string, KeyValue>()
  /** The line is as it was at this revision. */
  #revision = 0n
  #told: { readonly head: Head } | undefined
  #check: Timer | undefined
  /** Read meanwhile, to be compared with what the watch says when it has come as far. */
  #control: Reading | undefined
  /** A watch was opened from here to find what is missing: as long as it has nothing to say, that lies before. */
  #searchedFrom: bigint | undefined

  constructor(
    engine: Engine,
    prefix: Uint8Array,
    seen: (head: KeyValue) => Seen,
    signal: AbortSignal | undefined,
  ) {
    this.#engine = engine
    this.#prefix = prefix
    this.#seen = seen
    this.#signal = signal
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Seen | undefined, undefined>> {
    const answer = deferred<IteratorResult<Seen | undefined, undefined>>()
    this.#waiting.push(answer)
    if (this.#state.kind === 'idle') this.#begin()
    this.#answer()
    return answer.promise
  }

  /** Ends the observation; nothing of it is left. */
  async return(): Promise<IteratorResult<Seen | undefined, undefined>> {
    this.#enter({ kind: 'over' })
    return { done: true, value: undefined }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #begin(): void {
    this.#enter({ kind: 'reading' })
    // May call at once.
    this.#stopListening = this.#engine.aborts.on(this.#signal, reason => this.#fail(reason, 'now'))
    if (this.#left.aborted) return this.#stopListening()
    void this.#start()
  }

  /** Reads the line and watches it from there. */
  async #start(): Promise<void> {
    const reading = await this.#read()
    if (reading === undefined || this.#state.kind !== 'reading') return
    this.#rebase(reading)
    this.#watch()
  }

  /** From what is known on, since `missing` was read and has not come, if it is for that. */
  #watch(missing?: Reading): void {
    const from = this.#revision
    const watch = this.#engine.recipeWatches.watch(
      {
        key: this.#prefix,
        rangeEnd: prefixEnd(this.#prefix),
        startRevision: from + 1n,
        progress: true,
        onBreak: 'resume',
      },
      this.#sink(() => {
        if (missing !== undefined) this.#searchedFrom = from
      }),
    )
    this.#enter({ kind: 'watching', watch })
    this.#control = missing
    if (this.#isFull) watch.pause()
    this.#checkLater()
  }

  #sink(opened: () => void): WatchSink {
    return {
      opened,
      revision: (revision, events) => this.#apply(revision, events),
      broken: () => {},
      ended: error => {
        if (this.#state.kind !== 'watching') return
        if (error.code !== 'COMPACTED') return this.#fail(error, 'after-all')
        this.#enter({ kind: 'reading' })
        void this.#start()
      },
    }
  }

  /** The line, at what this client has seen or later; undefined when nobody wants to know any more. */
  async #read(): Promise<Reading | undefined> {
    const { submitter, runtime } = this.#engine
    const key = this.#prefix
    const end = prefixEnd(key)
    while (!this.#left.aborted) {
      try {
        const { header, kvs } = await submitter.submit({
          method: methods.range,
          request: { key, rangeEnd: end },
          footprint: { reads: [{ key, end }], writes: [] },
          consistency: 'linearizable',
          atLeast: this.#revision,
          signal: this.#left.signal,
        })
        return { revision: header?.revision ?? 0n, kvs }
      } catch (error) {
        if (this.#left.aborted) return undefined
        if (!EtcdError.is(error) || isFinal(error)) {
          this.#fail(error, 'after-all')
          return undefined
        }
        await sleep(runtime, AGAIN_MS, this.#left.signal)
      }
    }
    return undefined
  }

  #apply(revision: bigint, events: readonly Event[]): void {
    // The watch has come beyond what was read: all it had to say before that has been said.
    if (this.#control !== undefined && revision > this.#control.revision) this.#rebase(this.#control)
    if (revision <= this.#revision) return
    for (const { type, kv } of events) {
      if (kv === undefined) continue
      if (type === 1) this.#line.delete(mapKey(kv.key))
      else this.#line.set(mapKey(kv.key), kv)
    }
    this.#revision = revision
    this.#tell()
  }

  /** The line is as it was read. */
  #rebase({ revision, kvs }: Reading): void {
    this.#control = undefined
    this.#searchedFrom = undefined
    if (revision < this.#revision) return
    this.#line = new Map(kvs.map(kv => [mapKey(kv.key), kv]))
    this.#revision = revision
    this.#tell()
  }

  #agrees({ kvs }: Reading): boolean {
    return (
      kvs.length === this.#line.size &&
      kvs.every(({ key, modRevision }) => this.#line.get(mapKey(key))?.modRevision === modRevision)
    )
  }

  #tell(): void {
    const head = headOf(this.#line.values())
    if (this.#told !== undefined && isSame(this.#told.head, head)) return
    this.#told = { head }
    this.#heads.push(head)
    this.#answer()
    if (this.#isFull || this.#heads.length < FULL) return
    this.#isFull = true
    if (this.#state.kind === 'watching') this.#state.watch.pause()
  }

  #answer(): void {
    while (this.#waiting.length > 0 && this.#heads.length > 0) {
      const head = this.#heads.shift()
      const value = head === undefined ? undefined : this.#seen(head)
      this.#waiting.shift()!.resolve({ done: false, value })
    }
    if (this.#isFull && this.#heads.length <= FULL / 2) {
      this.#isFull = false
      if (this.#state.kind === 'watching') this.#state.watch.resume()
    }
    if (this.#waiting.length === 0) return
    if (this.#state.kind === 'failed') {
      const { reason } = this.#state
      this.#enter({ kind: 'over' }, answer => answer.reject(reason))
    } else if (this.#state.kind === 'over') this.#finish()
  }

  /** `after-all`: what was seen before is told first. */
  #fail(reason: unknown, when: 'now' | 'after-all'): void {
    if (this.#state.kind === 'failed' || this.#state.kind === 'over') return
    if (when === 'now') this.#heads = []
    this.#enter({ kind: 'failed', reason })
    this.#answer()
  }

  #checkLater(): void {
    this.#check = this.#engine.runtime.setTimer(CHECK_MS, () => void this.#compare()).unref()
  }

  async #compare(): Promise<void> {
    const watching = this.#state
    const reading = await this.#read()
    // Another watch, opened after a compaction meanwhile, is compared by itself.
    if (reading === undefined || this.#state !== watching) return
    this.#control = reading
    this.#check = this.#engine.runtime
      .setTimer(GRACE_MS, () => {
        const control = this.#control
        this.#control = undefined
        // Held back by ourselves, the watch is late for no fault of the server's. Else it is late, or something was
        // lost: a watch from where this one stopped tells all of that in order, where the reading knows the end only.
        if (control === undefined || this.#isFull || this.#agrees(control)) return this.#checkLater()
        if (this.#searchedFrom !== this.#revision) return this.#watch(control)
        // What was delivered since has moved us beyond what was lost: no watch from here tells it.
        this.#rebase(control)
        this.#checkLater()
      })
      .unref()
  }

  /** The only place that assigns the state: whatever is left is left in order. */
  #enter(
    next: State,
    last: (answer: Deferred<IteratorResult<Seen | undefined, undefined>>) => void = () => {},
  ) {
    if (this.#state.kind === 'over') return
    if (this.#state.kind === 'watching') this.#state.watch.cancel()
    this.#state = next
    this.#check?.cancel()
    this.#control = undefined
    this.#searchedFrom = undefined
    if (next.kind !== 'failed' && next.kind !== 'over') return
    this.#left.abort(() => undefined)
    this.#stopListening()
    if (next.kind !== 'over') return
    const [first] = this.#waiting
    if (first !== undefined) last(first)
    this.#heads = []
    this.#finish()
  }

  #finish(): void {
    for (const answer of this.#waiting.splice(0)) answer.resolve({ done: true, value: undefined })
  }
}

function headOf(line: Iterable<KeyValue>): Head {
  let head: Head
  for (const kv of line) if (head === undefined || kv.createRevision < head.createRevision) head = kv
  return head
}

function isSame(one: Head, other: Head): boolean {
  return one?.modRevision === other?.modRevision && one?.createRevision === other?.createRevision
}
