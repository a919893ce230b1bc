import { within } from '../support/bounded.ts'
import { deferred } from '../support/deferred.ts'
import { checkOptions } from '../support/options.ts'
import { Resources } from '../support/resources.ts'
import { showAs } from '../support/shown.ts'
import { type Bytes, text, toBytes } from '../wire/bytes.ts'
import { EtcdError } from '../wire/errors.ts'
import { Auth } from './auth.ts'
import { Cluster } from './cluster.ts'
import type { Engine, Warning } from './engine.ts'
import type { KeyRange } from './key-range.ts'
import type { KeySpace } from './key-space.ts'
import type { KeyValue } from './key-value.ts'
import { type CompactOptions, KV, type PagesOptions } from './kv.ts'
import { Lease } from './lease.ts'
import { Maintenance } from './maintenance.ts'
import type { DeleteOptions, DeleteResult, Op, PutOptions, PutResult, TxnResult, TxnSpec } from './op.ts'
import type { GetOptions, RangeOptions, RangeResult } from './range.ts'
import type { CallOptions } from './submitter.ts'
import { Watch, type WatchOptions } from './watch.ts'

/** How long disposing of a handle waits before the rest goes on in the background, in milliseconds. */
export const DISPOSE_MS = 5000

const NOTHING = new Uint8Array(0)
const WATCH_OPTIONS = ['from', 'only', 'previous', 'progress', 'signal', 'maxBuffered']

/** Keys, leases, watches and the cluster itself, as one namespace sees them. */
export class Client implements AsyncDisposable {
  /** The machinery behind it; for recipes. */
  readonly engine: Engine
  readonly space: KeySpace
  /** Leases that are yours to look after. For locks and the like, use a session. */
  readonly lease: Lease
  /** Users, roles, and what they may do. */
  readonly auth: Auth
  /** Members, added and removed. */
  readonly cluster: Cluster
  /** Health of the members, alarms, snapshots, and what else an operator does. */
  readonly maintenance: Maintenance
  readonly #kv: KV
  readonly #opened = new Resources()
  /** The root closes the engine with itself, a namespace only what was opened through it. */
  readonly #owner: Client | undefined
  #closing: Promise<void> | undefined

  static {
    showAs<Client>(Client, ({ engine, space, isOpen }) => {
      const prefix = text(space.key(NOTHING))
      return {
        endpoints: engine.connections.endpoints.map(({ url }) => url),
        ...(prefix === '' ? {} : { namespace: prefix }),
        isOpen,
      }
    })
  }

  constructor(engine: Engine, space: KeySpace, owner?: Client) {
    const { submitter, keeper, runtime, connections } = engine
    this.engine = engine
    this.space = space
    this.#owner = owner
    this.#kv = new KV(submitter, space)
    this.lease = new Lease({ submitter, keeper, runtime, space, closing: connections.closing })
    this.auth = new Auth(submitter)
    this.cluster = new Cluster(submitter)
    this.maintenance = new Maintenance(engine)
    owner?.attach(this)
  }

  /** Resolves with the key, undefined if it does not exist. One round trip; repeated on another endpoint when one fails. */
  get(key: Bytes, options?: GetOptions & CallOptions): Promise<KeyValue | undefined> {
    return this.#kv.get(key, options)
  }

  /** Resolves with the keys of a range, all as they were at one revision. One round trip. */
  range(keyOrRange: Bytes | KeyRange, options?: RangeOptions & CallOptions): Promise<RangeResult> {
    return this.#kv.range(keyOrRange, options)
  }

  /**
   * A range of any size, page by page in the order of its keys, all at the revision of the first page. Rejects
   * with COMPACTED when that revision is compacted on the way. One round trip per page, made when the page is
   * asked for.
   */
  pages(keyOrRange: Bytes | KeyRange, options?: PagesOptions): AsyncIterable<RangeResult> {
    return this.#kv.pages(keyOrRange, options)
  }

  /** Resolves when the value is stored. Not repeated when its outcome is unknown. One round trip. */
  put(key: Bytes, value: Bytes, options?: PutOptions & CallOptions): Promise<PutResult> {
    return this.#kv.put(key, value, options)
  }

