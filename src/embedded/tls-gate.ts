import type { Socket } from 'node:net'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import type { CheckedTls } from './server-tls.ts'

/**
 * A fatal alert, `bad_certificate`, as a record in the clear.
 *
 * Node judges the certificate of a client when the handshake is done, and then drops the socket without a word:
 * the client cannot tell that from a server that crashed, and tries again and again. Up to TLS 1.2 it still waits
 * for our last message at that moment, in the clear, so that a refusal can be sent as TLS has it.
 */
const BAD_CERTIFICATE = Uint8Array.of(21, 3, 3, 0, 2, 2, 42)

/** Speaks TLS on sockets that were accepted, and hands on those whose peer may come in. */
export class TlsGate {
  readonly #options: TlsOptions

  constructor({ cert, key, ca }: CheckedTls) {
    const asking = { ca, requestCert: true, rejectUnauthorized: false, maxVersion: 'TLSv1.2' } as const
    this.#options = { cert, key, ALPNProtocols: ['h2'], ...(ca === undefined ? {} : asking) }
  }

  accept(socket: Socket, admit: (secured: TLSSocket) => void): void {
    // One for each socket: it does not tell which of its sockets became which of those it hands on.
    const server = createServer(this.#options, secured => {
      secured.on('error', () => {})
      if (this.#options.requestCert === true && !secured.authorized) {
        return void socket.write(BAD_CERTIFICATE, () => secured.destroy())
      }
      admit(secured)
    })
    server.emit('connection', socket)
  }
}
