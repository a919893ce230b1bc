import { onAbort, quietController } from '../support/abort.ts'
import type { Timer } from '../support/runtime.ts'
import type { Endpoint, Link } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'
import { judge, oneLine } from '../wire/status.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import type { Lane } from './streams.ts'

/** How long the preferred endpoint may keep a caller waiting before the next one is asked as well. */
const STAGGER_MS = 250

/** What there is to say of an endpoint that has said nothing. */
const SILENCE: Readonly<Record<Connection['kind'], string>> = {
  idle: 'not connected yet',
  connecting: 'still connecting',
  cooling: 'not connected yet',
  ready: 'connected, but it gave no answer',
  closed: 'closed',
}

/** A connection that can carry a call now. */
export interface ReadyConnection {
  readonly connection: Connection
  readonly link: Link
}

export interface WaitOptions {
  /** Any other endpoint is better, for a while. */
  readonly avoid?: ReadonlySet<Endpoint> | undefined
  /** No other endpoint will do. */
  readonly only?: Endpoint | undefined
  readonly signal?: AbortSignal | undefined
}

interface Waiter {
  readonly lane: Lane
  readonly avoid: ReadonlySet<Endpoint> | undefined
  readonly only: Endpoint | undefined
  /** From then on an endpoint to be avoided is better than none. */
  readonly pickyUntilMs: number
  settle(result: ReadyConnection | EtcdError): void
}

/**
 * The endpoints of a client, one connection each per lane, and which of them to use: stay with one that works,
 * move when it fails. Connections are made when somebody waits for one. Callers wait here, never inside the
 * transport, so a call that was not handed over has certainly not been sent.
 */
export class Connections {
  readonly endpoints: readonly Endpoint[]
  readonly #options: ConnectionOptions
  readonly #lanes: Readonly<Record<Lane, Connection[]>>
  /** The endpoint each lane stays with. */
  readonly #preferred: Record<Lane, number>
  readonly #waiters = new Set<Waiter>()
  readonly #staggers = new Map<Lane, Timer>()
  readonly #closing = quietController()

