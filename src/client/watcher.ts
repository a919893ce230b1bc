import { ownOnly } from '../support/own.ts'
import type { EtcdError } from '../wire/errors.ts'
import type { Event } from '../wire/gen/kv.g.ts'
import type { WatchCreateRequest } from '../wire/gen/rpc.g.ts'

/** What to watch, and what to do when the connection breaks. */
export interface WatchSpec {
  readonly key: Uint8Array
  /** Empty for the single key; as in a range request otherwise. */
  readonly rangeEnd: Uint8Array
  /** The first revision wanted. Left out: whatever happens from now on. */
  readonly startRevision?: bigint | undefined
  readonly filter?: 'no-puts' | 'no-deletes' | undefined
  /** Also deliver what each key was before. */
  readonly previous?: boolean | undefined
  /** Have the server say now and then how far it is, so that a quiet watch is not overtaken by a compaction. */
  readonly progress?: boolean | undefined
  /**
   * `resume` goes on after the last revision delivered and misses nothing. `restart` watches from now again,
   * which a server does without its 100 ms catch-up tick; whoever asks for it reads again after `opened`.
   */
  readonly onBreak: 'resume' | 'restart'
}

/** Where a watch delivers, synchronously. Never called before `watch` has returned nor after `cancel`. */
export interface WatchSink {
  /** The server has the watch: every event above `revision` will come. With `restart`, again after every break. */
  opened(revision: bigint): void
  /** All that happened to the watched keys at one revision. Ascending, each revision once and whole. */
  revision(revision: bigint, events: readonly Event[]): void
  /**
   * The server says that it has sent everything up to `revision`. A `periodic` word is reliable. A `requested`
   * one is not before etcd 3.4.25 and 3.5.8: it may run ahead of events that are still to come.
   */
  progress?(revision: bigint, kind: 'periodic' | 'requested'): void
  /** An opened watch lost its connection. With `restart`, all that was learnt is void until `opened`. */
  broken(): void
  /** The watch is over for good, and why. Nothing comes after it. */
  ended(error: EtcdError): void
}

/**
 *            attach               Created
 * waiting ──────────▶ attaching ──────────▶ attached          ended: from anywhere, for good
 *    ▲ ▲                  │                    │
 *    │ └──── detach ──────┴────────────────────┤
 *    └─────────────── resume ──── paused ◀─────┘ pause
 */
type WatcherState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'attaching'; readonly id: bigint }
  | { readonly kind: 'attached'; readonly id: bigint }
  | { readonly kind: 'paused' }
  | { readonly kind: 'ended' }

/** Events of the revision that is being put together: a fragment may end in the middle of one. */
interface PartialRevision {
  readonly revision: bigint
  readonly events: Event[]
}

/**
 * One watch, whichever stream and id carry it at the moment.
 *
 * Invariant: `#nextRevision` is the first revision not yet delivered. Events below it are dropped, so neither
 * a repeated answer nor a server that travels back in time is ever seen; a watch that resumes always asks
 * from there, so nothing is missed. It never decreases, and it moves before the sink is called, so a sink may
 * throw, pause or cancel in the middle of an answer.
 */
export class Watcher {
  readonly onBreak: 'resume' | 'restart'
  readonly #spec: WatchSpec
  readonly #sink: WatchSink
  readonly #guard: (call: () => void) => void
  #state: WatcherState = { kind: 'waiting' }
  /** Undefined: from now on, wherever that is when the server creates the watch. */
  #nextRevision: bigint | undefined
  #partial: PartialRevision | undefined
  #openedOnce = false
  #refusals = 0

  /** `guard` runs each call of the sink and keeps what it throws from the engine. */
  constructor(spec: WatchSpec, sink: WatchSink, guard: (call: () => void) => void) {
    this.onBreak = spec.onBreak
    this.#spec = ownOnly(spec)
    this.#sink = sink
    this.#guard = guard
    this.#nextRevision = this.#spec.startRevision
  }

  /** The id on the current stream. */
  get id(): bigint | undefined {
    return this.#state.kind === 'attaching' || this.#state.kind === 'attached' ? this.#state.id : undefined
  }

  get waiting(): boolean {
    return this.#state.kind === 'waiting'
  }

  /** Has the server not yet said whether it takes it? */
  get attaching(): boolean {
    return this.#state.kind === 'attaching'
  }

  /** All that can make its request a long one. */
  get keysBytes(): number {
    return this.#spec.key.length + this.#spec.rangeEnd.length
  }

  get ended(): boolean {
    return this.#state.kind === 'ended'
  }

