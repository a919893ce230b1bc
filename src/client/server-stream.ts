import type { Endpoint } from '../support/transport.ts'
import type { Init } from '../wire/codec.ts'
import { EtcdError } from '../wire/errors.ts'
import type { Engine } from './engine.ts'
import type { OpenStream, StreamHandlers, StreamMethod } from './streams.ts'

/** A member that has not accepted a connection and a token by then is not going to. */
const OPEN_TIMEOUT_MS = 10_000

export interface ServerStreamOptions {
  readonly only?: Endpoint | undefined
  readonly signal: AbortSignal | undefined
}

/** As those of any stream; the end may be the reason of a signal. */
export type ServerStreamHandlers<Response> = Omit<StreamHandlers<Response>, 'onEnd'> & {
  onEnd(reason: unknown): void
}

/**
 * One request, and all the server has to say to it, for the one iteration that takes it. Resolves with how to leave.
 *
 * Ended by the signal and by the closing of the client: after a GOAWAY the stream lives on a connection nobody knows
 * any more, which would keep the process alive for as long as the server talks.
 */
export async function serverStream<Request, Response>(
  { aborts, connections, runtime, streams }: Engine,
  method: StreamMethod<Request, Response>,
  request: Init<Request>,
  { only, signal }: ServerStreamOptions,
  handlers: ServerStreamHandlers<Response>,
): Promise<() => void> {
  signal?.throwIfAborted()
  const opening = new AbortController()
  let stream: OpenStream<Request> | undefined
  const end = (reason: unknown) => {
    opening.abort(reason)
    stream?.cancel()
    handlers.onEnd(reason)
  }
  const stopAbort = aborts.on(signal, end)
  const stopClosing = aborts.on(connections.closing, end)
  const leave = () => {
    stopAbort()
    stopClosing()
    stream?.cancel()
  }
  const timer = runtime.setTimer(OPEN_TIMEOUT_MS, () => {
    const name = method.path.slice(method.path.lastIndexOf('/') + 1)
    opening.abort(
      new EtcdError(
        'UNAVAILABLE',
        `[UNAVAILABLE] ${name} was not sent, no endpoint could be reached: ${connections.complaints('data')}`,
        { outcome: 'not-sent' },
      ),
    )
  })
  try {
    stream = await streams.open(method, { lane: 'data', only, signal: opening.signal }, handlers)
  } catch (error) {
    leave()
    throw error
  } finally {
    timer.cancel()
  }
  stream.send(request)
  return leave
}