  /** Resolves when the keys are gone, whether or not there were any. Not repeated when its outcome is unknown. One round trip. */
  delete(keyOrRange: Bytes | KeyRange, options?: DeleteOptions & CallOptions): Promise<DeleteResult> {
    return this.#kv.delete(keyOrRange, options)
  }

  /**
   * Resolves when one side has been applied, at one revision and as a whole. A transaction that only reads is
   * repeated on failure, any other is not when its outcome is unknown. One round trip.
   */
  txn<const Then extends readonly Op[] = readonly [], const Else extends readonly Op[] = readonly []>(
    spec: TxnSpec<Then, Else>,
    options?: CallOptions,
  ): Promise<TxnResult<Then, Else>> {
    return this.#kv.txn(spec, options)
  }

  /**
   * Forgets the history before `revision`, for every user of the cluster: reads and watches below it fail with
   * COMPACTED from then on. Resolves when that is decided. Compacting what is compacted is COMPACTED, too.
   */
  compact(revision: bigint, options?: CompactOptions): Promise<void> {
    return this.#kv.compact(revision, options)
  }

  /**
   * Tells what happens to some keys from now on, or from a revision on, in order and without gaps. Starts at once; one
   * loop takes from it, and leaving the loop closes it. Rejects with COMPACTED when what it would go on from no longer
   * exists.
   */
  watch(keyOrRange: Bytes | KeyRange, options: WatchOptions = {}): Watch {
    this.assertOpen()
    options = checkOptions(options, WATCH_OPTIONS, 'watch')
    const { space, engine } = this
    const watch = new Watch({ hub: engine.userWatches, aborts: engine.aborts }, keyOrRange, options, {
      toServer: range => space.range(range),
      fromServer: key => space.local(key),
    })
    this.attach(watch)
    void watch.ended.then(() => this.detach(watch))
    return watch
  }

  /** Calls `listener` with each warning. A warning nobody listens for goes to `process.emitWarning`. Returns how to stop. */
  on(event: 'warning', listener: (warning: Warning) => void): () => void {
    if (event !== 'warning') throw new TypeError(`a client tells of 'warning', not of '${String(event)}'`)
    return this.engine.onWarning(listener)
  }

  /** To be disposed of when this client is closed. */
  attach(resource: AsyncDisposable): void {
    this.#opened.attach(resource)
  }

  detach(resource: AsyncDisposable): void {
    this.#opened.detach(resource)
  }

  /** Throws CLIENT_CLOSED. */
  assertOpen(): void {
    if (this.#closing === undefined && this.#owner?.isOpen !== false) return
    throw new EtcdError('CLIENT_CLOSED', '[CLIENT_CLOSED] the client was closed', { outcome: 'not-sent' })
  }

  get isOpen(): boolean {
    return this.#closing === undefined && this.#owner?.isOpen !== false
  }

  /**
   * Resolves when everything opened through this client is closed, sessions with their leases revoked, and, for
   * a client that is no namespace, its connections: nothing of it keeps the process alive. Quiet when repeated.
   * What was given up or let go of without a session is waited for, too, up to 5 s. A lease that could not be revoked
   * within 5 s runs out by itself; whoever wants to hear of that closes the session first.
   */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      // One who hears of it while it begins, on a signal that aborts, may close again and finds nothing open.
      const closed = deferred<void>()
      this.#closing = closed.promise
      this.#close().then(closed.resolve, closed.reject)
    }
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#owner === undefined) return this.#closeAll()
    try {
      await this.#opened.disposeAll()
    } finally {
      this.#owner.detach(this)
    }
  }

  async #closeAll(): Promise<void> {
    const { runtime } = this.engine
    const untilMs = runtime.now() + DISPOSE_MS
    this.engine.leave()
    try {
      await this.#opened.disposeAll()
    } finally {
      // What was opened may have brought some of it.
      await within(runtime, Math.ceil(Math.max(0, untilMs - runtime.now())), this.engine.settled())
      this.engine.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => {})
  }
}

/** The space of a namespace below this client's. */
export function namespaceSpace(client: Client, prefix: Bytes, options?: unknown): KeySpace {
  options = checkOptions(options, [], 'namespace')
  const bytes = toBytes(prefix, 'the prefix of a namespace')
  if (bytes.length === 0) throw new RangeError('namespace: an empty prefix is the client itself')
  return client.space.within(bytes)
}
