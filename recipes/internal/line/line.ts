import type { Engine } from '../../../src/client/engine.ts'
import type { WatchHandle } from '../../../src/client/watch-hub.ts'
import type { Timer } from '../../../src/support/runtime.ts'
import { mapKey, prefixEnd } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Event } from '../../../src/wire/gen/kv.g.ts'
import { isFinal } from '../trouble.ts'
import { type Entry, entryOf } from './entry.ts'
import { type LineReading, mayHide, readLine } from './line-reading.ts'
import { Ahead, type Place, placeGone, placeTaken } from './place.ts'
import type { Rule } from './rule.ts'

/** How long the watch of a line stays after the last acquisition has settled. */
const LINGER_MS = 3000
const AGAIN_MS = 500

/**
 *        somebody waits            Created at W           broken: opened again, from now, by the hub
 * none ─────────────────▶ opening ─────────────▶ open ─────────────────────────▶ opening
 *   ▲                        │                     │
 *   └────────────────────────┴──── nobody is left, some seconds later ──┘
 */
type WatchState =
  | { readonly kind: 'none' }
  | { readonly kind: 'opening'; readonly handle: WatchHandle }
  | { readonly kind: 'open'; readonly handle: WatchHandle; readonly since: bigint }

interface Waiting {
  readonly place: Place
  readonly ahead: Ahead
  /** `settled`: the set belongs to the present opening of the watch. `stale`: to be read again. */
  state: 'settled' | 'stale'
}

/**
 * One contended name as one client sees it: a watch of its prefix, from now on, and for each of our places the
 * set of entries ahead of it. All sessions of the client wait here, so a release is one message to the client,
 * and from release to ownership there is no request.
 *
 * Why a watch "from now" and no history: etcd serves a watch that starts at or before the present revision from
 * a loop that runs every 100 ms. What must then be proved is that no deletion falls between reading the set and
 * the watch. T is the revision the set was read at, W that of the watch's Created answer; every event above W
 * comes. W ≤ T: whatever is deleted after T is told. W > T: the line is read again, with an answer from W or
 * later. A set belongs to one opening of the watch.
 */
export class Line {
  readonly #engine: Engine
  readonly #prefix: Uint8Array
  readonly #values: Rule['values']
  readonly #emptied: () => void
  #watch: WatchState = { kind: 'none' }
  readonly #waiting = new Set<Waiting>()
  /** Acquisitions that have not settled: the watch is kept for them. */
  #unsettled = 0
  /** Those whose answer is on its way: what is seen is remembered for them. */
  #unanswered = 0
  /** Reads under way, for which it is remembered, too. */
  #reading: Promise<void> | undefined
  #readAgain = false
  /** Latest deletion of each key seen while an answer was on its way that may be older than it. */
  readonly #deletions = new Map<string, bigint>()
  /** Likewise the latest change of each key: what blocks in an older answer need not block any more. */
  readonly #changes = new Map<string, { readonly entry: Entry; readonly revision: bigint }>()
  #linger: Timer | undefined
  #check: { readonly timer: Timer; readonly atMs: number } | undefined
  #deciding = false

  constructor(engine: Engine, prefix: Uint8Array, values: Rule['values'], emptied: () => void) {
    this.#engine = engine
    this.#prefix = prefix
    this.#values = values
    this.#emptied = emptied
  }

  /** An acquisition begins: before its request is sent. From now on the watch, if there is one, is kept. */
  begin(): void {
    this.#unsettled += 1
    this.#unanswered += 1
    this.#linger?.cancel()
    this.#linger = undefined
  }

  /** The revision our place was deleted at, if that is known before the answer to its creation is. */
  goneAt({ name, createRevision }: Entry): bigint | undefined {
    const deletedAt = this.#deletions.get(name)
    return deletedAt !== undefined && deletedAt > createRevision ? deletedAt : undefined
  }

  /** Its request was answered, and the answer used, or it never will be. */
  answered(): void {
    this.#unanswered -= 1
    this.#forget()
  }

  /** It has come to an end, whichever. */
  settle(): void {
    this.#unsettled -= 1
    this.#tidy()
  }

