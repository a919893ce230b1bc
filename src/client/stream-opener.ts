import { ONCE } from '../support/abort.ts'
import { Backoff } from '../support/backoff.ts'
import { Code } from '../support/codes.ts'
import { ownOnly } from '../support/own.ts'
import type { Runtime } from '../support/runtime.ts'
import type { ByteStream, CallMetadata, Endpoint, TransportFailure } from '../support/transport.ts'
import { judge } from '../wire/status.ts'
import type { Connections, ReadyConnection } from './connections.ts'
import { notUnderstood } from './not-understood.ts'
import type { OpenStream, StreamHandlers, StreamMethod, StreamOptions, StreamSource } from './streams.ts'
import { isFinal, type Tokens } from './tokens.ts'

/** Between two attempts to get a token: the server pays for each with a hash made to be slow. */
const AUTHENTICATE = { initialMs: 100, maxMs: 2000 }

/** A connection that can carry a call now, and the headers to make it with. */
export interface Reached {
  readonly ready: ReadyConnection
  readonly metadata: CallMetadata
}

/** Opens the streams of the engines on whatever connection is ready. */
export class StreamOpener implements StreamSource {
  readonly #connections: Connections
  readonly #tokens: Tokens
  readonly #runtime: Runtime

  constructor(connections: Connections, tokens: Tokens, runtime: Runtime) {
    this.#connections = connections
    this.#tokens = tokens
    this.#runtime = runtime
  }

  async open<Request, Response>(
    method: StreamMethod<Request, Response>,
    options: StreamOptions,
    handlers: StreamHandlers<Response>,
  ): Promise<OpenStream<Request>> {
    const { ready, metadata } = await this.reach(options)
    return this.#start(method, ready, metadata, handlers)
  }

  /** Waits for a connection of the lane that has taken the credentials. Rejects as `open` does. */
  async reach(options: StreamOptions): Promise<Reached> {
    const { lane, avoid, only, requireLeader = true, signal } = ownOnly(options)
    const backoff = new Backoff(this.#runtime, AUTHENTICATE)
    let avoided = avoid
    for (;;) {
      const ready = await this.#connections.wait(lane, {
        avoid: avoided === undefined ? undefined : new Set([avoided]),
        only,
        signal,
      })
      const { endpoint } = ready.connection
      const token = await this.#tokens.obtain(endpoint, ready.link, requireLeader, signal)
      signal.throwIfAborted()
      if (token.kind === 'failure') {
        const verdict = judge(token.failure, { method: 'Authenticate', endpoint: endpoint.url })
        if (isFinal(verdict)) throw verdict.error
        avoided = endpoint
        await this.#pause(backoff.delay(), signal)
      } else if (ready.link.state.kind === 'ready') {
        return { ready, metadata: token.metadata }
      }
    }
  }

  forgetToken(endpoint: Endpoint): void {
    this.#tokens.refused(endpoint, undefined)
  }

  #start<Request, Response>(
    method: StreamMethod<Request, Response>,
    { connection, link }: ReadyConnection,
    metadata: CallMetadata,
    handlers: StreamHandlers<Response>,
  ): OpenStream<Request> {
    const { endpoint } = connection
    let stream: ByteStream | undefined
    let heard = false
    const finish = (failure: TransportFailure) => {
      if (stream === undefined) return
      stream = undefined
      if (failure.status === Code.ok && handlers.onComplete !== undefined) return handlers.onComplete()
      // An orderly end of a stream that has no end is a disconnect, too.
      const verdict = judge(failure.status === Code.ok ? { ...failure, status: Code.unavailable } : failure, {
        method: method.path,
        endpoint: endpoint.url,
      })
      connection.judged(failure, verdict)
      // The election service ends what it was asked with a dead token in order, and never says a word.
      const speechless = failure.status === Code.ok && method.kind === 'server-stream' && !heard
      if (speechless || verdict.retry === 'after-authentication') this.#tokens.refused(endpoint, metadata)
      handlers.onEnd(verdict.error)
    }
    stream = link.stream(method.path, metadata, {
      onMessage: bytes => {
        if (stream === undefined) return
        let message: Response
        try {
          message = method.response.decode(bytes)
        } catch (error) {
          stream.cancel()
          stream = undefined
          handlers.onEnd(notUnderstood(method.path, endpoint, error))
          return
        }
        heard = true
        connection.answered()
        return handlers.onMessage(message)
      },
      onEnd: finish,
    })
    return {
      endpoint,
      send: message => {
        stream?.send(method.request.encode(message))
        if (method.kind === 'server-stream') stream?.halfClose()
      },
      cancel: () => {
        stream?.cancel()
        stream = undefined
      },
    }
  }

  #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#runtime.setTimer(delayMs, () => {
        signal.removeEventListener('abort', stop)
        resolve()
      })
      const stop = () => {
        timer.cancel()
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, ONCE)
    })
  }
}
