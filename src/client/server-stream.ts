import type { Endpoint } from '../support/transport.ts'
import type { Init } from '../wire/codec.ts'
import { EtcdError } from '../wire/errors.ts'
import type { Engine } from './engine.ts'
import type { OpenStream, StreamHandlers, StreamMethod } from './streams.ts'

/** A member that has not accepted a connection and a token by then is not going to. */
const OPEN_TIMEOUT_MS = 10_000

export interface ServerStreamOptions {
  readonly only?: Endpoint | undefined
  readonly requireLeader?: boolean | undefined
  readonly signal: AbortSignal | undefined
}

/** As those of any stream; the end may be the reason of a signal. */
export type ServerStreamHandlers<Response> = Omit<StreamHandlers<Response>, 'onEnd'> & {
  onEnd(reason: unknown): void
}

/**
 * One request, and all the server has to say to it, for the one iteration that takes it. Resolves with how to leave.
 * Where the token turns out to be dead before the first word, it is asked once more, with another.
 *
 * Ended by the signal and by the closing of the client: after a GOAWAY the stream lives on a connection nobody knows
 * any more, which would keep the process alive for as long as the server talks.
 */
export async function serverStream<Request, Response>(
  { aborts, authenticated, connections, runtime, streams }: Engine,
  method: StreamMethod<Request, Response>,
  request: Init<Request>,
  { only, requireLeader, signal }: ServerStreamOptions,
  handlers: ServerStreamHandlers<Response>,
): Promise<() => void> {
  signal?.throwIfAborted()
  const opening = new AbortController()
  let stream: OpenStream<Request> | undefined
  let mayAskAgain = authenticated
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
    opening.abort()
    stream?.cancel()
  }
  const open = async (): Promise<void> => {
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
    const options = { lane: 'data', only, requireLeader, signal: opening.signal } as const
    const opened = await streams.open(method, options, listening).finally(() => timer.cancel())
    // Given up in the moment between its opening and our hearing of it.
    if (opening.signal.aborted) return opened.cancel()
    stream = opened
    stream.send(request)
  }
  const listening: StreamHandlers<Response> = {
    onMessage: message => {
      mayAskAgain = false
      return handlers.onMessage(message)
    },
    ...(handlers.onComplete && { onComplete: () => handlers.onComplete?.() }),
    onEnd: error => {
      if (!mayAskAgain || error.code !== 'UNAUTHENTICATED') return handlers.onEnd(error)
      mayAskAgain = false
      open().catch(reason => handlers.onEnd(reason))
    },
  }
  try {
    await open()
  } catch (error) {
    leave()
    throw error
  }
  return leave
}
