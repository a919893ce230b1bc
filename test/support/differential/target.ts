import type {
  ByteStream,
  CallMetadata,
  Endpoint,
  Link,
  Transport,
  TransportFailure,
} from '../../../src/support/transport.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { Method } from '../../../src/wire/methods.ts'

/** What a server said to one request. */
export type Reply<Response> =
  | { readonly kind: 'answer'; readonly message: Response }
  | { readonly kind: 'refusal'; readonly status: number; readonly message: string }

/** One server, whichever it is, called message by message over one connection. */
export class Target {
  readonly name: string
  readonly #link: Link
  /** A connection on which nothing is asked does not keep a process alive by itself. */
  readonly #hold: NodeJS.Timeout = setInterval(() => {}, 60_000)

  private constructor(name: string, link: Link) {
    this.name = name
    this.#link = link
  }

  /** Resolves when the connection is ready. */
  static connect(name: string, transport: Transport, address: string): Promise<Target> {
    const endpoint: Endpoint = { url: `http://${address}`, address, scheme: 'tcp', tls: false }
    const hold = setInterval(() => {}, 60_000)
    const connected = new Promise<Target>((resolve, reject) => {
      const link: Link = transport.connect(
        endpoint,
        { pingIntervalMs: 60_000, pingTimeoutMs: 60_000 },
        state => {
          if (state.kind === 'ready') resolve(new Target(name, link))
          if (state.kind === 'closed') reject(new Error(`${name}: ${state.failure.message}`))
        },
      )
    })
    return connected.finally(() => clearInterval(hold))
  }

  get isGone(): boolean {
    return this.#link.state.kind !== 'ready'
  }

  call<Request, Response>(
    method: Method<Request, Response>,
    request: Init<Request>,
    token?: string,
  ): Promise<Reply<Response>> {
    if (this.isGone) throw new Error(`${this.name} is gone`)
    return new Promise(resolve => {
      this.#link.unary(method.path, method.request.encode(request), metadata(token), outcome => {
        if (outcome.kind === 'failure') return resolve(refusal(outcome.failure))
        resolve({ kind: 'answer', message: method.response.decode(outcome.message) })
      })
    })
  }

  open<Request, Response>(
    method: Method<Request, Response>,
    token?: string,
  ): Conversation<Request, Response> {
    return new Conversation(this.#link, method, metadata(token))
  }

  close(): void {
    clearInterval(this.#hold)
    this.#link.close()
  }
}

/** A stream whose messages are kept, to be waited for. */
export class Conversation<Request, Response> {
  /** Everything that came so far. */
  readonly messages: Response[] = []
  readonly #method: Method<Request, Response>
  readonly #stream: ByteStream
  readonly #waiters = new Set<() => void>()
  #end: TransportFailure | undefined

  constructor(link: Link, method: Method<Request, Response>, headers: CallMetadata) {
    this.#method = method
    this.#stream = link.stream(method.path, headers, {
      onMessage: bytes => {
        this.messages.push(method.response.decode(bytes))
        this.#wake()
      },
      onEnd: failure => {
        this.#end = failure
        this.#wake()
      },
    })
  }

  get end(): TransportFailure | undefined {
    return this.#end
  }

  send(request: Init<Request>): void {
    this.#stream.send(this.#method.request.encode(request))
  }

  halfClose(): void {
    this.#stream.halfClose()
  }

  cancel(): void {
    this.#stream.cancel()
  }

  /** Resolves when the condition holds, looking again after every message; false when the stream ended first. */
  async until(holds: () => boolean): Promise<boolean> {
    while (!holds()) {
      if (this.#end !== undefined) return false
      await new Promise<void>(resolve => this.#waiters.add(resolve))
    }
    return true
  }

  #wake(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const look of waiters) look()
  }
}

function metadata(token: string | undefined): CallMetadata {
  return token === undefined ? {} : { token }
}

function refusal({ status, message }: TransportFailure): Reply<never> {
  return { kind: 'refusal', status, message }
}
