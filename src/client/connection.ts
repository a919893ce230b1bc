import { Backoff } from '../support/backoff.ts'
import { Code } from '../support/codes.ts'
import type { Runtime, Timer } from '../support/runtime.ts'
import type {
  Endpoint,
  Link,
  LinkState,
  TlsOptions,
  Transport,
  TransportFailure,
} from '../support/transport.ts'
import type { Verdict } from '../wire/status.ts'
import type { Lane } from './streams.ts'

/** Longer than a connect and its TLS handshake take anywhere; grpc-js would wait for ever for a silent peer. */
export const CONNECT_WATCHDOG_MS = 3000
/** etcd punishes pings more often than every 5 s. A black hole is left after interval and timeout together. */
const PING_INTERVAL_MS = 5000
const PING_TIMEOUT_MS = 2000
const LONGEST_PING_INTERVAL_MS = 60_000
/** Capped low: a cluster that comes back should find us within about a second. */
const RECONNECT = { initialMs: 100, maxMs: 1000 }
/**
 * After as many unanswered attempts in a row, and so long a wait, the connection itself is taken for dead. Callers in
 * a hurry say little about it, and others may be waiting on it in patience.
 */
const TIMEOUTS_UNTIL_DEAD = 2
const SILENCE_UNTIL_DEAD_MS = 2000

/**
 * One endpoint as one lane sees it.
 *
 *          wanted              READY
 *   idle ─────────▶ connecting ─────▶ ready
 *    ▲                  │ failed,       │ lost, or taken for dead
 *    │ backoff over     ▼ watchdog      │
 *    └─────────────── cooling ◀─────────┘            closed: from anywhere, for good
 */
type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting'; readonly link: Link; readonly watchdog: Timer }
  | { readonly kind: 'ready'; readonly link: Link }
  | { readonly kind: 'cooling'; readonly timer: Timer }
  | { readonly kind: 'closed' }

export interface ConnectionOptions {
  readonly transport: Transport
  readonly runtime: Runtime
  readonly tls: TlsOptions | undefined
}

export class Connection {
  readonly endpoint: Endpoint
  readonly lane: Lane
  readonly #options: ConnectionOptions
  readonly #changed: (connection: Connection) => void
  readonly #backoff: Backoff
  #state: State = { kind: 'idle' }
  #lastFailure: TransportFailure | undefined
  #everReady = false
  #timeoutsInARow = 0
  /** How long these were waited for, and until when; the time of two that waited at once counts once. */
  #silentMs = 0
  #timedOutAtMs = -Infinity
  #outOfTouch = false
  #readyAtMs = 0
  #pingIntervalMs = PING_INTERVAL_MS
  /** Of the latest link: what its calls say of its pings they all say at once, and it counts once. */
  #linkPingIntervalMs = PING_INTERVAL_MS

  constructor(
    endpoint: Endpoint,
    lane: Lane,
    options: ConnectionOptions,
    changed: (connection: Connection) => void,
  ) {
    this.endpoint = endpoint
    this.lane = lane
    this.#options = options
    this.#changed = changed
    this.#backoff = new Backoff(options.runtime, RECONNECT)
  }

  /** The link to make calls on, now. */
  get ready(): Link | undefined {
    if (this.#state.kind !== 'ready') return undefined
    const { link } = this.#state
    return link.state.kind === 'ready' ? link : undefined
  }

  get kind(): State['kind'] {
    return this.#state.kind
  }

  /** Has it ever been ready? A refusal by an endpoint that never was may be a mistake in the options. */
  get everReady(): boolean {
    return this.#everReady
  }

  /** Why it is not ready, as far as known. */
  get lastFailure(): TransportFailure | undefined {
    return this.#lastFailure
  }

  /** The last attempt on it got no answer, or it said it is out of touch with its cluster: others are preferred until it answers. */
  get suspect(): boolean {
    return this.#timeoutsInARow > 0 || this.#outOfTouch
  }

  /** Starts connecting where that makes sense; a cooling connection waits for its backoff. */
  want(): void {
    if (this.#state.kind !== 'idle') return
    const { transport, runtime, tls } = this.#options
    this.#linkPingIntervalMs = this.#pingIntervalMs
    // Assigned before the first change of state can be told: `connect` never calls back before it has returned.
    const link: Link = transport.connect(
      this.endpoint,
      {
        pingIntervalMs: this.#pingIntervalMs,
        pingTimeoutMs: PING_TIMEOUT_MS,
        ...(tls === undefined ? {} : { tls }),
      },
      state => this.#onLink(link, state),
    )
    const watchdog = runtime.setTimer(CONNECT_WATCHDOG_MS, () => {
      this.#leave(link, {
        status: Code.unavailable,
        message: `accepted the connection but did not speak HTTP/2 within ${CONNECT_WATCHDOG_MS} ms, or did not accept it`,
        sent: false,
      })
    })
    this.#enter({ kind: 'connecting', link, watchdog })
  }

