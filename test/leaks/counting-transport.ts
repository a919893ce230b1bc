import type {
  ByteStream,
  CallMetadata,
  Endpoint,
  Link,
  LinkOptions,
  LinkState,
  StreamEvents,
  Transport,
  TransportFailure,
} from '../../src/support/transport.ts'
import { methods } from '../../src/wire/methods.ts'

/** What is open on a transport now. It counts and keeps nothing, so that it can run for as long as it likes. */
export class CountingTransport implements Transport {
  links = 0
  streams = 0
  /** Watches the server has said it created and has not said it ended. */
  watches = 0
  readonly #inner: Transport

  constructor(inner: Transport) {
    this.#inner = inner
  }

  connect(endpoint: Endpoint, options: LinkOptions, changed: (state: LinkState) => void): Link {
    this.links += 1
    let open = true
    const gone = () => {
      if (open) this.links -= 1
      open = false
    }
    const link = this.#inner.connect(endpoint, options, state => {
      if (state.kind === 'closed') gone()
      changed(state)
    })
    return {
      get state() {
        return link.state
      },
      unary: (...call) => link.unary(...call),
      stream: (path, metadata, events) => this.#stream(link, path, metadata, events),
      close: () => {
        gone()
        link.close()
      },
    }
  }

  #stream(link: Link, path: string, metadata: CallMetadata, events: StreamEvents): ByteStream {
    this.streams += 1
    const watches = new Set<bigint>()
    let open = true
    const gone = () => {
      if (!open) return
      open = false
      this.streams -= 1
      this.watches -= watches.size
    }
    const stream = link.stream(path, metadata, {
      onMessage: message => {
        if (open && path === methods.watch.path) this.#count(watches, message)
        return events.onMessage(message)
      },
      onEnd: (failure: TransportFailure) => {
        gone()
        events.onEnd(failure)
      },
    })
    return {
      send: message => stream.send(message),
      halfClose: () => stream.halfClose(),
      cancel: () => {
        gone()
        stream.cancel()
      },
    }
  }

  #count(watches: Set<bigint>, message: Uint8Array): void {
    const { created, canceled, watchId } = methods.watch.response.decode(message)
    const before = watches.size
    if (canceled) watches.delete(watchId)
    else if (created) watches.add(watchId)
    this.watches += watches.size - before
  }
}
