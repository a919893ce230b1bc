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
  TransportFailure,
  UnaryOutcome,
} from '../../src/support/transport.ts'
import type { Init } from '../../src/wire/codec.ts'
import { type Method, methods } from '../../src/wire/methods.ts'

/** What a server does with a connection: takes it, refuses it, or says nothing at all. */
export type Greeting = 'ready' | 'refuse' | 'silent'

export const UNAVAILABLE = 14

/**
 * A transport whose other end is the test: it decides which endpoints can be reached, sees every request
 * decoded, and answers, fails or ignores each. With `respond`, calls are answered as they come.
 */
export class FakeTransport implements Transport {
  /** Every link ever asked for, in order. */
  readonly links: FakeLink[] = []
  /** Every unary call ever made, in order. */
  readonly calls: FakeCall[] = []
  /** Every stream ever opened, in order. */
  readonly streams: FakeByteStream[] = []
  /** Called for each unary call, after it was recorded; may answer it at once. */
  respond: (call: FakeCall) => void = () => {}
  readonly #greetings = new Map<string, Greeting>()

  /** From the next connection on. */
  greet(address: string, greeting: Greeting): this {
    this.#greetings.set(address, greeting)
    return this
  }

  connect(endpoint: Endpoint, options: LinkOptions, changed: (state: LinkState) => void): Link {
    const link = new FakeLink(this, endpoint, options, changed)
    this.links.push(link)
    const greeting = this.#greetings.get(endpoint.address) ?? 'ready'
    if (greeting === 'ready') queueMicrotask(() => link.becomeReady())
    if (greeting === 'refuse') queueMicrotask(() => link.lose('connection refused'))
    return link
  }

  /** The last link to this address. */
  link(address: string): FakeLink {
    const found = this.links.findLast(link => link.endpoint.address === address)
    if (found === undefined) throw new Error(`nobody has connected to ${address}`)
    return found
  }

  /** Calls the test has neither answered nor failed, nor the client cancelled. */
  get open(): readonly FakeCall[] {
    return this.calls.filter(call => call.state === 'open')
  }

  /** The one open call. */
  get onlyOpen(): FakeCall {
    const [call, ...more] = this.open
    if (call === undefined || more.length > 0) throw new Error(`${this.open.length} calls are open, not one`)
    return call
  }

  /** Which addresses calls went to, in order. */
  get route(): readonly string[] {
    return this.calls.map(({ address }) => address)
  }
}

export class FakeLink implements Link {
  readonly endpoint: Endpoint
  readonly options: LinkOptions
  readonly #transport: FakeTransport
  readonly #changed: (state: LinkState) => void
  readonly #calls = new Set<FakeCall | FakeByteStream>()
  #state: LinkState = { kind: 'connecting' }

  constructor(
    transport: FakeTransport,
    endpoint: Endpoint,
    options: LinkOptions,
    changed: (state: LinkState) => void,
  ) {
    this.#transport = transport
    this.endpoint = endpoint
    this.options = options
    this.#changed = changed
  }

  get state(): LinkState {
    return this.#state
  }

  becomeReady(): void {
    this.#enter({ kind: 'ready' })
  }

  /** The connection ends, or never came to be; calls on it fail as ambiguous. */
  lose(message = 'connection dropped', status: number = UNAVAILABLE): void {
    this.#end({ status, message, sent: false })
  }

  close(): void {
    this.#end({ status: 1, message: 'closed by the client', sent: false })
  }

  /** Lets a call outlive the link. */
  forget(call: FakeCall | FakeByteStream): void {
    this.#calls.delete(call)
  }