  /** A call on this connection was answered. */
  answered(): void {
    this.#timeoutsInARow = 0
    this.#silentMs = 0
    this.#outOfTouch = false
  }

  /** A call on this connection failed, and what that says about the connection. */
  judged(failure: TransportFailure, verdict: Verdict): void {
    // The server found our pings too frequent: the next connection asks half as often.
    if (failure.message.includes('Bandwidth exhausted')) {
      this.#pingIntervalMs = Math.min(LONGEST_PING_INTERVAL_MS, this.#linkPingIntervalMs * 2)
    }
    if (verdict.failure === 'rejected') this.answered()
    // A member on the wrong side of a partition answers quickly, and every call that stays with it fails.
    const { code } = verdict.error
    if (code === 'NO_LEADER' || code === 'TIMEOUT') this.#outOfTouch = true
  }

  /** A call got no answer in its time. Two in a row that have waited for long, and the connection is taken for dead. */
  timedOut(link: Link, afterMs: number): void {
    const nowMs = this.#options.runtime.now()
    this.#timeoutsInARow += 1
    this.#silentMs += Math.min(afterMs, nowMs - this.#timedOutAtMs)
    this.#timedOutAtMs = nowMs
    if (
      this.#timeoutsInARow < TIMEOUTS_UNTIL_DEAD ||
      this.#silentMs < SILENCE_UNTIL_DEAD_MS ||
      this.#state.kind !== 'ready' ||
      this.#state.link !== link
    )
      return
    this.#leave(link, {
      status: Code.unavailable,
      message: `no answer to ${this.#timeoutsInARow} requests in a row`,
      sent: false,
    })
  }

  close(): void {
    const state = this.#state
    this.#enter({ kind: 'closed' })
    if (state.kind === 'connecting' || state.kind === 'ready') state.link.close()
  }

  #onLink(link: Link, state: LinkState): void {
    const current = this.#state
    if ((current.kind !== 'connecting' && current.kind !== 'ready') || current.link !== link) return
    switch (state.kind) {
      case 'connecting':
        return
      case 'ready':
        this.#everReady = true
        this.#readyAtMs = this.#options.runtime.now()
        this.answered()
        this.#lastFailure = undefined
        return this.#enter({ kind: 'ready', link })
      case 'closed':
        // Whatever ended it has ended its calls, too, unless the server wants no more of them: those go on.
        return this.#lost(state.failure)
    }
  }

  /** It may work, and we have given it up: nobody is to wait for what is under way on it. */
  #leave(link: Link, failure: TransportFailure): void {
    this.#lost(failure)
    link.close()
  }

  #lost(failure: TransportFailure): void {
    this.#lastFailure = failure
    const { runtime } = this.#options
    // What was lost after it had worked for a while is tried again at once; what never did waits, also when the
    // peer greets us only to hang up.
    const worked = this.#state.kind === 'ready' && runtime.now() - this.#readyAtMs >= RECONNECT.maxMs
    if (worked) this.#backoff.reset()
    const delayMs = worked ? 0 : RECONNECT.initialMs / 2 + this.#backoff.delay()
    const timer = runtime.setTimer(delayMs, () => this.#enter({ kind: 'idle' }))
    this.#enter({ kind: 'cooling', timer })
  }

  #enter(next: State): void {
    if (this.#state.kind === 'closed') return
    if (this.#state.kind === 'connecting') this.#state.watchdog.cancel()
    if (this.#state.kind === 'cooling') this.#state.timer.cancel()
    this.#state = next
    this.#changed(this)
  }
}
