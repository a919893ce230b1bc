import { Backoff } from '../support/backoff.ts'
import type { Runtime, Timer } from '../support/runtime.ts'
import type { Endpoint } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'
import type { WatchResponse } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { judgeCancelReason } from '../wire/status.ts'
import type { Lane, StreamSource } from './streams.ts'
import { WatchStream } from './watch-stream.ts'
import { Watcher, type WatchSink, type WatchSpec } from './watcher.ts'

const LINGER_MS = 5000

/** A token may be refused again right after it was fetched: the rights just changed, or another member is behind. */
const REFUSALS_LIMIT = 6

/** etcd reads this much more than the longest request it would carry out. The rest is left for what is no key. */
const ALWAYS_TAKEN_BYTES = 500_000

export interface WatchHubOptions {
  readonly lane: Lane
}

/** A watch as its owner holds it. All methods may be called at any time, also from within the sink. */
export interface WatchHandle {
  /** Ends the watch. The sink is not called any more. */
  cancel(): void
  /**
   * Stops the flow where it is made, on the server: a slow consumer costs no memory. Meanwhile a compaction
   * may overtake the watch.
   */
  pause(): void
  /** Goes on after the last revision delivered; with `restart`, from now. */
  resume(): void
}

/**
 *           first watch            opened             last watch gone
 *      idle ──────────▶ opening ──────────────▶ open ────────────────▶ lingering
 *                          ▲                    │  ▲                       │
 *              after a     │                    │  └──────── watch ────────┤
 *              backoff     │                    │                          │
 *                       waiting ◀──── break ────┘         idle ◀───────────┘ 5 s later, or break
 *
 * opening, waiting ── last watch gone ──▶ idle          closed: from anywhere, for good
 */
type HubState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'opening'; readonly attempt: AbortController }
  | { readonly kind: 'waiting'; readonly timer: Timer }
  | { readonly kind: 'open'; readonly stream: WatchStream }
  | { readonly kind: 'lingering'; readonly stream: WatchStream; readonly timer: Timer }
  | { readonly kind: 'closed'; readonly error: EtcdError }

/**
 * All watches of one lane on one stream. The stream is opened for the first watch and ended some seconds after
 * the last has left. When it breaks, the next one is opened elsewhere and all watches are created on it at
 * once, each going on from its own cursor or, if it restarts, from now.
 *
 * Sinks are called synchronously and may call back into the hub. So the hub is in its new state before it
 * tells anybody, and looks again at state and watch after it has told.
 */
export class WatchHub {
  readonly #streams: StreamSource
  readonly #runtime: Runtime
  readonly #lane: Lane
  readonly #backoff: Backoff
  /** Those that wait, are carried, or pause: all that have not ended, in the order of their start. */
  readonly #watchers = new Set<Watcher>()
  #state: HubState = { kind: 'idle' }

  constructor(streams: StreamSource, runtime: Runtime, options: WatchHubOptions) {
    this.#streams = streams
    this.#runtime = runtime
    this.#lane = options.lane
    this.#backoff = new Backoff(runtime, { initialMs: 25, maxMs: 1000 })
  }

  /** Starts a watch. After `close` it ends with the error of the closing, on the next turn. */
  watch(spec: WatchSpec, sink: WatchSink): WatchHandle {
    const watcher = new Watcher(spec, sink, call => this.#guard(call))
    if (this.#state.kind === 'closed') {
      const { error } = this.#state
      this.#runtime.defer(() => watcher.end(error))
    } else {
      this.#watchers.add(watcher)
      this.#serve(watcher)
    }
    return {
      cancel: () => this.#cancel(watcher),
      pause: () => this.#pause(watcher),
      resume: () => this.#resume(watcher),
    }
  }

  /** Asks the server how far it is. The answer reaches every sink as `requested` progress, or never comes. */
  requestProgress(): void {
    if (this.#state.kind === 'open') this.#state.stream.requestProgress()
  }

  /** Ends every watch with this error, and leaves neither stream nor timer. */
  close(error: EtcdError): void {
    if (this.#state.kind === 'closed') return
    this.#stream?.close()
    this.#enter({ kind: 'closed', error })
    this.#endAll(error)
  }

  get #stream(): WatchStream | undefined {
    return this.#state.kind === 'open' || this.#state.kind === 'lingering' ? this.#state.stream : undefined
  }

  #cancel(watcher: Watcher): void {
    this.#stream?.cancel(watcher)
    watcher.end()
    this.#leave(watcher)
  }

  #pause(watcher: Watcher): void {
    this.#stream?.cancel(watcher)
    watcher.pause()
  }

