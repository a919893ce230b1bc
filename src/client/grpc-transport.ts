import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import {
  Channel,
  type ChannelCredentials,
  type ChannelOptions,
  connectivityState,
  credentials,
  Metadata,
  status,
} from '@grpc/grpc-js'
import { ownOnly } from '../support/own.ts'
import type {
  ByteStream,
  CallMetadata,
  Cancellable,
  Endpoint,
  Link,
  LinkOptions,
  LinkState,
  StreamEvents,
  Transport,
  TransportFailure,
  UnaryOutcome,
} from '../support/transport.ts'

/** What Go's client allows as well; the server itself refuses requests above 1.5 MiB. */
const SEND_LIMIT_BYTES = 2 * 1024 * 1024

/** As etcd would say, had it been sent. */
const TOO_LARGE: TransportFailure = {
  status: status.INVALID_ARGUMENT,
  message: 'request is too large',
  sent: false,
}

const NEVER = 2 ** 31 - 1

/**
 * gRPC over sockets, by `@grpc/grpc-js`.
 *
 * A link is one channel that is thrown away when it leaves READY, so reconnecting, its backoff and the limit
 * on connecting stay with us: grpc-js itself waits without end for a peer that accepts and never speaks, and
 * backs off for up to two minutes. Calls go to a channel only while it is READY; hence `sent` is what we
 * know, not what an error text suggests. Calls are made on the channel, below the client surface of grpc-js,
 * which would capture a stack and run its interceptors for each.
 */
export function grpcTransport(): Transport {
  const metadata = new MetadataCache()
  return {
    connect: (endpoint, options, changed) => new GrpcLink(endpoint, ownOnly(options), metadata, changed),
  }
}

/** What `Channel.createCall` gives: one call below the client surface. */
type Call = ReturnType<Channel['createCall']>

class GrpcLink implements Link {
  readonly #channel: Channel
  readonly #metadata: MetadataCache
  readonly #changed: (state: LinkState) => void
  #state: LinkState = { kind: 'connecting' }
  /** What the last call that failed said: a channel that leaves READY does not tell why by itself. */
  #lastFailure: TransportFailure | undefined
  /** Open calls: closing a channel does not end them. */
  readonly #calls = new Set<Call>()

