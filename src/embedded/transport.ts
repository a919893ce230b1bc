import { Code } from '../support/codes.ts'
import type { Runtime } from '../support/runtime.ts'
import type {
  ByteStream,
  CallMetadata,
  Cancellable,
  Endpoint,
  Link,
  LinkState,
  StreamEvents,
  Transport,
  TransportFailure,
  UnaryOutcome,
} from '../support/transport.ts'
import { brokenConnection, type Connection, type Front } from './front.ts'
import type { StatusError } from './status-error.ts'

/**
 * Calls to an embedded server without a socket. What crosses is what would cross a socket, encoded, and as
 * late: nothing is looked at before the call has returned, and what one link carries stays in order.
 */
export function directTransport(
  runtime: Runtime,
  frontAt: (address: string) => Front | undefined,
): Transport {
  return {
    connect: (endpoint, _options, changed) =>
      new DirectLink(runtime, frontAt(endpoint.address), endpoint, changed),
  }
}

class DirectLink implements Link, Connection {
  readonly #runtime: Runtime
  readonly #front: Front | undefined
  readonly #changed: (state: LinkState) => void
  readonly #calls = new Set<DirectCall>()
  #state: LinkState = { kind: 'connecting' }
  /** Why nothing gets through any more. After a GOAWAY what was on its way still does. */
  #broken: string | undefined
  #queue: (() => void)[] = []
  #isScheduled = false

  constructor(
    runtime: Runtime,
    front: Front | undefined,
    endpoint: Endpoint,
    changed: (state: LinkState) => void,
  ) {
    this.#runtime = runtime
    this.#front = front
    this.#changed = changed
    this.#later(() => {
      if (this.#state.kind === 'closed') return
      if (front === undefined || front.isClosed) {
        return this.#enter({ kind: 'closed', failure: failed(`no server at ${endpoint.address}`, false) })
      }
      front.attach(this)
      front.accept(() => this.#later(() => this.#enter({ kind: 'ready' })))
    })
  }

  get state(): LinkState {
    return this.#state
  }

  unary(
    path: string,
    request: Uint8Array,
    metadata: CallMetadata,
    settled: (outcome: UnaryOutcome) => void,
  ): Cancellable {
    const call = this.#begin(failure => settled({ kind: 'failure', failure }))
    this.#later(() => {
      if (call.isOver) return
      call.remote = this.#reached().unary(path, request, metadata, reply =>
        this.#later(() => {
          if (!call.finish()) return
          settled(
            reply.kind === 'answer'
              ? { kind: 'answer', message: reply.message }
              : { kind: 'failure', failure: failureOf(reply.error) },
          )
        }),
      )
    })
    return call
  }

  stream(path: string, metadata: CallMetadata, events: StreamEvents): ByteStream {
    const call = this.#begin(failure => events.onEnd(failure))
    const received = new Received(
      message => events.onMessage(message),
      () => call.isOver,
    )
    const ended = (failure: TransportFailure) => {
      if (call.finish()) events.onEnd(failure)
    }
    const opened = () => {
      const stream = this.#reached().open(path, metadata, {
        get backlogBytes() {
          return received.waitingBytes
        },
        send: message => this.#later(() => received.push(message)),
        end: error =>
          this.#later(() =>
            received.afterAll(() => ended(error === undefined ? ORDERLY_END : failureOf(error))),
          ),
      })
      call.remote = stream
      return stream
    }
    let stream: ReturnType<typeof opened> | undefined
    const inOrder = (action: () => void) =>
      this.#later(() => {
        if (!call.isOver) action()
      })
    inOrder(() => {
      stream = opened()
    })
    return {
      send: message => inOrder(() => stream?.onMessage(message)),
      halfClose: () => inOrder(() => stream?.onHalfClose()),
      cancel: () => call.cancel(),
    }
  }

  close(): void {
    this.#end({ status: Code.cancelled, message: 'closed by the client', sent: false })
    this.#failCalls('the connection was closed by the client')
  }

  goAway(): void {
    this.#end(failed('the server wants no more calls on this connection', false))
    this.#detachIfIdle()
  }

  destroy(): void {
    const { message } = brokenConnection()
    this.#end(failed(message, false))
    this.#failCalls(message)
  }

  #failCalls(message: string): void {
    this.#broken ??= message
    for (const call of [...this.#calls]) call.fail(failed(message, true))
    this.#detachIfIdle()
  }

  /** After a GOAWAY the connection lasts as long as its last call, and that breaks with it. */
  #detachIfIdle(): void {
    if (this.#state.kind === 'closed' && this.#calls.size === 0) this.#front?.detach(this)
  }

  #end(failure: TransportFailure): void {
    if (this.#state.kind === 'closed') return
    this.#state = { kind: 'closed', failure }
    this.#later(() => this.#changed(this.#state))
  }

  #begin(ended: (failure: TransportFailure) => void): DirectCall {
    const call: DirectCall = new DirectCall(
      failure => this.#later(() => ended(failure)),
      () => {
        this.#calls.delete(call)
        this.#detachIfIdle()
      },
    )
    this.#calls.add(call)
    if (this.#broken !== undefined) call.fail(failed(this.#broken, true))
    else if (this.#state.kind === 'closed') this.#front?.attach(this)
    return call
  }

  /** Calls are made on a ready link, and what is on its way when the link breaks is failed with it. */
  #reached(): Front {
    return this.#front as Front
  }

  #enter(state: LinkState): void {
    if (this.#state.kind === 'closed') return
    this.#state = state
    this.#changed(state)
  }

  /** All that is waiting goes in one turn; what it leads to goes in the next. */
  #later(action: () => void): void {
    this.#queue.push(action)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#runtime.defer(() => this.#flush())
  }

  #flush(): void {
    const queue = this.#queue
    this.#queue = []
    this.#isScheduled = false
    for (const action of queue) action()
  }
}

