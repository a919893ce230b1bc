import { type EmbeddedEtcd, type EmbeddedOptions, startEtcd } from '../../src/embedded/index.ts'
import type { CallMetadata, Link, Transport, TransportFailure } from '../../src/support/transport.ts'
import type { Init } from '../../src/wire/codec.ts'
import type { Method } from '../../src/wire/methods.ts'
import { settle } from '../support/fake-runtime.ts'

/** A call that ended with a status. */
export class Refused extends Error {
  readonly failure: TransportFailure

  constructor(failure: TransportFailure) {
    super(failure.message)
    this.failure = failure
  }
}

export interface Stream<Request, Response> {
  /** Everything received so far, emptied by whoever reads it. */
  readonly received: Response[]
  readonly end: TransportFailure | undefined
  send(message: Init<Request>): void
  halfClose(): void
  cancel(): void
}

/** Calls methods on a link, messages typed. */
export interface Caller {
  readonly link: Link
  call<Request, Response>(
    method: Method<Request, Response>,
    request: Init<Request>,
    metadata?: CallMetadata,
  ): Promise<Response>
  stream<Request, Response>(
    method: Method<Request, Response>,
    metadata?: CallMetadata,
  ): Stream<Request, Response>
}

/** A server without sockets, and one caller for each member. */
export async function startDirect(
  options: EmbeddedOptions = {},
): Promise<{ server: EmbeddedEtcd; callers: readonly [Caller, ...Caller[]]; caller: Caller }> {
  const server = await startEtcd({ port: false, ...options })
  const callers = await Promise.all(server.endpoints.map(address => connectTo(server.transport, address)))
  return { server, callers: callers as [Caller, ...Caller[]], caller: callers[0]! }
}

export async function connectTo(transport: Transport, address: string): Promise<Caller> {
  const link = await new Promise<Link>((resolve, reject) => {
    const link: Link = transport.connect(
      { url: `http://${address}`, address, scheme: 'tcp', tls: false },
      { pingIntervalMs: 5000, pingTimeoutMs: 2000 },
      state => (state.kind === 'closed' ? reject(new Refused(state.failure)) : resolve(link)),
    )
  })
  return {
    link,
    call: (method, request, metadata = {}) =>
      new Promise((resolve, reject) => {
        link.unary(method.path, method.request.encode(request), metadata, outcome => {
          if (outcome.kind === 'answer') resolve(method.response.decode(outcome.message))
          else reject(new Refused(outcome.failure))
        })
      }),
    stream: (method, metadata = {}) => {
      const received: ReturnType<typeof method.response.decode>[] = []
      let end: TransportFailure | undefined
      const stream = link.stream(method.path, metadata, {
        onMessage: message => void received.push(method.response.decode(message)),
        onEnd: failure => {
          end = failure
        },
      })
      return {
        received,
        get end() {
          return end
        },
        send: message => stream.send(method.request.encode(message)),
        halfClose: () => stream.halfClose(),
        cancel: () => stream.cancel(),
      }
    },
  }
}

/** Lets everything that is on its way arrive: nothing takes time on a direct link, only turns. */
export async function arrive(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await settle()
}
