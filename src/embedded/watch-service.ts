import type { Timer } from '../support/runtime.ts'
import type { Init } from '../wire/codec.ts'
import { Event } from '../wire/gen/kv.g.ts'
import type {
  WatchCancelRequest,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { type Core, headerOf } from './core.ts'
import { intervalOf } from './key-interval.ts'
import { type CallContext, duplex, type Inlet, type Outlet, type Service } from './service.ts'
import { StatusError } from './status-error.ts'
import { Watcher } from './watcher.ts'

export function watchService(core: Core): Service {
  return [duplex(methods.watch, (out, context) => new WatchStream(core, out, context))]
}

/** Answers that belong to no watch: a failed create, and the progress of all. */
const NO_WATCH = -1n

/** What gRPC may carry beside a request: the limit above which etcd breaks a response up. */
const OVERHEAD_BYTES = 512 * 1024

/** Key, revisions and lengths of an event, at most. */
const EVENT_OVERHEAD_BYTES = 128

/** One stream with any number of watches. */
class WatchStream implements Inlet<WatchRequest> {
  readonly #core: Core
  readonly #out: Outlet<Init<WatchResponse>>
  readonly #context: CallContext
  readonly #watchers = new Map<bigint, Watcher>()
  /** Watches that want progress notifications, and whether they had events since the last. */
  readonly #progress = new Map<Watcher, 'idle' | 'busy'>()
  #progressTimer: Timer | undefined
  /** etcd gives ids from 0 on, each once, stepping over those clients chose. */
  #nextId = 0n

  constructor(core: Core, out: Outlet<Init<WatchResponse>>, context: CallContext) {
    this.#core = core
    this.#out = out
    this.#context = context
    context.onCancel(() => this.#close())
  }

  onMessage({ request }: WatchRequest): void {
    switch (request?.kind) {
      case 'create':
        return this.#create(request.value)
      case 'cancel':
        return this.#cancel(request.value)
      case 'progress':
        return this.#tellProgress()
      case undefined:
        return
    }
  }

  /** Who asks for no more still gets what they asked for. */
  onHalfClose(): void {}

  #create(request: WatchCreateRequest): void {
    const { access } = this.#core
    const { member } = this.#context
    const header = headerOf(this.#core, member)
    // No key at all is the first possible one.
    const key = request.key.length === 0 ? FIRST_KEY : request.key
    const interval = intervalOf(key, request.rangeEnd)
    const refused = (cancelReason: string) =>
      this.#out.send({ header, watchId: NO_WATCH, created: true, canceled: true, cancelReason })
    try {
      access.watch(this.#context, key, request.rangeEnd)
    } catch (error) {
      return refused(StatusError.from(error).toGoString())
    }
    if (interval.end !== undefined && interval.end <= interval.start)
      return refused('mvcc: watcher range is empty')
    const { watchId } = request
    if (watchId !== 0n && this.#watchers.has(watchId))
      return refused('mvcc: duplicate watch ID provided on the WatchStream')
    const id = watchId === 0n ? this.#freeId() : watchId
    const from = request.startRevision === 0n ? member.revision + 1n : request.startRevision
    const deliver = (events: readonly Event[], revision: bigint) => {
      if (request.progressNotify) this.#progress.set(watcher, 'busy')
      const response = { header: headerOf(this.#core, member, revision), watchId: id, events }
      if (request.fragment) this.#sendInFragments(response)
      else this.#out.send(response)
    }
    const { prevKv, filters } = request
    const watcher: Watcher = new Watcher({ id, interval, from, prevKv, filters, deliver })
    this.#watchers.set(id, watcher)
    this.#out.send({ header, watchId: id, created: true })
    // Telling may have found the stream broken and closed it: nobody would take the watch away again.
    if (this.#context.cancelled) return
    if (request.progressNotify) this.#notifyProgress(watcher)
    member.watches.add(watcher, compactRevision => {
      this.#progress.delete(watcher)
      // Measured: the header carries no revision, and behind revision 0 the watch is left without an end.
      const canceled = compactRevision !== 0n
      this.#out.send({ header: headerOf(this.#core, member, 0n), watchId: id, canceled, compactRevision })
    })
  }

  #cancel({ watchId }: WatchCancelRequest): void {
    const watcher = this.#watchers.get(watchId)
    if (watcher === undefined) return
    const { member } = this.#context
    this.#watchers.delete(watchId)
    this.#progress.delete(watcher)
    member.watches.remove(watcher)
    this.#out.send({ header: headerOf(this.#core, member), watchId, canceled: true })
  }

  /** To all watches at once, and only when none of them has anything to catch up on. */
  #tellProgress(): void {
    const { member } = this.#context
    const watchers = [...this.#watchers.values()]
    if (watchers.length === 0 || !watchers.every(watcher => member.watches.isSynced(watcher))) return
    this.#out.send({ header: headerOf(this.#core, member), watchId: NO_WATCH })
  }

  #notifyProgress(watcher: Watcher): void {
    this.#progress.set(watcher, 'idle')
    if (this.#progressTimer !== undefined) return
    const { runtime, settings } = this.#core
    // Spread, so that streams opened together do not all speak at once.
    const intervalMs = settings.progressNotifyMs * (1 + runtime.random() / 10)
    const beat = () => {
      this.#progressTimer = this.#progress.size === 0 ? undefined : runtime.setTimer(intervalMs, beat)
      this.#tellIdle()
    }
    this.#progressTimer = runtime.setTimer(intervalMs, beat)
  }

  #tellIdle(): void {
    const { member } = this.#context
    for (const [watcher, state] of this.#progress) {
      this.#progress.set(watcher, 'idle')
      if (state === 'idle' && member.watches.isSynced(watcher))
        this.#out.send({ header: headerOf(this.#core, member), watchId: watcher.id })
    }
  }

  /** As many events in each response as fit, at least one; all but the last say that more follow. */
  #sendInFragments(whole: Omit<Init<WatchResponse>, 'events'> & { readonly events: readonly Event[] }): void {
    const limit = this.#core.settings.maxRequestBytes + OVERHEAD_BYTES
    const { events } = whole
    if (events.reduce((sum, event) => sum + upperSizeOf(event), 0) < limit) return this.#out.send(whole)
    let part: Event[] = []
    let bytes = 0
    for (const event of events) {
      const size = Event.encode(event).length + LENGTH_BYTES
      if (part.length > 0 && bytes + size >= limit) {
        this.#out.send({ ...whole, events: part, fragment: true })
        part = []
        bytes = 0
      }
      part.push(event)
      bytes += size
    }
    this.#out.send({ ...whole, events: part })
  }

  #freeId(): bigint {
    while (this.#watchers.has(this.#nextId)) this.#nextId += 1n
    const id = this.#nextId
    this.#nextId += 1n
    return id
  }

  #close(): void {
    this.#progressTimer?.cancel()
    this.#progressTimer = undefined
    this.#progress.clear()
    for (const watcher of this.#watchers.values()) this.#context.member.watches.remove(watcher)
    this.#watchers.clear()
  }
}

const FIRST_KEY: Uint8Array = Uint8Array.of(0)

/** Tag and length of an event inside its response. */
const LENGTH_BYTES = 5

function upperSizeOf({ kv, prevKv }: Event): number {
  const sizes = [kv, prevKv].map(one => (one === undefined ? 0 : one.key.length + one.value.length))
  return sizes[0]! + sizes[1]! + EVENT_OVERHEAD_BYTES
}