  constructor(
    endpoint: Endpoint,
    options: LinkOptions,
    metadata: MetadataCache,
    changed: (state: LinkState) => void,
  ) {
    this.#metadata = metadata
    this.#changed = changed
    this.#channel = new Channel(
      targetOf(endpoint),
      credentialsOf(endpoint, options),
      channelOptions(endpoint, options),
    )
    this.#follow(this.#channel.getConnectivityState(true))
  }

  get state(): LinkState {
    // The channel may have left READY in this turn of the event loop, before its watcher was told.
    if (
      this.#state.kind === 'ready' &&
      this.#channel.getConnectivityState(false) !== connectivityState.READY
    ) {
      this.#enter({ kind: 'closed', failure: this.#disconnected() })
    }
    return this.#state
  }

  unary(
    path: string,
    request: Uint8Array,
    metadata: CallMetadata,
    settled: (outcome: UnaryOutcome) => void,
  ): Cancellable {
    if (request.length > SEND_LIMIT_BYTES) {
      void Promise.resolve().then(() => settled({ kind: 'failure', failure: TOO_LARGE }))
      return { cancel: ignore }
    }
    const call = this.#createCall(path)
    let open = true
    call.start(this.#metadata.of(metadata), {
      onReceiveMetadata: ignore,
      // The answer is the answer: what the trailers after it say cannot take it back.
      onReceiveMessage: (message: Buffer) => {
        if (!open) return
        open = false
        settled({ kind: 'answer', message })
      },
      onReceiveStatus: ended => {
        this.#calls.delete(call)
        if (!open) return
        open = false
        settled({
          kind: 'failure',
          failure: this.#failed(ended.code, ended.details || 'no message received'),
        })
      },
    })
    call.sendMessageWithContext({}, asBuffer(request))
    call.halfClose()
    call.startRead()
    return { cancel: () => call.cancelWithStatus(status.CANCELLED, 'cancelled by the client') }
  }

  stream(path: string, metadata: CallMetadata, events: StreamEvents): ByteStream {
    const call = this.#createCall(path)
    call.start(this.#metadata.of(metadata), {
      onReceiveMetadata: ignore,
      onReceiveMessage: (message: Buffer) => {
        // A reader that takes its time says so by a promise; until it is kept the window of the stream stays shut.
        const taken: unknown = events.onMessage(message)
        if (taken instanceof Promise) void taken.then(() => call.startRead())
        else call.startRead()
      },
      onReceiveStatus: ended => {
        this.#calls.delete(call)
        events.onEnd(
          ended.code === status.OK
            ? { status: status.OK, message: 'the server ended the stream', sent: true }
            : this.#failed(ended.code, ended.details),
        )
      },
    })
    call.startRead()
    return new WriteQueue(call)
  }

  close(): void {
    if (this.#state.kind === 'closed') return
    this.#enter({
      kind: 'closed',
      failure: { status: status.CANCELLED, message: 'closed by the client', sent: false },
    })
    for (const call of [...this.#calls])
      call.cancelWithStatus(status.UNAVAILABLE, 'the connection was closed by the client')
  }

  #createCall(path: string): Call {
    const call = this.#channel.createCall(path, Number.POSITIVE_INFINITY, null, null, null)
    this.#calls.add(call)
    return call
  }

  /** Follows the channel from one state to the next until it is of no more use. */
  #follow(from: connectivityState): void {
    this.#channel.watchConnectivityState(from, Number.POSITIVE_INFINITY, () => {
      if (this.#state.kind === 'closed') return
      const now = this.#channel.getConnectivityState(false)
      switch (now) {
        case connectivityState.READY:
          this.#enter({ kind: 'ready' })
          return this.#follow(now)
        case connectivityState.IDLE:
        case connectivityState.CONNECTING:
          if (this.#state.kind === 'ready')
            return this.#enter({ kind: 'closed', failure: this.#disconnected() })
          return this.#follow(now)
        case connectivityState.TRANSIENT_FAILURE:
          if (this.#state.kind === 'ready')
            return this.#enter({ kind: 'closed', failure: this.#disconnected() })
          return this.#askWhy()
        case connectivityState.SHUTDOWN:
          return this.#enter({ kind: 'closed', failure: this.#disconnected() })
      }
    })
  }

  /** A channel in TRANSIENT_FAILURE tells its reason only to a call, which it refuses without sending anything. */
  #askWhy(): void {
    const call = this.#channel.createCall('/', Number.POSITIVE_INFINITY, null, null, null)
    call.start(new Metadata(), {
      onReceiveMetadata: ignore,
      onReceiveMessage: ignore,
      onReceiveStatus: ended =>
        this.#enter({
          kind: 'closed',
          failure: { ...failure(ended.code, plainly(ended.details)), sent: false },
        }),
    })
    call.halfClose()
  }

  #enter(next: LinkState): void {
    if (this.#state.kind === 'closed') return
    this.#state = next
    // Calls in flight outlive their channel: after an orderly GOAWAY they still get their answers.
    if (next.kind === 'closed') this.#channel.close()
    this.#changed(next)
  }

  #failed(code: status, details: unknown): TransportFailure {
    this.#lastFailure = failure(code === status.OK ? status.INTERNAL : code, details)
    return this.#lastFailure
  }

  #disconnected(): TransportFailure {
    return { ...(this.#lastFailure ?? failure(status.UNAVAILABLE, 'the connection is gone')), sent: false }
  }
}

/** grpc-js takes a message only after it has taken the one before; more would overwrite each other. */
class WriteQueue implements ByteStream {
  readonly #call: Call
  readonly #waiting: Uint8Array[] = []
  #state: 'idle' | 'writing' | 'closing' | 'closed' = 'idle'

  constructor(call: Call) {
    this.#call = call
  }

  send(message: Uint8Array): void {
    switch (this.#state) {
      case 'idle':
        this.#state = 'writing'
        return this.#write(message)
      case 'writing':
        this.#waiting.push(message)
        return
      case 'closing':
      case 'closed':
        return
    }
  }

