import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net'
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js'
import type { Front } from './front.ts'
import type { CheckedTls } from './server-tls.ts'
import type { Route } from './service.ts'
import type { StatusError } from './status-error.ts'
import { TlsGate } from './tls-gate.ts'

/** After a GOAWAY calls may go on without end. When this is over grpc-js breaks newer connections, too. */
const GOAWAY_GRACE_MS = 2 ** 31 - 1

/**
 * The limit is the front's, with etcd's words, and it sees a message when it is whole and unpacked. What is larger
 * than this besides is refused before: a compressed message may be a thousand times smaller than what is in it.
 */
const BEYOND_LIMIT_BYTES = 16 * 1024 * 1024

export interface GrpcFrontOptions {
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  readonly tls: CheckedTls | undefined
  readonly routes: Iterable<Route>
}

/** gRPC over sockets for one member. Sockets are ours, so that they can be broken and counted. */
export class GrpcFront {
  readonly #server: Server
  /** TLS is spoken before gRPC begins. */
  readonly #injector: ReturnType<Server['createConnectionInjector']>
  readonly #gate: TlsGate | undefined
  readonly #listener: NetServer
  readonly #sockets = new Set<Socket>()
  readonly #front: Front

  /** Rejects when the address cannot be had. */
  static async listen(front: Front, options: GrpcFrontOptions): Promise<GrpcFront> {
    const { host, port } = options
    const grpc = new GrpcFront(front, options)
    await new Promise<void>((resolve, reject) => {
      grpc.#listener.once('error', reject)
      grpc.#listener.listen({ host, port }, () => {
        grpc.#listener.off('error', reject)
        resolve()
      })
    })
    return grpc
  }

  private constructor(front: Front, { routes, tls }: GrpcFrontOptions) {
    this.#front = front
    this.#server = new Server({
      'grpc.max_receive_message_length': front.receiveLimit + BEYOND_LIMIT_BYTES,
      'grpc.max_send_message_length': -1,
      'grpc.enable_channelz': 0,
    })
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
    this.#gate = tls === undefined ? undefined : new TlsGate(tls)
    for (const route of routes) this.#register(route)
    this.#listener = createServer({ noDelay: true }, socket => this.#accept(socket))
    front.attach({ goAway: () => this.#injector.drain(GOAWAY_GRACE_MS), destroy: () => this.#breakSockets() })
  }

  /** Where it listens: `host:port`. */
  get address(): string {
    const { address, port, family } = this.#listener.address() as AddressInfo
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
  }

  /** Resolves when its port is free and no socket is left: the front has broken them before. */
  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#listener.close(() => resolve()))
    this.#injector.destroy()
    this.#server.forceShutdown()
    await closed
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Until it is handed on, and that may take as long as the member stands still, nobody else listens.
    socket.on('error', ignore)
    this.#front.accept(() => {
      if (this.#gate === undefined) this.#injector.injectConnection(socket)
      else this.#gate.accept(socket, secured => this.#injector.injectConnection(secured))
    })
  }

  #breakSockets(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #register({ path, kind }: Route): void {
    if (kind === 'unary') {
      this.#server.register(path, this.#unary(path), asBuffer, asItIs, 'unary')
    } else {
      // On the wire a server stream is a duplex one whose caller sends a single message.
      this.#server.register(path, this.#stream(path), asBuffer, asItIs, 'bidi')
    }
  }

  #unary(path: string) {
    return (call: ServerUnaryCall<Buffer, Uint8Array>, answer: sendUnaryData<Uint8Array>): void => {
      const ours = this.#front.unary(path, call.request, headersOf(call), reply => {
        if (reply.kind === 'answer') answer(null, reply.message)
        else answer(statusOf(reply.error))
      })
      call.on('cancelled', () => ours.cancel())
    }
  }

  #stream(path: string) {
    return (call: ServerDuplexStream<Buffer, Uint8Array>): void => {
      let backlogBytes = 0
      const ours = this.#front.open(path, headersOf(call), {
        get backlogBytes() {
          return backlogBytes
        },
        send: message => {
          backlogBytes += message.length
          call.write(message, () => {
            backlogBytes -= message.length
          })
        },
        end: error => {
          if (error === undefined) call.end()
          else call.emit('error', statusOf(error))
        },
      })
      call.on('data', (message: Buffer) => ours.onMessage(message))
      call.on('end', () => ours.onHalfClose())
      call.on('cancelled', () => ours.cancel())
      // A stream whose connection broke is told of by 'cancelled'.
      call.on('error', ignore)
    }
  }
}

type Headers = Readonly<Record<string, string>>

/** What etcd reads of them. */
const HEADERS = ['hasleader', 'token', 'authorization'] as const

function headersOf({ metadata }: { readonly metadata: { get(name: string): (string | Buffer)[] } }): Headers {
  const headers: Record<string, string> = {}
  for (const name of HEADERS) {
    const [value] = metadata.get(name)
    if (typeof value === 'string') headers[name] = value
  }
  return headers
}

function statusOf({ status, message }: StatusError): {
  code: number
  details: string
  name: string
  message: string
} {
  return { code: status, details: message, name: 'StatusError', message }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function asItIs(bytes: Buffer): Buffer {
  return bytes
}

function ignore(): void {}