  constructor(endpoints: readonly Endpoint[], options: ConnectionOptions) {
    this.endpoints = endpoints
    this.#options = options
    const connect = (lane: Lane) =>
      endpoints.map(
        endpoint => new Connection(endpoint, lane, options, connection => this.#onChange(connection)),
      )
    this.#lanes = { control: connect('control'), data: connect('data') }
    this.#preferred = { control: 0, data: 0 }
  }

  /** Aborts, with CLIENT_CLOSED, when the client closes. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** A connection that is ready now; another endpoint than those to avoid, where one is ready. */
  pick(lane: Lane, avoid?: ReadonlySet<Endpoint>): ReadyConnection | undefined {
    const connections = this.#lanes[lane]
    const first = connections[this.#preferred[lane]]!
    const link = first.ready
    if (link !== undefined && !avoid?.has(first.endpoint) && !first.suspect)
      return { connection: first, link }
    let best: { ready: ReadyConnection; index: number; rank: number } | undefined
    for (const [index, connection] of connections.entries()) {
      const link = connection.ready
      if (link === undefined) continue
      const rank = (avoid?.has(connection.endpoint) ? 2 : 0) + (connection.suspect ? 1 : 0)
      if (best === undefined || rank < best.rank) best = { ready: { connection, link }, index, rank }
    }
    if (best === undefined) return undefined
    // Nothing that is ready can be trusted: have another one at hand for the next call.
    if (best.ready.connection.suspect) connections.find(({ kind }) => kind === 'idle')?.want()
    // Avoiding is the wish of one caller; distrust moves the lane.
    if (best.rank === 0 && (first.suspect || first.ready === undefined)) this.#preferred[lane] = best.index
    return best.ready
  }

  /**
   * Waits for a connection. Rejects when the signal aborts (with its reason), when the client closes, and when
   * every endpoint refuses for a reason that waiting cannot mend; not because nobody can be reached.
   */
  wait(lane: Lane, { avoid, only, signal }: WaitOptions = {}): Promise<ReadyConnection> {
    if (this.closing.aborted) return Promise.reject(this.closing.reason)
    return new Promise((resolve, reject) => {
      let stopListening = () => {}
      const waiter: Waiter = {
        lane,
        avoid,
        only,
        pickyUntilMs: this.#options.runtime.now() + STAGGER_MS,
        settle: result => {
          this.#remove(waiter)
          stopListening()
          if (result instanceof EtcdError) reject(result)
          else resolve(result)
        },
      }
      this.#waiters.add(waiter)
      stopListening = onAbort(signal, reason => {
        this.#remove(waiter)
        reject(reason)
      })
      this.#serve(lane)
      this.#wake(lane)
    })
  }

  /** What each endpoint said last, for the error of a call that found none. */
  complaints(lane: Lane): string {
    return this.#lanes[lane]
      .map(
        ({ endpoint, lastFailure, kind }) =>
          `${endpoint.url}: ${lastFailure === undefined ? SILENCE[kind] : oneLine(lastFailure.message)}`,
      )
      .join('; ')
  }

  close(error: EtcdError): void {
    this.#closing.abort(error)
    for (const waiter of [...this.#waiters]) waiter.settle(error)
    for (const connection of [...this.#lanes.control, ...this.#lanes.data]) connection.close()
  }

  #acceptable({ lane, avoid, only, pickyUntilMs }: Waiter): ReadyConnection | undefined {
    if (only !== undefined) {
      const connection = this.#lanes[lane].find(({ endpoint }) => endpoint === only)
      const link = connection?.ready
      return connection === undefined || link === undefined ? undefined : { connection, link }
    }
    const ready = this.pick(lane, avoid)
    if (ready === undefined || !avoid?.has(ready.connection.endpoint) || this.endpoints.length === 1)
      return ready
    return this.#options.runtime.now() >= pickyUntilMs ? ready : undefined
  }

  /** Connects the preferred endpoint first, and one more each time a stagger passes with somebody still waiting. */
  #wake(lane: Lane): void {
    const waiting = this.#waitersOf(lane)
    if (waiting.length === 0) return
    const connections = this.#lanes[lane]
    const inOrder = connections.map(
      (_, offset) => connections[(this.#preferred[lane] + offset) % connections.length]!,
    )
    for (const { only } of waiting) connections.find(({ endpoint }) => endpoint === only)?.want()
    const candidates = inOrder.filter(
      ({ endpoint }) => connections.length === 1 || waiting.some(({ avoid }) => !avoid?.has(endpoint)),
    )
    if (!candidates.some(({ kind }) => kind === 'connecting'))
      candidates.find(({ kind }) => kind === 'idle')?.want()
    if (this.#staggers.has(lane)) return
    const stagger = this.#options.runtime.setTimer(STAGGER_MS, () => {
      this.#staggers.delete(lane)
      this.#serve(lane)
      if (this.#waitersOf(lane).length === 0) return
      inOrder.find(({ kind }) => kind === 'idle')?.want()
      this.#wake(lane)
    })
    this.#staggers.set(lane, stagger)
  }

  #onChange(connection: Connection): void {
    const { lane } = connection
    this.#serve(lane)
    this.#giveUpIfHopeless(lane)
    if (connection.kind === 'cooling' || connection.kind === 'idle') this.#wake(lane)
  }

  #serve(lane: Lane): void {
    for (const waiter of this.#waitersOf(lane)) {
      const ready = this.#acceptable(waiter)
      if (ready !== undefined) waiter.settle(ready)
    }
  }

  /** With nobody left to wait in its lane, no stagger runs. */
  #remove(waiter: Waiter): void {
    const { lane } = waiter
    if (!this.#waiters.delete(waiter) || this.#waitersOf(lane).length > 0) return
    this.#staggers.get(lane)?.cancel()
    this.#staggers.delete(lane)
  }

  /** Wrong certificates do not mend themselves: when every endpoint has refused TLS and none ever worked, say so. */
  #giveUpIfHopeless(lane: Lane): void {
    const failures = this.#lanes[lane].map(({ everReady, lastFailure, endpoint }) =>
      everReady || lastFailure === undefined
        ? undefined
        : judge(lastFailure, { method: 'connect', endpoint: endpoint.url }).error,
    )
    const first = failures[0]
    if (first === undefined || failures.some(error => error?.code !== 'TLS')) return
    const error = new EtcdError(
      'TLS',
      `[TLS] no endpoint could be trusted, or none trusts us: ${this.complaints(lane)}; check tls.ca, tls.serverName, and that they speak TLS`,
      {
        outcome: 'not-sent',
        cause: first,
      },
    )
    for (const waiter of this.#waitersOf(lane)) waiter.settle(error)
  }

  #waitersOf(lane: Lane): readonly Waiter[] {
    return [...this.#waiters].filter(waiter => waiter.lane === lane)
  }
}
