import type { Endpoint } from '../support/transport.ts'
import type { Init, MessageCodec } from '../wire/codec.ts'
import type { EtcdError } from '../wire/errors.ts'
import type { MethodKind } from '../wire/methods.ts'

/** Leases and the recipes' watches travel apart from the rest, so that bulk reads never delay a renewal. */
export type Lane = 'control' | 'data'

/** A streaming call of the API, messages typed. */
export interface StreamMethod<Request, Response> {
  readonly path: string
  /** A server stream takes one request: our side ends after it. Default: duplex. */
  readonly kind?: MethodKind | undefined
  readonly request: MessageCodec<Request>
  readonly response: MessageCodec<Response>
}

export interface StreamHandlers<Response> {
  /** The next message is brought once the promise, if there is one, has resolved: a slow reader slows the server. */
  onMessage(message: Response): void | Promise<void>
  /** The server ended the stream in order. Called instead of `onEnd` by streams that have an end. */
  onComplete?(): void
  /** Once, and last: the stream is gone, and why. An orderly end by the server arrives here too, as UNAVAILABLE. */
  onEnd(error: EtcdError): void
}

export interface OpenStream<Request> {
  readonly endpoint: Endpoint
  /** Ignored after the end. */
  send(message: Init<Request>): void
  /** Ends the stream. No handler is called afterwards. */
  cancel(): void
}

export interface StreamOptions {
  readonly lane: Lane
  /** Prefer any other endpoint: the last stream to this one went wrong. */
  readonly avoid?: Endpoint | undefined
  /** No other endpoint will do. */
  readonly only?: Endpoint | undefined
  /** A member without a leader refuses at once. Default: yes. */
  readonly requireLeader?: boolean | undefined
  /** Gives up waiting for a connection. Cancelling an open stream is `cancel()`. */
  readonly signal: AbortSignal
}

/** Where engines get streams from: a ready connection, the right token, `hasleader` set where it is wanted. */
export interface StreamSource {
  /**
   * Opens a stream on the first connection of the lane that is ready, waiting for one as long as the signal
   * allows. Rejects with the signal's reason, with CLIENT_CLOSED, or with an authentication error that
   * trying again cannot mend (AUTH_FAILED); never because endpoints are unreachable.
   */
  open<Request, Response>(
    method: StreamMethod<Request, Response>,
    options: StreamOptions,
    handlers: StreamHandlers<Response>,
  ): Promise<OpenStream<Request>>
  /** A token used on this endpoint was refused in the middle of a stream: the next stream fetches a new one. */
  forgetToken(endpoint: Endpoint): void
}
