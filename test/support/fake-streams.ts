import type {
  OpenStream,
  StreamHandlers,
  StreamMethod,
  StreamOptions,
  StreamSource,
} from '../../src/client/streams.ts'
import type { Endpoint } from '../../src/support/transport.ts'
import type { Init } from '../../src/wire/codec.ts'
import { EtcdError } from '../../src/wire/errors.ts'

/** Whether a stream opens by itself, or waits for `admit` or `refuse`. */
export type Doorkeeper = 'admits' | 'waits'

/**
 * A source of streams whose other end is the test: it sees what was opened and sent, answers, and ends streams.
 * An endpoint is picked in the order given, the one to avoid only when there is no other.
 */
export class FakeStreams implements StreamSource {
  /** Every call of `open`, in order. */
  readonly openings: FakeOpening[] = []
  /** Endpoints whose token was reported as refused. */
  readonly forgotten: Endpoint[] = []
  doorkeeper: Doorkeeper = 'admits'
  readonly #endpoints: readonly Endpoint[]

  constructor(...addresses: string[]) {
    this.#endpoints = (addresses.length > 0 ? addresses : ['a:2379', 'b:2379', 'c:2379']).map(endpoint)
  }

  open<Request, Response>(
    method: StreamMethod<Request, Response>,
    options: StreamOptions,
    handlers: StreamHandlers<Response>,
  ): Promise<OpenStream<Request>> {
    const picked =
      this.#endpoints.find(({ address }) => address !== options.avoid?.address) ?? this.#endpoints[0]
    const stream = new FakeStream<Request, Response>(picked as Endpoint, method, handlers)
    // The test that reads the opening knows which method's messages it holds.
    const opening = new FakeOpening(method.path, options, stream as unknown as FakeStream<never, never>)
    this.openings.push(opening)
    if (this.doorkeeper === 'admits') opening.admit()
    return opening.settled as unknown as Promise<OpenStream<Request>>
  }

  forgetToken(endpoint: Endpoint): void {
    this.forgotten.push(endpoint)
  }

  /** The stream of the opening with this number, or of the last one. */
  stream<Request, Response>(index: number = this.openings.length - 1): FakeStream<Request, Response> {
    const opening = this.openings[index]
    if (opening === undefined) throw new Error(`no stream ${index} was opened, only ${this.openings.length}`)
    return opening.stream as unknown as FakeStream<Request, Response>
  }

  /** Those neither cancelled nor ended. */
  get live(): readonly FakeStream<never, never>[] {
    return this.openings
      .filter(opening => opening.admitted && opening.stream.state === 'live')
      .map(({ stream }) => stream)
  }
}

/** One call of `open`. */
export class FakeOpening {
  readonly path: string
  readonly options: StreamOptions
  readonly stream: FakeStream<never, never>
  readonly settled: Promise<FakeStream<never, never>>
  admitted = false
  #resolve: (stream: FakeStream<never, never>) => void = () => {}
  #reject: (reason: unknown) => void = () => {}

  constructor(path: string, options: StreamOptions, stream: FakeStream<never, never>) {
    this.path = path
    this.options = options
    this.stream = stream
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    options.signal.addEventListener('abort', () => this.#reject(options.signal.reason), { once: true })
  }

  /** Too late once the opening was given up. */
  admit(): void {
    if (this.options.signal.aborted) return
    this.admitted = true
    this.#resolve(this.stream)
  }

  refuse(error: unknown): void {
    this.#reject(error)
  }
}

export class FakeStream<Request, Response> implements OpenStream<Request> {
  readonly endpoint: Endpoint
  /** What the engine sent, in order, as a server would read it. */
  readonly sent: Request[] = []
  state: 'live' | 'cancelled' | 'ended' = 'live'
  readonly #method: StreamMethod<Request, Response>
  readonly #handlers: StreamHandlers<Response>

  constructor(
    endpoint: Endpoint,
    method: StreamMethod<Request, Response>,
    handlers: StreamHandlers<Response>,
  ) {
    this.endpoint = endpoint
    this.#method = method
    this.#handlers = handlers
  }

  send(message: Init<Request>): void {
    const { request } = this.#method
    if (this.state === 'live') this.sent.push(request.decode(request.encode(message)))
  }

  cancel(): void {
    if (this.state === 'live') this.state = 'cancelled'
  }

  /** Delivers a message, unless the stream is over: then nothing can arrive any more. */
  answer(message: Response): void {
    if (this.state === 'live') this.#handlers.onMessage(message)
  }

  end(error: EtcdError = new EtcdError('UNAVAILABLE', 'the stream broke', { outcome: 'unknown' })): void {
    if (this.state !== 'live') return
    this.state = 'ended'
    this.#handlers.onEnd(error)
  }
}

export function endpoint(address: string): Endpoint {
  return { url: `http://${address}`, address, scheme: 'tcp', tls: false }
}
