import type { Agenda } from '../support/agenda.ts'
import { Backoff } from '../support/backoff.ts'
import type { DeadlineEntry } from '../support/deadline-heap.ts'
import type { Runtime } from '../support/runtime.ts'
import type { Endpoint } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import type { SendInstant } from './lease-clock.ts'
import type { OpenStream, StreamSource } from './streams.ts'

export interface RenewalLineEvents {
  /** There is a stream to send on. */
  opened(): void
  /** What was sent on the current stream has to be sent on the next one. */
  broken(): void
  /** `sent` is when the renewal was sent that this answers. */
  answered(id: bigint, sent: SendInstant, ttlMs: number): void
}

/**
 *           open                    opened
 *   idle ─────────▶ opening ───────────────────────▶ open
 *                   │ ▲  ▲                           │ │ replace: the old one becomes `#retired`
 *              failed │  └───────────────────────────┼─┘
 *                   ▼ │ after a backoff              │ ended
 *                  pausing ◀─────────────────────────┘
 *
 *   hangUp: to idle from anywhere.   closed: by close, or once the client is closed; final.
 */
type LineState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'opening'; readonly talk: Talk; readonly abort: AbortController }
  | { readonly kind: 'open'; readonly talk: Talk; readonly stream: OpenStream<LeaseKeepAliveRequest> }
  | { readonly kind: 'pausing'; readonly pause: DeadlineEntry<() => void> }
  | { readonly kind: 'closed' }

/** One stream, from its opening on: when the renewals were sent on it that are not answered. At most one per lease. */
interface Talk {
  readonly unanswered: Map<bigint, SendInstant>
  /** Its end, when that came before the news that it was open. */
  ended: EtcdError | undefined
}

/**
 * The stream renewals go out on, and the one it replaced, which is listened to until the current one has
 * answered or nothing is left for it to answer.
 */
export class RenewalLine {
  readonly #streams: StreamSource
  readonly #runtime: Runtime
  readonly #agenda: Agenda
  readonly #events: RenewalLineEvents
  readonly #backoff: Backoff
  #state: LineState = { kind: 'idle' }
  #retired: Extract<LineState, { kind: 'open' }> | undefined
  #trouble: unknown

  constructor(streams: StreamSource, runtime: Runtime, agenda: Agenda, events: RenewalLineEvents) {
    this.#streams = streams
    this.#runtime = runtime
    this.#agenda = agenda
    this.#events = events
    this.#backoff = new Backoff(runtime, { initialMs: 50, maxMs: 1000 })
  }

  /** What went wrong since something was last answered. */
  get trouble(): unknown {
    return this.#trouble
  }

  get ready(): boolean {
    return this.#state.kind === 'open'
  }

  /** Does the current stream owe an answer about this lease? */
  awaits(id: bigint): boolean {
    return this.#state.kind === 'open' && this.#state.talk.unanswered.has(id)
  }

  /** Has a stream opened unless there is one, or there will be. */
  open(): void {
    if (this.#state.kind === 'idle') this.#open(undefined)
  }

  /** On the current stream, unless the same lease is unanswered there: then that answer will do. */
  send(id: bigint, sent: SendInstant): void {
    if (this.#state.kind !== 'open' || this.#state.talk.unanswered.has(id)) return
    this.#state.talk.unanswered.set(id, sent)
    this.#state.stream.send({ id })
  }

  /** The current stream is stuck: has another opened, elsewhere if possible. */
  replace(): void {
    if (this.#state.kind !== 'open') return
    this.#dismiss()
    this.#retired = this.#state
    this.#open(this.#state.stream.endpoint)
    this.#events.broken()
  }

  /** Nobody needs the line any more, for now. */
  hangUp(): void {
    const state = this.#state
    if (state.kind === 'closed') return
    this.#state = { kind: 'idle' }
    this.#dismiss()
    this.#backoff.reset()
    this.#trouble = undefined
    if (state.kind === 'opening') state.abort.abort()
    if (state.kind === 'open') state.stream.cancel()
    if (state.kind === 'pausing') this.#agenda.remove(state.pause)
  }

  close(): void {
    this.hangUp()
    this.#state = { kind: 'closed' }
  }

  #open(avoid: Endpoint | undefined): void {
    const abort = new AbortController()
    const talk: Talk = { unanswered: new Map(), ended: undefined }
    const opening: LineState = { kind: 'opening', talk, abort }
    this.#state = opening
    const options = { lane: 'control', avoid, signal: abort.signal } as const
    const handlers = {
      onMessage: (message: LeaseKeepAliveResponse) => this.#heard(talk, message),
      onEnd: (error: EtcdError) => this.#ended(talk, error),
    }
    this.#streams.open(methods.leaseKeepAlive, options, handlers).then(
      stream => {
        // Given up meanwhile.
        if (this.#state !== opening) return stream.cancel()
        this.#state = { kind: 'open', talk, stream }
        if (talk.ended === undefined) this.#events.opened()
        else this.#ended(talk, talk.ended)
      },
      (error: unknown) => {
        if (this.#state !== opening) return
        this.#trouble = error
        if (EtcdError.is(error, 'CLIENT_CLOSED')) this.#state = { kind: 'closed' }
        else this.#pause(avoid)
      },
    )
  }

  #heard(talk: Talk, { id, ttl }: LeaseKeepAliveResponse): void {
    const sent = talk.unanswered.get(id)
    // Never asked here.
    if (sent === undefined) return
    talk.unanswered.delete(id)
    if (talk === this.#retired?.talk) {
      if (talk.unanswered.size === 0) this.#dismiss()
    } else {
      this.#backoff.reset()
      this.#trouble = undefined
      this.#dismiss()
    }
    this.#events.answered(id, sent, Number(ttl) * 1000)
  }

  #ended(talk: Talk, error: EtcdError): void {
    this.#trouble = error
    // A refused token says nothing against the endpoint.
    const refused = error.code === 'UNAUTHENTICATED'
    if (talk === this.#retired?.talk) {
      if (refused) this.#streams.forgetToken(this.#retired.stream.endpoint)
      this.#retired = undefined
    } else if (this.#state.kind === 'open' && this.#state.talk === talk) {
      const { endpoint } = this.#state.stream
      if (refused) this.#streams.forgetToken(endpoint)
      this.#pause(refused ? undefined : endpoint)
      this.#events.broken()
    } else {
      talk.ended = error
    }
  }

  #pause(avoid: Endpoint | undefined): void {
    const pause = this.#agenda.add(this.#runtime.now() + this.#backoff.delay(), () => {
      this.#agenda.remove(pause)
      this.#open(avoid)
    })
    this.#state = { kind: 'pausing', pause }
  }

  #dismiss(): void {
    const retired = this.#retired
    this.#retired = undefined
    retired?.stream.cancel()
  }
}