  /** Waits for the turn of a place, from the line as the answer to its creation showed it, or as it is yet to be read. */
  join(place: Place, reading: LineReading | undefined): void {
    const waiting: Waiting = { place, ahead: new Ahead(place.mine, place.rule), state: 'stale' }
    this.#waiting.add(waiting)
    if (reading !== undefined) this.#take(waiting, reading)
    switch (this.#watch.kind) {
      case 'none':
        this.#open()
        break
      case 'opening':
        break
      case 'open':
        // Open when the answer was made: nothing since then was missed.
        if (reading !== undefined && this.#watch.since <= reading.revision) waiting.state = 'settled'
        else this.#read(this.#watch.since)
    }
    this.#decideSoon()
    this.#checkWithin(place.ttlMs)
  }

  leave(place: Place): void {
    for (const waiting of this.#waiting) if (waiting.place === place) this.#waiting.delete(waiting)
    this.#tidy()
  }

  #open(): void {
    // Assigned before the hub can call: it opens its stream on a later turn.
    const handle = this.#engine.recipeWatches.watch(
      {
        key: this.#prefix,
        rangeEnd: prefixEnd(this.#prefix),
        ...(this.#values === 'ignored' ? { filter: 'no-puts' as const } : {}),
        onBreak: 'restart',
      },
      {
        opened: since => this.#onOpened(since),
        revision: (revision, events) => this.#onRevision(revision, events),
        broken: () => this.#onBroken(),
        ended: error => this.#onEnded(error),
      },
    )
    this.#watch = { kind: 'opening', handle }
  }

  #onOpened(since: bigint): void {
    if (this.#watch.kind === 'none') return
    this.#watch = { kind: 'open', handle: this.#watch.handle, since }
    for (const waiting of this.#waiting) {
      if (since <= waiting.ahead.readAt) waiting.state = 'settled'
    }
    if ([...this.#waiting].some(({ state }) => state === 'stale')) this.#read(since)
    this.#decideSoon()
  }

  #onBroken(): void {
    if (this.#watch.kind !== 'open') return
    this.#watch = { kind: 'opening', handle: this.#watch.handle }
    for (const waiting of this.#waiting) waiting.state = 'stale'
  }

  #onEnded(error: EtcdError): void {
    this.#watch = { kind: 'none' }
    for (const { place } of [...this.#waiting]) place.onEnd(error)
  }

  #onRevision(revision: bigint, events: readonly Event[]): void {
    for (const { type, kv } of events) {
      if (kv === undefined) continue
      if (type === 1) this.#onDeleted(mapKey(kv.key), revision)
      else this.#onWritten(entryOf(kv), revision)
    }
    this.#decideSoon()
  }

  #onDeleted(name: string, revision: bigint): void {
    if (this.#isOnItsWay) this.#deletions.set(name, revision)
    for (const waiting of [...this.#waiting]) {
      const { mine } = waiting.place
      // Our own place, and not an earlier one of the same name whose deletion comes late.
      if (mine.name === name && revision > mine.createRevision) this.#end(waiting, placeGone(mine, revision))
      else waiting.ahead.deleted(name, revision)
    }
  }

  #onWritten(entry: Entry, revision: bigint): void {
    // What is only now created is behind everybody whose answer may be on its way without it.
    if (this.#isOnItsWay && entry.createRevision < revision)
      this.#changes.set(entry.name, { entry, revision })
    for (const waiting of [...this.#waiting]) {
      const { mine } = waiting.place
      const isOurs = mine.name === entry.name && mine.createRevision === entry.createRevision
      if (isOurs && entry.lease !== mine.lease) this.#end(waiting, placeTaken(mine))
      else waiting.ahead.written(entry, revision)
    }
  }

  /**
   * Decides after the whole answer of the server was applied: it may hold the deletion of our own place behind
   * that of the entry we waited for.
   */
  #decideSoon(): void {
    if (this.#deciding) return
    this.#deciding = true
    void Promise.resolve().then(() => {
      this.#deciding = false
      for (const waiting of [...this.#waiting]) {
        if (waiting.state === 'settled' && waiting.ahead.isFree) waiting.place.onTurn()
      }
    })
  }

  /** Reads the line again for everybody waiting; the answer is from `atLeast` or later. One read at a time. */
  #read(atLeast: bigint): void {
    if (this.#reading !== undefined) {
      this.#readAgain = true
      return
    }
    const watch = this.#watch
    this.#reading = this.#readNow(atLeast).then(
      reading => {
        this.#reading = undefined
        this.#apply(reading, watch)
      },
      error => {
        this.#reading = undefined
        this.#readFailed(error, atLeast)
      },
    )
  }

  #readNow(atLeast: bigint): Promise<LineReading> {
    const ours = Math.max(1, ...[...this.#waiting].map(({ place }) => place.ours))
    return readLine(this.#engine, this.#prefix, { values: this.#values, ours }, atLeast)
  }

  #apply(reading: LineReading, watch: WatchState): void {
    // The watch broke while we read, or somebody joined who needs a later answer.
    const again = this.#readAgain || watch !== this.#watch
    this.#readAgain = false
    for (const waiting of [...this.#waiting]) {
      const { mine } = waiting.place
      // Created, or read elsewhere, after this was read: what it knows is newer.
      if (mine.createRevision > reading.revision || waiting.ahead.readAt > reading.revision) continue
      const found = reading.entries.find(({ name }) => name === mine.name)
      // Read for others, before this place was known. It is read again if need be.
      if (found === undefined && mayHide(reading, mine)) continue
      if (found?.createRevision !== mine.createRevision) this.#end(waiting, placeGone(mine, reading.revision))
      else if (found.lease !== mine.lease) this.#end(waiting, placeTaken(mine))
      else {
        this.#take(waiting, reading)
        if (this.#watch.kind === 'open' && this.#watch.since <= reading.revision) waiting.state = 'settled'
        // Our place, and nobody before it, seen together: that needs no watch.
        if (waiting.ahead.isFree) waiting.place.onTurn()
      }
    }
    this.#forget()
    this.#tidy()
    this.#decideSoon()
    if (again && this.#watch.kind === 'open' && [...this.#waiting].some(({ state }) => state === 'stale')) {
      this.#read(this.#watch.since)
    }
  }

  #readFailed(error: unknown, atLeast: bigint): void {
    if (EtcdError.is(error) && isFinal(error)) {
      for (const waiting of [...this.#waiting]) this.#end(waiting, error)
      return
    }
    // It will pass. Whoever waits has a session that ends when this goes on.
    this.#engine.runtime
      .setTimer(AGAIN_MS, () => {
        if (this.#waiting.size > 0) this.#read(atLeast)
      })
      .unref()
  }

  /** May an answer be on its way that is older than what the watch tells now? */
  get #isOnItsWay(): boolean {
    return this.#unanswered > 0 || this.#reading !== undefined
  }

  #take(waiting: Waiting, { revision, entries }: LineReading): void {
    waiting.ahead.read(revision, entries)
    for (const { entry, revision: at } of this.#changes.values()) waiting.ahead.written(entry, at)
    for (const [name, deletedAt] of this.#deletions) waiting.ahead.deleted(name, deletedAt)
  }

  #end(waiting: Waiting, error: EtcdError): void {
    this.#waiting.delete(waiting)
    waiting.place.onEnd(error)
  }

  /** No wait hangs on one event: servers are known to lose some. Every two TTLs, the shortest ones, the line is read again. */
  #checkWithin(ttlMs: number): void {
    const { runtime } = this.#engine
    const atMs = runtime.now() + 2 * ttlMs
    if (this.#check !== undefined && this.#check.atMs <= atMs) return
    this.#check?.timer.cancel()
    const timer = runtime
      .setTimer(2 * ttlMs, () => {
        this.#check = undefined
        if (this.#waiting.size === 0) return
        this.#read(this.#watch.kind === 'open' ? this.#watch.since : 0n)
        this.#checkWithin(Math.min(...[...this.#waiting].map(({ place }) => place.ttlMs)))
      })
      .unref()
    this.#check = { timer, atMs }
  }

  #forget(): void {
    if (this.#isOnItsWay) return
    this.#deletions.clear()
    this.#changes.clear()
  }

  #tidy(): void {
    if (this.#waiting.size === 0) {
      this.#check?.timer.cancel()
      this.#check = undefined
    }
    if (this.#unsettled > 0 || this.#waiting.size > 0) return
    if (this.#watch.kind === 'none') return this.#emptied()
    this.#linger ??= this.#engine.runtime
      .setTimer(LINGER_MS, () => {
        this.#linger = undefined
        if (this.#watch.kind !== 'none') this.#watch.handle.cancel()
        this.#watch = { kind: 'none' }
        this.#emptied()
      })
      .unref()
  }
}
