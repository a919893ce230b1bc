import { grpcTransport } from '../../src/client/grpc-transport.ts'
import type {
  ByteStream,
  CallMetadata,
  Cancellable,
  Endpoint,
  Link,
  LinkOptions,
  LinkState,
  StreamEvents,
  Transport,
  UnaryOutcome,
} from '../../src/support/transport.ts'
import type { Init } from '../../src/wire/codec.ts'
import type { Event } from '../../src/wire/gen/kv.g.ts'
import type { WatchCreateRequest, WatchResponse } from '../../src/wire/gen/rpc.g.ts'
import { type Method, methods } from '../../src/wire/methods.ts'

const PERMISSION_DENIED = 7
const UNAVAILABLE = 14

/** What passes by until `off()`; what was caught stays caught. */
export interface Trap<Caught> {
  /** Resolves with the n-th that was caught, counted from 1, also when that is still to come. */
  caught(n?: number): Promise<Caught>
  readonly count: number
  off(): void
}

/** A unary call that was stopped on its way there or back. The client hears of it when the test says so. */
export interface StoppedCall<Request, Response> {
  readonly request: Request
  readonly endpoint: Endpoint
  /** Has the server take the request, however late, even if the client has given it up. Resolves with the answer, which is not told. */
  apply(): Promise<Response>
  /** Tells the client the answer, or another one instead, having the server take the request first if it has not. */
  deliver(instead?: Init<Response>): Promise<void>
  /** The client hears that the connection broke after the request was sent. The server may still `apply` it. */
  lose(): void
  /** The client hears that no byte of the request was sent. */
  refuse(): void
  /** The client hears that it has no right to what it asks for. */
  deny(): void
}

/** A call that reached the server, in the order of departure. */
export interface SentCall {
  readonly path: string
  readonly request: unknown
}

/** A stopped watch: its messages are kept, in order, until the test lets them go. */
export interface StoppedWatch {
  readonly watch: WatchCreateRequest
  /** Kept so far. */
  readonly kept: readonly WatchResponse[]
  release(): void
}

type UnaryStop = 'request' | 'answer'

interface UnaryRule {
  readonly stop: UnaryStop
  readonly method: Method<unknown, unknown>
  readonly where: (request: never) => boolean
  readonly collect: Collector<StoppedCall<unknown, unknown>>
}

interface WatchRule {
  readonly where: (watch: WatchCreateRequest, response: WatchResponse) => boolean
  readonly collect: Collector<StoppedWatch>
}

interface DropRule {
  readonly where: (event: Event, watch: WatchCreateRequest) => boolean
  readonly collect: Collector<Event>
}

interface MessageRule {
  readonly path: string
  readonly collect: Collector<() => void>
}

/**
 * Another transport, with a hand on every message: requests and answers can be stopped, lost or applied late,
 * watches stopped or robbed of an event, streams cut. It counts what passes.
 */
export class MeddlingTransport implements Transport {
  /** Unary calls that went on to the server. */
  readonly sent: SentCall[] = []
  /** Watch answers with events that reached the client. */
  deliveries = 0
  /** Unary calls the server has not answered yet. */
  unanswered = 0
  readonly #inner: Transport
  readonly #unary = new Set<UnaryRule>()
  readonly #watches = new Set<WatchRule>()
  readonly #drops = new Set<DropRule>()
  readonly #messages = new Set<MessageRule>()
  readonly #streams = new Set<MeddledStream>()
  #vanished = false
  readonly #openings = new Collector<WatchCreateRequest>(() => {})

  constructor(inner: Transport = grpcTransport()) {
    this.#inner = inner
  }

  /** Calls of this method that went on to the server. */
  count(method: { readonly path: string }): number {
    return this.sent.filter(({ path }) => path === method.path).length
  }

  /** Stops requests before they are sent. */
  stopRequests<Request, Response>(
    method: Method<Request, Response>,
    where: (request: Request) => boolean = () => true,
  ): Trap<StoppedCall<Request, Response>> {
    return this.#trap('request', method, where)
  }