  #resume(watcher: Watcher): void {
    if (watcher.resume()) this.#serve(watcher)
  }

  #end(watcher: Watcher, error: EtcdError): void {
    watcher.end(error)
    this.#leave(watcher)
  }

  #leave(watcher: Watcher): void {
    if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#rest()
  }

  #endAll(error: EtcdError): void {
    for (const watcher of [...this.#watchers]) this.#end(watcher, error)
  }

  /** Gives a waiting watch what it waits for, or sees to it that it comes. */
  #serve(watcher: Watcher): void {
    switch (this.#state.kind) {
      case 'idle':
        return this.#open(undefined)
      case 'opening':
      case 'waiting':
        return // created with all others when the stream is there
      case 'lingering':
        this.#enter({ kind: 'open', stream: this.#state.stream })
        return this.#serve(watcher)
      case 'open':
        return this.#state.stream.create(watcher)
      case 'closed':
        return // ended by the closing
      default:
        return unreachable(this.#state)
    }
  }

  /** Nobody watches any more. */
  #rest(): void {
    switch (this.#state.kind) {
      case 'opening':
      case 'waiting':
        return this.#enter({ kind: 'idle' })
      case 'open': {
        const { stream } = this.#state
        const timer = this.#runtime.setTimer(LINGER_MS, () => {
          stream.close()
          this.#enter({ kind: 'idle' })
        })
        return this.#enter({ kind: 'lingering', stream, timer: timer.unref() })
      }
      case 'idle':
      case 'lingering':
      case 'closed':
        return
      default:
        return unreachable(this.#state)
    }
  }

  #open(avoid: Endpoint | undefined): void {
    const attempt = new AbortController()
    const opening: HubState = { kind: 'opening', attempt }
    this.#enter(opening)
    let stream: WatchStream | undefined
    let endedAlready: EtcdError | undefined
    const options = { lane: this.#lane, avoid, signal: attempt.signal }
    const opened = this.#streams.open(methods.watch, options, {
      onMessage: response => {
        if (stream !== undefined) this.#onMessage(stream, response)
      },
      onEnd: error => {
        // The stream may end in the moment between its opening and our hearing of it.
        if (stream === undefined) endedAlready = error
        else this.#onEnd(stream, error)
      },
    })
    opened.then(
      open => {
        if (this.#state !== opening) return open.cancel()
        stream = new WatchStream(open)
        this.#enter({ kind: 'open', stream })
        if (endedAlready !== undefined) return this.#onEnd(stream, endedAlready)
        for (const watcher of this.#watchers) if (watcher.waiting) stream.create(watcher)
      },
      (error: unknown) => {
        if (this.#state !== opening) return
        // The next token may be one that can be read.
        if (EtcdError.is(error, 'PROTOCOL')) this.#backOff(avoid)
        else this.#giveUp(asEtcdError(error))
      },
    )
  }

  #onMessage(stream: WatchStream, response: WatchResponse): void {
    if (this.#stream !== stream) return
    if (response.created && !response.canceled) this.#backoff.reset()
    const dropped = stream.receive(response)
    if (dropped !== undefined) this.#onDropped(stream, dropped, response)
  }

  /** The server has refused or cancelled this watch. */
  #onDropped(stream: WatchStream, watcher: Watcher, response: WatchResponse): void {
    const { endpoint } = stream
    const { error, retry } = judgeCancelReason(response.cancelReason, response.compactRevision, {
      method: methods.watch.path,
      endpoint: endpoint.url,
    })
    if (error.code === 'COMPACTED') return this.#onCompacted(watcher, error)
    switch (retry) {
      case 'after-authentication':
        // The token of a stream is the one it was opened with: the other watches would be refused next.
        this.#streams.forgetToken(endpoint)
        this.#move(stream, undefined)
        return this.#refuse(watcher, error)
      case 'elsewhere':
        return this.#move(stream, endpoint)
      case 'after-backoff':
        return this.#move(stream, undefined)
      case 'never':
        return this.#end(watcher, error)
      default:
        return unreachable(retry)
    }
  }

  #refuse(watcher: Watcher, error: EtcdError): void {
    watcher.refused()
    if (watcher.refusals >= REFUSALS_LIMIT) this.#end(watcher, error)
  }

  #onCompacted(watcher: Watcher, error: EtcdError): void {
    if (watcher.onBreak === 'resume') return this.#end(watcher, error)
    watcher.detach()
    if (watcher.waiting) this.#serve(watcher)
  }

  #onEnd(stream: WatchStream, error: EtcdError): void {
    if (this.#stream !== stream) return
    switch (error.code) {
      case 'CLIENT_CLOSED':
      case 'AUTH_FAILED':
      case 'PERMISSION_DENIED':
      case 'UNIMPLEMENTED':
        return this.#giveUp(error)
      case 'UNAUTHENTICATED':
        this.#streams.forgetToken(stream.endpoint)
        this.#backOff(undefined)
        for (const watcher of [...this.#watchers]) this.#refuse(watcher, error)
        return
      case 'TOO_LARGE':
        return this.#onTooLarge(stream, error)
      default:
        return this.#backOff(stream.endpoint)
    }
  }

  /** Over a request of ours, it would be the longest of those without an answer, and so on every stream to come. */
  #onTooLarge(stream: WatchStream, error: EtcdError): void {
    const [longest] = [...this.#watchers]
      .filter(({ attaching, keysBytes }) => attaching && keysBytes > ALWAYS_TAKEN_BYTES)
      .sort((one, other) => other.keysBytes - one.keysBytes)
    this.#backOff(longest === undefined ? stream.endpoint : undefined)
    if (longest !== undefined) this.#end(longest, error)
  }

  /** Leaves a stream that still works, with all watches. */
  #move(stream: WatchStream, avoid: Endpoint | undefined): void {
    stream.close()
    this.#backOff(avoid)
  }

  #backOff(avoid: Endpoint | undefined): void {
    if (this.#watchers.size === 0) return this.#enter({ kind: 'idle' })
    const timer = this.#runtime.setTimer(this.#backoff.delay(), () => this.#open(avoid))
    this.#enter({ kind: 'waiting', timer })
    for (const watcher of [...this.#watchers]) watcher.detach()
  }

  /** Trying again would not help. A later watch tries again all the same. */
  #giveUp(error: EtcdError): void {
    this.#enter({ kind: 'idle' })
    this.#endAll(error)
  }

  /** The only place that assigns the state, so leaving one always drops its timer or its attempt. */
  #enter(next: HubState): void {
    const left = this.#state
    this.#state = next
    if (left.kind === 'waiting' || left.kind === 'lingering') left.timer.cancel()
    if (left.kind === 'opening' && next.kind !== 'open') left.attempt.abort()
  }

  /** One sink that throws harms no other: its error surfaces on a turn of its own, as an uncaught one. */
  #guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#runtime.defer(() => {
        throw error
      })
    }
  }
}

function asEtcdError(error: unknown): EtcdError {
  if (error instanceof EtcdError) return error
  return new EtcdError('UNKNOWN', '[UNKNOWN] no watch stream could be opened', {
    outcome: 'not-sent',
    cause: error,
  })
}

function unreachable(value: never): never {
  throw new TypeError(`unexpected: ${String(value)}`)
}