  halfClose(): void {
    switch (this.#state) {
      case 'idle':
        this.#state = 'closed'
        return this.#call.halfClose()
      case 'writing':
        this.#state = 'closing'
        return
      case 'closing':
      case 'closed':
        return
    }
  }

  cancel(): void {
    this.#state = 'closed'
    this.#waiting.length = 0
    this.#call.cancelWithStatus(status.CANCELLED, 'cancelled by the client')
  }

  #write(message: Uint8Array): void {
    this.#call.sendMessageWithContext({ callback: () => this.#written() }, asBuffer(message))
  }

  #written(): void {
    if (this.#state === 'closed') return
    const next = this.#waiting.shift()
    if (next !== undefined) return this.#write(next)
    if (this.#state === 'writing') {
      this.#state = 'idle'
    } else {
      this.#state = 'closed'
      this.#call.halfClose()
    }
  }
}

/** One grpc-js object per set of headers, not one per call. */
class MetadataCache {
  readonly #byRecord = new WeakMap<CallMetadata, Metadata>()

  of(record: CallMetadata): Metadata {
    let metadata = this.#byRecord.get(record)
    if (metadata === undefined) {
      metadata = new Metadata()
      for (const [name, value] of Object.entries(record)) metadata.set(name, value)
      this.#byRecord.set(record, metadata)
    }
    return metadata
  }
}

function targetOf(endpoint: Endpoint): string {
  if (endpoint.scheme === 'unix') return `unix:${endpoint.address}`
  const kind = isIP(hostOf(endpoint))
  return `${kind === 4 ? 'ipv4' : kind === 6 ? 'ipv6' : 'dns'}:${endpoint.address}`
}

/** The host of `host:port`, brackets of an IPv6 address removed. */
function hostOf(endpoint: Endpoint): string {
  return endpoint.address.slice(0, endpoint.address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1')
}

/** Sent as server name where the endpoint is an address: TLS has no server names for those, and Node deprecates them. */
const NO_SERVER_NAME = 'etcd'

function credentialsOf(endpoint: Endpoint, { tls = {} }: LinkOptions): ChannelCredentials {
  if (!endpoint.tls) return credentials.createInsecure()
  const host = tls.serverName ?? hostOf(endpoint)
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert), {
    checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
  })
}

function pem(text: string | Uint8Array | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text)
}

function channelOptions(endpoint: Endpoint, options: LinkOptions): ChannelOptions {
  const name = options.tls?.serverName ?? (isIP(hostOf(endpoint)) > 0 ? NO_SERVER_NAME : undefined)
  return {
    'grpc.keepalive_time_ms': options.pingIntervalMs,
    'grpc.keepalive_timeout_ms': options.pingTimeoutMs,
    // etcd answers pings on a connection without calls with GOAWAY.
    'grpc.keepalive_permit_without_calls': 0,
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': SEND_LIMIT_BYTES,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.service_config_disable_resolution': 1,
    // Two links to one endpoint are two connections: bulk reads on one never delay a renewal on the other.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.client_idle_timeout_ms': NEVER,
    ...(endpoint.tls && name !== undefined ? { 'grpc.ssl_target_name_override': name } : {}),
    ...(endpoint.tls && options.tls?.serverName !== undefined
      ? { 'grpc.default_authority': options.tls.serverName }
      : {}),
  }
}

/** What went wrong, without what grpc-js wraps around it; for people only, nothing is decided by it. */
function plainly(details: unknown): unknown {
  if (typeof details !== 'string') return details

  const reason = /Last error: (?:Error: )?(.*?)\s*(?:\(\d{4}-\d\d-\d\dT[^)]*\))?\.?\s*Resolution note:/s.exec(
    details,
  )?.[1]
  return reason === undefined || reason === '' ? details : reason
}

/** Both come from the peer as they are: grpc-js hands on a status that is no number, and no words at all. */
function failure(code: unknown, message: unknown): TransportFailure {
  return {
    status: Number.isInteger(code) ? (code as number) : status.UNKNOWN,
    message: typeof message === 'string' ? message : '',
    // RFC 9113, 8.7: what a server refuses this way it has not looked at. grpc-js knows no other way to say so.
    sent: message !== 'Stream refused by server',
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function ignore(): void {}