/** One call, which ends once: by an answer, by its caller, or with its link. */
class DirectCall implements Cancellable {
  remote: { cancel(): void } | undefined
  readonly #ended: (failure: TransportFailure) => void
  readonly #gone: () => void
  #isOver = false

  constructor(ended: (failure: TransportFailure) => void, gone: () => void) {
    this.#ended = ended
    this.#gone = gone
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Was it still open? */
  finish(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#gone()
    return true
  }

  cancel(): void {
    this.fail({ status: Code.cancelled, message: 'cancelled by the client', sent: this.remote !== undefined })
  }

  fail(failure: TransportFailure): void {
    if (!this.finish()) return
    this.remote?.cancel()
    this.#ended({ ...failure, sent: this.remote !== undefined })
  }
}

/** What a stream received: a reader that answers with a promise is brought the next message when it is kept. */
class Received {
  readonly #take: (message: Uint8Array) => void | Promise<void>
  readonly #isOver: () => boolean
  #busy: { readonly waiting: (() => void)[] } | undefined
  #waitingBytes = 0

  constructor(take: (message: Uint8Array) => void | Promise<void>, isOver: () => boolean) {
    this.#take = take
    this.#isOver = isOver
  }

  /** What has arrived and is not being read yet. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  push(message: Uint8Array): void {
    this.#waitingBytes += message.length
    this.afterAll(() => {
      this.#waitingBytes -= message.length
      if (this.#isOver()) return
      const taken = this.#take(message)
      if (taken instanceof Promise) this.#wait(taken)
    })
  }

  /** Runs `action` when everything before it was taken. */
  afterAll(action: () => void): void {
    if (this.#busy === undefined) action()
    else this.#busy.waiting.push(action)
  }

  #wait(taken: Promise<void>): void {
    const busy = { waiting: [] as (() => void)[] }
    this.#busy = busy
    const resume = () => {
      this.#busy = undefined
      for (const action of busy.waiting) this.afterAll(action)
    }
    taken.then(resume, resume)
  }
}

const ORDERLY_END: TransportFailure = { status: Code.ok, message: 'the server ended the stream', sent: true }

function failureOf({ status, message }: StatusError): TransportFailure {
  return { status, message, sent: true }
}

function failed(message: string, sent: boolean): TransportFailure {
  return { status: Code.unavailable, message, sent }
}
