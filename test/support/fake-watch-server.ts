import { compareBytes, toBytes } from '../../src/wire/bytes.ts'
import type { Event, KeyValue } from '../../src/wire/gen/kv.g.ts'
import type { WatchCreateRequest, WatchRequest, WatchResponse } from '../../src/wire/gen/rpc.g.ts'
import type { FakeStream, FakeStreams } from './fake-streams.ts'

type WatchStream = FakeStream<WatchRequest, WatchResponse>

interface ServedWatch {
  readonly create: WatchCreateRequest
  /** The first revision not yet sent. */
  next: bigint
}

interface ServedStream {
  readonly stream: WatchStream
  readonly watches: Map<bigint, ServedWatch>
  read: number
}

/** How an answer is made: all of it wanted, unless said otherwise. */
export interface Delivery {
  /** Events in each fragment. */
  readonly fragmentSize?: number
  /** How many fragments arrive before the stream breaks. */
  readonly breakAfter?: number
  /** How many revisions already sent are sent again, as servers do that travel back in time. */
  readonly goBack?: number
  /** How many revisions at most. */
  readonly revisions?: number
}

/**
 * The watch half of an etcd server with a small history, at the other end of fake streams. It does nothing by
 * itself: the test decides when it reads, when it sends and when a stream breaks.
 */
export class FakeWatchServer {
  readonly history: { readonly revision: bigint; readonly events: readonly Event[] }[] = []
  compacted = 0n
  /** What a create is refused with, if anything. */
  refuse: (create: WatchCreateRequest) => string | undefined = () => undefined
  readonly #streams: FakeStreams
  readonly #served: ServedStream[] = []

  constructor(streams: FakeStreams) {
    this.#streams = streams
  }

  get revision(): bigint {
    return this.history.at(-1)?.revision ?? 1n
  }

  /** One transaction: `+a` puts, `-a` deletes. */
  write(...changes: string[]): bigint {
    const revision = this.revision + 1n
    this.history.push({ revision, events: changes.map(change => eventOf(change, revision)) })
    return revision
  }

  /** The watches it carries. */
  get watches(): readonly WatchCreateRequest[] {
    return this.#served.flatMap(({ stream, watches }) =>
      stream.state === 'live' ? [...watches.values()].map(({ create }) => create) : [],
    )
  }

  /** Works off what was requested on all live streams, in order. */
  read(): void {
    this.#discover()
    for (const served of this.#served) {
      while (served.stream.state === 'live' && served.read < served.stream.sent.length) {
        this.#answer(served, served.stream.sent[served.read++]!)
      }
    }
  }

  /** Sends every watch what it does not have. */
  deliver(delivery: Delivery = {}): void {
    for (const served of this.#served) {
      for (const [id, watch] of [...served.watches]) this.#deliver(served, id, watch, delivery)
    }
  }

  /** Breaks every stream. */
  cut(): void {
    this.#discover()
    for (const { stream } of this.#served) stream.end()
  }

  /** Tells every watch that it has caught up. */
  progress(): void {
    for (const { stream, watches } of this.#served) {
      for (const [id, watch] of watches) {
        if (watch.create.progressNotify && watch.next > this.revision)
          stream.answer(response(this.revision, id))
      }
    }
  }

  #discover(): void {
    for (let index = this.#served.length; index < this.#streams.openings.length; index++) {
      this.#served.push({ stream: this.#streams.stream(index), watches: new Map(), read: 0 })
    }
  }

  #answer({ stream, watches }: ServedStream, { request }: WatchRequest): void {
    switch (request?.kind) {
      case 'create':
        return this.#create(stream, watches, request.value)
      case 'cancel':
        if (watches.delete(request.value.watchId)) {
          stream.answer({ ...response(this.revision, request.value.watchId), canceled: true })
        }
        return
      case 'progress':
        return stream.answer(response(this.revision, -1n))
      case undefined:
        return
    }
  }

  #create(stream: WatchStream, watches: Map<bigint, ServedWatch>, create: WatchCreateRequest): void {
    const { watchId, startRevision } = create
    const cancelReason = this.refuse(create)
    if (cancelReason !== undefined) {
      stream.answer({ ...response(this.revision, -1n), created: true, canceled: true, cancelReason })
      return
    }
    stream.answer({ ...response(this.revision, watchId), created: true })
    if (startRevision > 0n && startRevision <= this.compacted) {
      stream.answer({ ...response(this.revision, watchId), canceled: true, compactRevision: this.compacted })
      return
    }
    watches.set(watchId, { create, next: startRevision > 0n ? startRevision : this.revision + 1n })
  }

  #deliver({ stream }: ServedStream, id: bigint, watch: ServedWatch, delivery: Delivery): void {
    const { fragmentSize = Number.POSITIVE_INFINITY, breakAfter, goBack = 0, revisions } = delivery
    const from = watch.next - BigInt(goBack)
    const ahead = this.history.filter(({ revision }) => revision >= watch.next).slice(0, revisions)
    const until = ahead.at(-1)?.revision ?? watch.next - 1n
    watch.next = until + 1n
    const events = this.history
      .filter(({ revision }) => revision >= from && revision <= until)
      .flatMap(({ events }) => events)
      .filter(event => isWanted(watch.create, event))
    const fragments = chunks(events, fragmentSize)
    for (const [index, fragment] of fragments.entries()) {
      if (index === breakAfter) return stream.end()
      stream.answer({ ...response(until, id), events: fragment, fragment: index < fragments.length - 1 })
    }
  }
}

/** An answer with everything at its default. */
export function response(revision: bigint, watchId: bigint): WatchResponse {
  const header = { clusterId: 1n, memberId: 1n, revision, raftTerm: 1n }
  return {
    header,
    watchId,
    created: false,
    canceled: false,
    compactRevision: 0n,
    cancelReason: '',
    fragment: false,
    events: [],
  }
}

export function eventOf(change: string, revision: bigint): Event {
  const deleted = change.startsWith('-')
  const kv: KeyValue = {
    key: toBytes(change.slice(1)),
    value: deleted ? new Uint8Array(0) : toBytes(`${revision}`),
    createRevision: deleted ? 0n : revision,
    modRevision: revision,
    version: deleted ? 0n : 1n,
    lease: 0n,
  }
  return { type: deleted ? 1 : 0, kv, prevKv: undefined }
}

/** Undoes `eventOf`. */
export function changeOf({ type, kv }: Event): string {
  return `${type === 0 ? '+' : '-'}${new TextDecoder().decode(kv?.key)}`
}

function isWanted({ key, rangeEnd, filters }: WatchCreateRequest, { type, kv }: Event): boolean {
  if (kv === undefined || filters.includes(type)) return false
  if (rangeEnd.length === 0) return compareBytes(kv.key, key) === 0
  return (
    compareBytes(kv.key, key) >= 0 &&
    (compareBytes(rangeEnd, Uint8Array.of(0)) === 0 || compareBytes(kv.key, rangeEnd) < 0)
  )
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  const all: Item[][] = []
  for (let start = 0; start < items.length; start += Math.min(size, items.length))
    all.push(items.slice(start, start + size))
  return all
}
