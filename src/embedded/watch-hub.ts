import type { Runtime, Timer } from '../support/runtime.ts'
import type { Event } from '../wire/gen/kv.g.ts'
import type { Settings } from './settings.ts'
import type { Revision, Store } from './store.ts'
import { WatchIndex } from './watch-index.ts'
import { type Deliver, Watcher, type WatcherParts } from './watcher.ts'

/** How many revisions a watch that catches up is brought at once. */
const CATCH_UP_REVISIONS = 1000

export interface WatchHubParts {
  readonly runtime: Runtime
  readonly settings: Pick<Settings, 'watchTickMs'>
  readonly store: Store
  /** Whose watches these are: they see what it has applied. */
  readonly member: { readonly revision: bigint }
}

export type Following = Pick<WatcherParts, 'interval' | 'from' | 'filters'>

/**
 * The watches of one member. Those that have seen everything are told of each revision as it is applied;
 * those from the past first catch up, at once or on a tick as a real server does.
 */
export class WatchHub {
  readonly #parts: WatchHubParts
  readonly #synced = new WatchIndex<Watcher>()
  readonly #isSynced = new Set<Watcher>()
  readonly #unsynced = new Map<Watcher, (compactRevision: bigint) => void>()
  #tick: Timer | undefined

  constructor(parts: WatchHubParts) {
    this.#parts = parts
  }

  /** `compacted` is called, and the watch removed, when what it should start with is gone. */
  add(watcher: Watcher, compacted: (compactRevision: bigint) => void): void {
    if (watcher.from > this.#parts.member.revision) return this.#sync(watcher)
    this.#unsynced.set(watcher, compacted)
    if (this.#parts.settings.watchTickMs === 0) this.#catchUp(watcher)
    else this.#scheduleTick()
  }

  /** A watch from the present or the future for the server itself. Returns how to stop. */
  follow(wanted: Following, deliver: Deliver): () => void {
    const watcher = new Watcher({ id: 0n, prevKv: false, ...wanted, deliver })
    this.#sync(watcher)
    return () => this.remove(watcher)
  }

  remove(watcher: Watcher): void {
    this.#unsynced.delete(watcher)
    if (this.#isSynced.delete(watcher)) this.#synced.remove(watcher)
  }

  isSynced(watcher: Watcher): boolean {
    return this.#isSynced.has(watcher)
  }

  /** The member has applied a revision. All a watch is told of it comes in one delivery. */
  publish({ revision, changes }: Revision): void {
    const { compactRevision } = this.#parts.store
    let news: Map<Watcher, Event[]> | undefined
    for (const change of changes) {
      this.#synced.visit(change.name, watcher => {
        const event = watcher.eventOf(change, compactRevision)
        if (event === undefined) return
        const events = news?.get(watcher)
        if (events !== undefined) return void events.push(event)
        news ??= new Map()
        news.set(watcher, [event])
      })
    }
    for (const [watcher, events] of news ?? []) {
      // A delivery before may have ended it.
      if (!this.#isSynced.has(watcher)) continue
      watcher.deliver(events, revision)
    }
  }

  close(): void {
    this.#tick?.cancel()
    this.#tick = undefined
    this.#unsynced.clear()
  }

  #sync(watcher: Watcher): void {
    this.#unsynced.delete(watcher)
    this.#isSynced.add(watcher)
    this.#synced.add(watcher)
  }

  #scheduleTick(): void {
    if (this.#tick !== undefined) return
    const { runtime, settings } = this.#parts
    this.#tick = runtime.setTimer(settings.watchTickMs, () => {
      this.#tick = undefined
      for (const watcher of [...this.#unsynced.keys()]) this.#catchUp(watcher)
    })
  }

  /** Brings it everything from its first revision on, never parts of a revision. */
  #catchUp(watcher: Watcher): void {
    const { store, member } = this.#parts
    const compacted = this.#unsynced.get(watcher)
    if (compacted === undefined) return
    if (watcher.from < store.compactRevision) {
      this.#unsynced.delete(watcher)
      return compacted(store.compactRevision)
    }
    const upTo = member.revision
    let events: Event[] = []
    let revisions = 0
    for (const revision of store.since(watcher.from, watcher.interval)) {
      if (revision.revision > upTo) break
      const wanted = watcher.eventsOf(revision, store.compactRevision)
      if (wanted.length === 0) continue
      events.push(...wanted)
      revisions += 1
      if (revisions < CATCH_UP_REVISIONS) continue
      watcher.deliver(events, upTo)
      if (!this.#unsynced.has(watcher)) return
      events = []
      revisions = 0
    }
    if (events.length > 0) watcher.deliver(events, upTo)
    if (!this.#unsynced.has(watcher)) return
    this.#sync(watcher)
  }
}
