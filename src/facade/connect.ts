import { type ConnectOptions, checkConnect, ownConnect } from '../client/connect-options.ts'
import { Engine } from '../client/engine.ts'
import { grpcTransport } from '../client/grpc-transport.ts'
import { KeySpace } from '../client/key-space.ts'
import { onAbort } from '../support/abort.ts'
import { nodeRuntime } from '../support/node-runtime.ts'
import { EtcdError } from '../wire/errors.ts'
import { Etcd } from './etcd.ts'

const CONNECT_MS = 5000
const REQUEST_MS = 10_000

/**
 * Resolves when one endpoint has spoken HTTP/2 and taken the credentials. Rejects with what each endpoint said when
 * none has within `connectTimeoutMs`; at once when the credentials are refused, or TLS by all of them.
 */
export async function connect(
  endpoints: string | readonly string[],
  options: ConnectOptions = {},
): Promise<Etcd> {
  const parsed = checkConnect(endpoints, options)
  const own = ownConnect(options)
  const { signal, credentials, tls, connectTimeoutMs = CONNECT_MS, requestTimeoutMs = REQUEST_MS } = own
  signal?.throwIfAborted()
  const runtime = own.runtime ?? nodeRuntime()
  const transport = own.transport ?? grpcTransport()
  const engine = new Engine({ endpoints: parsed, transport, runtime, credentials, tls, requestTimeoutMs })
  const giveUp = new AbortController()
  const timer = runtime.setTimer(connectTimeoutMs, () => {
    const said = engine.connections.complaints('data')
    giveUp.abort(
      new EtcdError(
        'UNAVAILABLE',
        `[UNAVAILABLE] no endpoint could be reached within ${connectTimeoutMs} ms: ${said}`,
        {
          outcome: 'not-sent',
        },
      ),
    )
  })
  const stopListening = onAbort(signal, reason => giveUp.abort(reason))
  try {
    await engine.reach(giveUp.signal)
    return new Etcd(engine, KeySpace.whole)
  } catch (error) {
    engine.close()
    throw error
  } finally {
    timer.cancel()
    stopListening()
  }
}
