/**
 * The byte-level seam between the engine and whatever carries its requests: gRPC over a socket, an embedded
 * server in this process, a simulated network. Messages cross it encoded, so the codec is on our side of it.
 */

/** Where a server listens. */
export interface Endpoint {
  /** As people write it, without credentials: `http://127.0.0.1:2379`, `unix:/run/etcd.sock`. */
  readonly url: string
  /** Host and port, or the path of a socket. */
  readonly address: string
  readonly scheme: 'tcp' | 'unix'
  readonly tls: boolean
}

/** Key and certificate material in PEM, and the name to expect in the server's certificate. */
export interface TlsOptions {
  /** Whose signature on the server's certificate is good, in PEM. Default: those the system trusts. */
  readonly ca?: string | Uint8Array | undefined
  /** Our own certificate, in PEM, for servers that want one. Goes with `key`. */
  readonly cert?: string | Uint8Array | undefined
  readonly key?: string | Uint8Array | undefined
  /** Expected in the server's certificate instead of the endpoint's host. */
  readonly serverName?: string | undefined
}

export interface LinkOptions {
  readonly tls?: TlsOptions | undefined
  /** How often a link with open calls asks the peer for a sign of life. */
  readonly pingIntervalMs: number
  /** How long that sign may take before the link counts as dead. */
  readonly pingTimeoutMs: number
}

/** Headers sent with a call. Treated as immutable, so a transport may cache by identity. */
export type CallMetadata = Readonly<Record<string, string>>

/**
 * Why a call got no answer. `sent` is the fact retries depend on: `false` only when no byte of the request
 * can have reached the peer; when in doubt, `true`.
 */
export interface TransportFailure {
  /** gRPC status code, whichever the peer sends. */
  readonly status: number
  readonly message: string
  readonly sent: boolean
  readonly cause?: unknown
}

export type UnaryOutcome =
  | { readonly kind: 'answer'; readonly message: Uint8Array }
  | { readonly kind: 'failure'; readonly failure: TransportFailure }

/**
 * connecting ──▶ ready ──▶ closed, or straight to closed. Closed is final: whoever wants another connection
 * asks the transport for another link. Calls in flight on a closed link still end, each exactly once; where the
 * server only wants no more of them, by their answers.
 */
export type LinkState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'closed'; readonly failure: TransportFailure }

/** One connection to one endpoint. Calls may be made in state `ready` only. */
export interface Link {
  readonly state: LinkState
  /**
   * Sends one request and expects one answer. `settled` is called once, never before `unary` has returned.
   * Cancelling settles the call with a failure too.
   */
  unary(
    path: string,
    request: Uint8Array,
    metadata: CallMetadata,
    settled: (outcome: UnaryOutcome) => void,
  ): Cancellable
  /** Opens a stream. No event is delivered before `stream` has returned. */
  stream(path: string, metadata: CallMetadata, events: StreamEvents): ByteStream
  /** Ends the link and every call on it, now. */
  close(): void
}

export interface Cancellable {
  cancel(): void
}

export interface ByteStream extends Cancellable {
  send(message: Uint8Array): void
  /** No more messages from us; the peer may still answer. */
  halfClose(): void
}

export interface StreamEvents {
  /** Until a promise it returns is kept no further message is brought: what follows waits with the peer. */
  onMessage(message: Uint8Array): void | Promise<void>
  /** Once, and last. Status 0 is an orderly end by the peer, which for endless streams is a disconnect too. */
  onEnd(failure: TransportFailure): void
}

export interface Transport {
  /** Starts connecting. `changed` is called after each later change of state, never before `connect` has returned. */
  connect(endpoint: Endpoint, options: LinkOptions, changed: (state: LinkState) => void): Link
}