  /** Stops answers after the server has applied the request. */
  stopAnswers<Request, Response>(
    method: Method<Request, Response>,
    where: (request: Request) => boolean = () => true,
  ): Trap<StoppedCall<Request, Response>> {
    return this.#trap('answer', method, where)
  }

  /** From the first answer that matches on, everything of that watch is kept back. */
  stopWatches(
    where: (watch: WatchCreateRequest, response: WatchResponse) => boolean,
  ): Trap<StoppedWatch> & { release(): void } {
    const collect = new Collector<StoppedWatch>(() => this.#watches.delete(rule))
    const rule: WatchRule = { where, collect }
    this.#watches.add(rule)
    return Object.assign(collect, {
      release: () => {
        collect.off()
        for (const stopped of collect.items) stopped.release()
      },
    })
  }

  /** Events that match never reach the client, as servers have been known to forget some. */
  dropEvents(where: (event: Event, watch: WatchCreateRequest) => boolean): Trap<Event> {
    const collect = new Collector<Event>(() => this.#drops.delete(rule))
    const rule: DropRule = { where, collect }
    this.#drops.add(rule)
    return collect
  }

  /** Keeps back all that streams of this method bring. What is caught is how to let that one message go. */
  stopMessages(method: { readonly path: string }): Trap<() => void> {
    const collect = new Collector<() => void>(() => this.#messages.delete(rule))
    const rule: MessageRule = { path: method.path, collect }
    this.#messages.add(rule)
    return collect
  }

  /** Breaks every stream of this method. */
  cutStreams(method: { readonly path: string }): void {
    for (const stream of [...this.#streams]) if (stream.path === method.path) stream.cut()
  }

  /** From now on nothing goes out and nothing comes in, and nobody is told: the machine at the other end is gone. */
  vanish(): void {
    this.#vanished = true
    for (const stream of [...this.#streams]) stream.mute()
  }

  /** How many streams of this method are open. */
  openStreams(method: { readonly path: string }): number {
    return [...this.#streams].filter(({ path }) => path === method.path).length
  }

  /** Watches that exist now, as far as their cancelling was sent. */
  get watches(): readonly WatchCreateRequest[] {
    return [...this.#streams].flatMap(stream => stream.watches)
  }

  /** Resolves when the client has heard that the n-th watch that matches was created. */
  watching(where: (watch: WatchCreateRequest) => boolean, n = 1): Promise<WatchCreateRequest> {
    return this.#openings.matching(where, n)
  }

  connect(endpoint: Endpoint, options: LinkOptions, changed: (state: LinkState) => void): Link {
    const inner = this.#inner.connect(endpoint, options, changed)
    return {
      get state() {
        return inner.state
      },
      unary: (path, request, metadata, settled) =>
        this.#call(inner, endpoint, { path, request, metadata, settled }),
      stream: (path, metadata, events) => this.#stream(inner, path, metadata, events),
      close: () => inner.close(),
    }
  }

  #trap<Request, Response>(
    stop: UnaryStop,
    method: Method<Request, Response>,
    where: (request: Request) => boolean,
  ): Trap<StoppedCall<Request, Response>> {
    const collect = new Collector<StoppedCall<unknown, unknown>>(() => this.#unary.delete(rule))
    const rule: UnaryRule = { stop, method: method as Method<unknown, unknown>, where, collect }
    this.#unary.add(rule)
    return collect as unknown as Trap<StoppedCall<Request, Response>>
  }

  #call(link: Link, endpoint: Endpoint, call: UnaryCall): Cancellable {
    if (this.#vanished) return { cancel: () => call.settled(broken('cancelled', true)) }
    const known = unaryMethods.find(({ path }) => path === call.path)
    const request = known?.request.decode(call.request)
    const forward = (settled: (outcome: UnaryOutcome) => void) => {
      this.sent.push({ path: call.path, request })
      this.unanswered += 1
      return link.unary(call.path, call.request, call.metadata, outcome => {
        this.unanswered -= 1
        settled(outcome)
      })
    }
    const rule = [...this.#unary].find(
      ({ method, where }) => method.path === call.path && where(request as never),
    )
    if (rule === undefined) return forward(call.settled)
    const stopped = new StoppedUnary(rule.method, request, endpoint, call.settled, forward)
    if (rule.stop === 'request') rule.collect.add(stopped)
    else void stopped.apply().then(() => rule.collect.add(stopped))
    return { cancel: () => stopped.cancel() }
  }

  #stream(link: Link, path: string, metadata: CallMetadata, events: StreamEvents): ByteStream {
    const stream = new MeddledStream(path, events, handlers => link.stream(path, metadata, handlers), {
      ended: () => this.#streams.delete(stream),
      created: watch => this.#openings.add(watch),
      delivered: () => {
        this.deliveries += 1
      },
      stop: (watch, response) => [...this.#watches].find(({ where }) => where(watch, response))?.collect,
      drop: (event, watch) => {
        const rule = [...this.#drops].find(({ where }) => where(event, watch))
        rule?.collect.add(event)
        return rule !== undefined
      },
      keep: release => {
        const rule = [...this.#messages].find(each => each.path === path)
        rule?.collect.add(release)
        return rule !== undefined
      },
    })
    this.#streams.add(stream)
    if (this.#vanished) stream.mute()
    return stream
  }
}

const unaryMethods: readonly Method<never, unknown>[] = Object.values(methods).filter(
  ({ kind }) => kind === 'unary',
)

interface UnaryCall {
  readonly path: string
  readonly request: Uint8Array
  readonly metadata: CallMetadata
  readonly settled: (outcome: UnaryOutcome) => void
}

class StoppedUnary implements StoppedCall<unknown, unknown> {
  readonly request: unknown
  readonly endpoint: Endpoint
  readonly #method: Method<unknown, unknown>
  readonly #settled: (outcome: UnaryOutcome) => void
  readonly #forward: (settled: (outcome: UnaryOutcome) => void) => Cancellable
  #outcome: Promise<UnaryOutcome> | undefined
  #told = false

  constructor(
    method: Method<unknown, unknown>,
    request: unknown,
    endpoint: Endpoint,
    settled: (outcome: UnaryOutcome) => void,
    forward: (settled: (outcome: UnaryOutcome) => void) => Cancellable,
  ) {
    this.#method = method
    this.request = request
    this.endpoint = endpoint
    this.#settled = settled
    this.#forward = forward
  }

  async apply(): Promise<unknown> {
    const outcome = await this.#applied()
    return outcome.kind === 'answer' ? this.#method.response.decode(outcome.message) : outcome.failure
  }

  async deliver(instead?: Init<unknown>): Promise<void> {
    const outcome = await this.#applied()
    if (instead === undefined) return this.#tell(outcome)
    this.#tell({ kind: 'answer', message: this.#method.response.encode(instead) })
  }

  lose(): void {
    this.#tell(broken('the answer was lost', true))
  }

  refuse(): void {
    this.#tell(broken('nothing was sent', false))
  }

  deny(): void {
    const failure = { status: PERMISSION_DENIED, message: 'etcdserver: permission denied', sent: true }
    this.#tell({ kind: 'failure', failure })
  }

  cancel(): void {
    this.#tell(broken('cancelled', true))
  }

  #applied(): Promise<UnaryOutcome> {
    this.#outcome ??= new Promise(resolve => void this.#forward(resolve))
    return this.#outcome
  }

  #tell(outcome: UnaryOutcome): void {
    if (this.#told) return
    this.#told = true
    this.#settled(outcome)
  }
}

function broken(message: string, sent: boolean): UnaryOutcome {
  return { kind: 'failure', failure: { status: UNAVAILABLE, message, sent } }
}

interface StreamHooks {
  ended(): void
  created(watch: WatchCreateRequest): void
  delivered(): void
  stop(watch: WatchCreateRequest, response: WatchResponse): Collector<StoppedWatch> | undefined
  drop(event: Event, watch: WatchCreateRequest): boolean
  keep(release: () => void): boolean
}

class MeddledStream implements ByteStream {
  readonly path: string
  readonly #inner: ByteStream
  readonly #events: StreamEvents
  readonly #hooks: StreamHooks
  readonly #creates = new Map<bigint, WatchCreateRequest>()
  readonly #stopped = new Map<bigint, WatchResponse[]>()
  #over = false
  #muted = false

  constructor(
    path: string,
    events: StreamEvents,
    open: (events: StreamEvents) => ByteStream,
    hooks: StreamHooks,
  ) {
    this.path = path
    this.#events = events
    this.#hooks = hooks
    this.#inner = open({
      onMessage: message => this.#onMessage(message),
      onEnd: failure => {
        if (!this.#muted && this.#end()) events.onEnd(failure)
      },
    })
  }

  get watches(): readonly WatchCreateRequest[] {
    return [...this.#creates.values()]
  }

  send(message: Uint8Array): void {
    if (this.#muted) return
    if (this.path === methods.watch.path) {
      const { request } = methods.watch.request.decode(message)
      if (request?.kind === 'create') this.#creates.set(request.value.watchId, request.value)
      if (request?.kind === 'cancel') this.#creates.delete(request.value.watchId)
    }
    this.#inner.send(message)
  }

  halfClose(): void {
    this.#inner.halfClose()
  }

  cancel(): void {
    this.#end()
    this.#inner.cancel()
  }

  mute(): void {
    this.#muted = true
    // The server must not take its messages for a sign of life.
    this.#inner.cancel()
  }

  cut(): void {
    if (!this.#end()) return
    this.#inner.cancel()
    this.#events.onEnd({ status: UNAVAILABLE, message: 'the stream was cut', sent: true })
  }

  #end(): boolean {
    const first = !this.#over
    this.#over = true
    this.#hooks.ended()
    return first
  }

  #onMessage(message: Uint8Array): void {
    if (this.#over || this.#muted) return
    const pass = () => {
      if (!this.#over) this.#events.onMessage(message)
    }
    if (this.#hooks.keep(pass)) return
    if (this.path !== methods.watch.path) return pass()
    const response = methods.watch.response.decode(message)
    const watch = this.#creates.get(response.watchId)
    if (watch === undefined) return pass()
    const kept = this.#stopped.get(response.watchId)
    if (kept !== undefined) return void kept.push(response)
    const stopper = this.#hooks.stop(watch, response)
    if (stopper === undefined) return this.#deliver(watch, response)
    this.#stop(watch, response, stopper)
  }

  #stop(watch: WatchCreateRequest, first: WatchResponse, stopper: Collector<StoppedWatch>): void {
    const kept = [first]
    this.#stopped.set(watch.watchId, kept)
    stopper.add({
      watch,
      kept,
      release: () => {
        this.#stopped.delete(watch.watchId)
        for (const response of kept.splice(0)) this.#deliver(watch, response)
      },
    })
  }

  #deliver(watch: WatchCreateRequest, response: WatchResponse): void {
    if (this.#over) return
    const events = response.events.filter(event => !this.#hooks.drop(event, watch))
    if (response.events.length > 0 && events.length === 0) return
    if (events.length > 0) this.#hooks.delivered()
    this.#events.onMessage(methods.watch.response.encode({ ...response, events }))
    if (response.created && !response.canceled) this.#hooks.created(watch)
  }
}

/** Keeps what comes, for whoever has asked for it or will. */
class Collector<Item> implements Trap<Item> {
  readonly off: () => void
  readonly #items: Item[] = []
  readonly #waiting = new Set<() => void>()

  constructor(off: () => void) {
    this.off = off
  }

  get items(): readonly Item[] {
    return this.#items
  }

  get count(): number {
    return this.#items.length
  }

  add(item: Item): void {
    this.#items.push(item)
    for (const look of [...this.#waiting]) look()
  }

  caught(n = 1): Promise<Item> {
    return this.matching(() => true, n)
  }

  matching(where: (item: Item) => boolean, n: number): Promise<Item> {
    return new Promise(resolve => {
      const look = () => {
        const found = this.#items.filter(where)[n - 1]
        if (found === undefined) return
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }
}