  unary(
    path: string,
    request: Uint8Array,
    metadata: CallMetadata,
    settled: (outcome: UnaryOutcome) => void,
  ): Cancellable {
    if (this.#state.kind !== 'ready') throw new Error(`a call on a link that is ${this.#state.kind}`)
    const call = new FakeCall(this.endpoint, path, request, metadata, settled)
    this.#calls.add(call)
    this.#transport.calls.push(call)
    queueMicrotask(() => this.#transport.respond(call))
    return { cancel: () => call.cancel() }
  }

  stream(path: string, metadata: CallMetadata, events: StreamEvents): ByteStream {
    if (this.#state.kind !== 'ready') throw new Error(`a stream on a link that is ${this.#state.kind}`)
    const stream = new FakeByteStream(this.endpoint, path, metadata, events)
    this.#calls.add(stream)
    this.#transport.streams.push(stream)
    return stream
  }

  #end(failure: TransportFailure): void {
    if (this.#state.kind === 'closed') return
    this.#enter({ kind: 'closed', failure })
    for (const call of this.#calls) call.fail(failure.message, { status: failure.status })
  }

  #enter(next: LinkState): void {
    if (this.#state.kind === 'closed') return
    this.#state = next
    this.#changed(next)
  }
}

export interface FailureDetails {
  /** gRPC status; default UNAVAILABLE. */
  readonly status?: number
  /** Default: true. */
  readonly sent?: boolean
}

/** One unary call, seen from the server. */
export class FakeCall {
  readonly endpoint: Endpoint
  readonly path: string
  readonly metadata: CallMetadata
  readonly #bytes: Uint8Array
  readonly #settled: (outcome: UnaryOutcome) => void
  state: 'open' | 'answered' | 'failed' | 'cancelled' = 'open'

  constructor(
    endpoint: Endpoint,
    path: string,
    bytes: Uint8Array,
    metadata: CallMetadata,
    settled: (outcome: UnaryOutcome) => void,
  ) {
    this.endpoint = endpoint
    this.path = path
    this.#bytes = bytes
    this.metadata = metadata
    this.#settled = settled
  }

  get address(): string {
    return this.endpoint.address
  }

  /** The request, as this method has it. */
  request<Request, Response>(method: Method<Request, Response>): Request {
    if (method.path !== this.path) throw new Error(`this is a call of ${this.path}`)
    return method.request.decode(this.#bytes)
  }

  /** Answers with a message of the method that was called; without a header it gets one at revision 1. */
  answer(message: Readonly<Record<string, unknown>> = {}): void {
    const method = methodOf(this.path)
    const whole = { header: header(), ...message } as Init<unknown>
    this.#settle('answered', { kind: 'answer', message: method.response.encode(whole) })
  }

  answerBytes(message: Uint8Array): void {
    this.#settle('answered', { kind: 'answer', message })
  }

  fail(message: string, { status = UNAVAILABLE, sent = true }: FailureDetails = {}): void {
    this.#settle('failed', { kind: 'failure', failure: { status, message, sent } })
  }

  cancel(): void {
    this.#settle('cancelled', {
      kind: 'failure',
      failure: { status: 1, message: 'cancelled by the client', sent: true },
    })
  }

  #settle(state: 'answered' | 'failed' | 'cancelled', outcome: UnaryOutcome): void {
    if (this.state !== 'open') return
    this.state = state
    queueMicrotask(() => this.#settled(outcome))
  }
}

/** One stream, seen from the server. */
export class FakeByteStream implements ByteStream {
  readonly endpoint: Endpoint
  readonly path: string
  readonly metadata: CallMetadata
  readonly sent: Uint8Array[] = []
  readonly #events: StreamEvents
  state: 'open' | 'ended' | 'cancelled' = 'open'
  halfClosed = false

  constructor(endpoint: Endpoint, path: string, metadata: CallMetadata, events: StreamEvents) {
    this.endpoint = endpoint
    this.path = path
    this.metadata = metadata
    this.#events = events
  }

  send(message: Uint8Array): void {
    if (this.state === 'open' && !this.halfClosed) this.sent.push(message)
  }

  halfClose(): void {
    this.halfClosed = true
  }

  cancel(): void {
    if (this.state === 'open') this.state = 'cancelled'
  }

  answer(message: Readonly<Record<string, unknown>>): void {
    const method = methodOf(this.path)
    if (this.state === 'open') this.#events.onMessage(method.response.encode(message as Init<unknown>))
  }

  /** The server ends the stream in order. */
  end(): void {
    this.fail('the server ended the stream', { status: 0 })
  }

  fail(message: string, { status = UNAVAILABLE, sent = true }: FailureDetails = {}): void {
    if (this.state !== 'open') return
    this.state = 'ended'
    this.#events.onEnd({ status, message, sent })
  }
}

/** The header of an answer. */
export function header(revision = 1n, clusterId = 7n): Readonly<Record<string, bigint>> {
  return { clusterId, memberId: 1n, revision, raftTerm: 1n }
}

function methodOf(path: string): Method<unknown, unknown> {
  const method = Object.values(methods as unknown as Record<string, Method<unknown, unknown>>).find(
    each => each.path === path,
  )
  if (method === undefined) throw new Error(`no method has the path ${path}`)
  return method
}