  /** How often in a row the server refused to create this watch. */
  get refusals(): number {
    return this.#refusals
  }

  /** The request that creates the watch under `id`. */
  attach(id: bigint): WatchCreateRequest {
    this.#enter({ kind: 'attaching', id })
    return {
      key: this.#spec.key,
      rangeEnd: this.#spec.rangeEnd,
      // Zero means from now on.
      startRevision: this.#nextRevision ?? 0n,
      progressNotify: this.#spec.progress ?? false,
      filters: filtersOf(this.#spec),
      prevKv: this.#spec.previous ?? false,
      watchId: id,
      fragment: true,
    }
  }

  /** The server has created the watch; all events above `revision` will come. */
  created(revision: bigint): void {
    if (this.#state.kind !== 'attaching') return
    this.#enter({ kind: 'attached', id: this.#state.id })
    this.#refusals = 0
    // Events at or below `revision` may follow all the same: servers from 3.4.38 and 3.5.22 on read the
    // header after they have registered the watch. The promise is about those above.
    this.#nextRevision ??= revision + 1n
    if (this.#openedOnce && this.onBreak === 'resume') return
    this.#openedOnce = true
    this.#guard(() => this.#sink.opened(revision))
  }

  /** `more` tells that the last revision of these events goes on in the next answer. */
  receive(events: readonly Event[], more: boolean): void {
    const attached = this.#state
    if (attached.kind !== 'attached') return
    for (const event of events) {
      const revision = event.kv?.modRevision
      if (revision === undefined || this.#isDelivered(revision)) continue
      if (this.#partial !== undefined && revision > this.#partial.revision) {
        this.#deliver(this.#partial)
        // The sink may have paused or cancelled: what is left of this answer comes again, or never.
        if (this.#state !== attached) return
      }
      if (this.#partial === undefined) this.#partial = { revision, events: [event] }
      else if (revision === this.#partial.revision) this.#partial.events.push(event)
    }
    if (!more && this.#partial !== undefined) this.#deliver(this.#partial)
  }

  progress(revision: bigint, kind: 'periodic' | 'requested'): void {
    // In the middle of a revision it would be a lie, and an old word is no news.
    if (this.#state.kind !== 'attached' || this.#partial !== undefined || this.#isDelivered(revision + 1n))
      return
    if (kind === 'periodic') this.#nextRevision = revision + 1n
    this.#guard(() => this.#sink.progress?.(revision, kind))
  }

  /** The server has, or is, no longer what carries this watch: it waits for another stream or another id. */
  detach(): void {
    switch (this.#state.kind) {
      case 'attaching':
        return this.#wait()
      case 'attached':
        this.#wait()
        return this.#guard(() => this.#sink.broken())
      case 'waiting': // the break was told when it happened
      case 'paused': // nothing of it was on the stream
      case 'ended':
        return
      default:
        return unreachable(this.#state)
    }
  }

  refused(): void {
    this.#refusals++
  }

  pause(): void {
    if (this.#state.kind === 'ended') return
    this.#wait()
    this.#enter({ kind: 'paused' })
  }

  /** True when a paused watch now waits for a stream. */
  resume(): boolean {
    if (this.#state.kind !== 'paused') return false
    this.#enter({ kind: 'waiting' })
    return true
  }

  /** Without an error nobody is told: the one who cancelled knows. */
  end(error?: EtcdError): void {
    if (this.#state.kind === 'ended') return
    this.#enter({ kind: 'ended' })
    if (error !== undefined) this.#guard(() => this.#sink.ended(error))
  }

  #isDelivered(revision: bigint): boolean {
    return this.#nextRevision !== undefined && revision < this.#nextRevision
  }

  #deliver({ revision, events }: PartialRevision): void {
    this.#partial = undefined
    this.#nextRevision = revision + 1n
    this.#guard(() => this.#sink.revision(revision, events))
  }

  #wait(): void {
    // A watch that restarts has no past: it never asks for history.
    if (this.onBreak === 'restart' && this.#openedOnce) this.#nextRevision = undefined
    this.#enter({ kind: 'waiting' })
  }

  /** The only place that assigns the state. Half a revision is worth nothing once its stream is left. */
  #enter(next: WatcherState): void {
    this.#partial = undefined
    this.#state = next
  }
}

function filtersOf({ filter }: WatchSpec): WatchCreateRequest['filters'] {
  switch (filter) {
    case 'no-puts':
      return [0]
    case 'no-deletes':
      return [1]
    case undefined:
      return []
    default:
      return unreachable(filter)
  }
}

function unreachable(value: never): never {
  throw new TypeError(`not a state: ${String(value)}`)
}
