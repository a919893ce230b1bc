import type {
  ByteStream,
  Endpoint,
  Link,
  LinkOptions,
  LinkState,
  Transport,
} from '../../src/support/transport.ts'

/** Another transport, whose answers and stream messages are what `tamper` makes of them. */
export class TamperingTransport implements Transport {
  /** Called with each message that comes, before the client sees it. */
  tamper: (message: Uint8Array, path: string) => Uint8Array = message => message
  readonly #inner: Transport

  constructor(inner: Transport) {
    this.#inner = inner
  }

  connect(endpoint: Endpoint, options: LinkOptions, changed: (state: LinkState) => void): Link {
    const link = this.#inner.connect(endpoint, options, changed)
    return {
      get state() {
        return link.state
      },
      unary: (path, request, metadata, settled) =>
        link.unary(path, request, metadata, outcome =>
          settled(
            outcome.kind === 'answer' ? { ...outcome, message: this.tamper(outcome.message, path) } : outcome,
          ),
        ),
      stream: (path, metadata, events): ByteStream =>
        link.stream(path, metadata, {
          onMessage: message => events.onMessage(this.tamper(message, path)),
          onEnd: failure => events.onEnd(failure),
        }),
      close: () => link.close(),
    }
  }
}
