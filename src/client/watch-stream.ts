import type { Endpoint } from '../support/transport.ts'
import type { WatchRequest, WatchResponse } from '../wire/gen/rpc.g.ts'
import type { OpenStream } from './streams.ts'
import type { Watcher } from './watcher.ts'

/** In place of a watch id: the answer is about no watch in particular. */
const NO_WATCH = -1n

/**
 * One stream and the watches on it, under ids of our choice: no create waits for the answer to another, and
 * no id is used twice, so what still arrives for a cancelled watch finds nobody.
 *
 * A create that fails is answered with id -1. The server works off requests in order and so answers creates
 * in order: the failure belongs to the oldest create without an answer.
 */
export class WatchStream {
  readonly #stream: OpenStream<WatchRequest>
  readonly #watchers = new Map<bigint, Watcher>()
  /** In the order of their creates; cancelled ones stay, since their answer comes all the same. */
  readonly #unanswered = new Set<bigint>()
  #lastId = 0n

  constructor(stream: OpenStream<WatchRequest>) {
    this.#stream = stream
  }

  get endpoint(): Endpoint {
    return this.#stream.endpoint
  }

  create(watcher: Watcher): void {
    const id = ++this.#lastId
    this.#watchers.set(id, watcher)
    this.#unanswered.add(id)
    this.#stream.send({ request: { kind: 'create', value: watcher.attach(id) } })
  }

  /**
   * Before the create is answered too: the id is ours, and the server reads the cancel after the create, so
   * the watch cannot outlive it there.
   */
  cancel(watcher: Watcher): void {
    const { id } = watcher
    if (id === undefined || !this.#watchers.delete(id)) return
    this.#stream.send({ request: { kind: 'cancel', value: { watchId: id } } })
  }

  /** Asks how far the server is; it answers when all watches of the stream have caught up, or not at all. */
  requestProgress(): void {
    this.#stream.send({ request: { kind: 'progress', value: {} } })
  }

  /** Hands an answer to the watch it is for. Returns that watch if the server will not, or no longer, carry it. */
  receive(response: WatchResponse): Watcher | undefined {
    const revision = response.header?.revision ?? 0n
    const id = response.created ? this.#answeredId(response) : response.watchId
    const watcher = this.#watchers.get(id)
    if (response.canceled) {
      this.#watchers.delete(id)
      return watcher
    }
    if (response.created) watcher?.created(revision)
    else if (response.events.length > 0) watcher?.receive(response.events, response.fragment)
    else if (id !== NO_WATCH) watcher?.progress(revision, 'periodic')
    else for (const each of [...this.#watchers.values()]) each.progress(revision, 'requested')
    return undefined
  }

  close(): void {
    this.#stream.cancel()
  }

  #answeredId({ watchId, canceled }: WatchResponse): bigint {
    const [oldest] = this.#unanswered
    const id = canceled && !this.#unanswered.has(watchId) ? (oldest ?? NO_WATCH) : watchId
    this.#unanswered.delete(id)
    return id
  }
}
