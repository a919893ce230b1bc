import { Code } from '../support/codes.ts'
import type { CallMetadata } from '../support/transport.ts'
import type { Init } from '../wire/codec.ts'
import type { Method } from '../wire/methods.ts'
import type { Member } from './member.ts'
import type { Caller, Need } from './need.ts'
import { StatusError } from './status-error.ts'

/**
 * The calls a server answers: handlers speak messages, routes speak bytes. A service is a list of routes made
 * from the core; whoever carries the bytes, a socket or a call in this process, finds them by their path.
 */
export type Service = readonly Route[]

export type Route = UnaryRoute | StreamRoute

export interface UnaryRoute {
  readonly kind: 'unary'
  readonly path: string
  /** Throws or rejects with what the call ends with. */
  answer(request: Uint8Array, context: CallContext): Uint8Array | Promise<Uint8Array>
}

export interface StreamRoute {
  readonly kind: 'stream'
  readonly path: string
  open(context: CallContext, out: Outlet<Uint8Array>): Inlet<Uint8Array>
}

/** One call as its handler sees it. */
export interface CallContext extends Caller {
  /** The member the call came to. */
  readonly member: Member
  /** Names in lower case. */
  readonly metadata: CallMetadata
  /** Size of the encoded request; 0 for streams. */
  readonly requestBytes: number
}

/** What a stream sends. Messages after the end are dropped. */
export interface Outlet<Message> {
  send(message: Message): void
  /** Without an error, in order. */
  end(error?: StatusError): void
}

/** What a stream receives. Cancelling is told by the context. */
export interface Inlet<Message> {
  onMessage(message: Message): void
  /** The caller sends no more. */
  onHalfClose(): void
}

export type UnaryHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Init<Response> | Promise<Init<Response>>

export function unary<Request, Response>(
  method: Method<Request, Response>,
  handler: UnaryHandler<Request, Response>,
  need: Need | ((request: Request) => Need) = 'nothing',
): UnaryRoute {
  const needOf = typeof need === 'function' ? need : () => need
  return {
    kind: 'unary',
    path: method.path,
    answer(bytes, context) {
      const request = decoded(method, bytes)
      const { member } = context
      const needed = needOf(request)
      if (needed === 'nothing' || member.inTouch) {
        const response = handler(request, context)
        if (!(response instanceof Promise)) return method.response.encode(response)
        return response.then(message => method.response.encode(message))
      }
      return member
        .during(needed, context, async () => handler(request, context))
        .then(message => method.response.encode(message))
    },
  }
}

export function serverStream<Request, Response>(
  method: Method<Request, Response>,
  handler: (request: Request, out: Outlet<Init<Response>>, context: CallContext) => void | Promise<void>,
): StreamRoute {
  return {
    kind: 'stream',
    path: method.path,
    open(context, out) {
      const encoded = encoding(method, out)
      let asked = false
      return {
        onMessage(bytes) {
          if (asked) return
          asked = true
          guarded(encoded, () => handler(decoded(method, bytes), encoded, context))
        },
        onHalfClose() {
          if (!asked) encoded.end(new StatusError(Code.internal, 'the stream ended before its request'))
        },
      }
    },
  }
}

export function duplex<Request, Response>(
  method: Method<Request, Response>,
  handler: (out: Outlet<Init<Response>>, context: CallContext) => Inlet<Request>,
): StreamRoute {
  return {
    kind: 'stream',
    path: method.path,
    open(context, out) {
      const encoded = encoding(method, out)
      const inlet = handler(encoded, context)
      return {
        onMessage: bytes => guarded(encoded, () => inlet.onMessage(decoded(method, bytes))),
        onHalfClose: () => guarded(encoded, () => inlet.onHalfClose()),
      }
    },
  }
}

function decoded<Request>(method: Method<Request, unknown>, bytes: Uint8Array): Request {
  try {
    return method.request.decode(bytes)
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    throw new StatusError(Code.internal, `grpc: error unmarshalling request: ${words}`)
  }
}

function encoding<Response>(
  method: Method<unknown, Response>,
  out: Outlet<Uint8Array>,
): Outlet<Init<Response>> {
  return {
    send: message => out.send(method.response.encode(message)),
    end: error => out.end(error),
  }
}

/** What a handler throws ends its stream. */
function guarded(out: Outlet<never>, step: () => void | Promise<void>): void {
  const fail = (error: unknown) => out.end(StatusError.from(error))
  try {
    const done = step()
    if (done instanceof Promise) done.catch(fail)
  } catch (error) {
    fail(error)
  }
}
