import { AbortFanOut, quietController } from '../support/abort.ts'
import { Background } from '../support/background.ts'
import { Emitter } from '../support/emitter.ts'
import type { Runtime } from '../support/runtime.ts'
import type { Endpoint, TlsOptions, Transport } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'
import { Answers } from './answers.ts'
import { Connections } from './connections.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import { StreamOpener } from './stream-opener.ts'
import { Submitter } from './submitter.ts'
import { type Credentials, Tokens } from './tokens.ts'
import { WatchHub } from './watch-hub.ts'

/** Something an operator should know of that is no error of any call. */
export interface Warning {
  /** Stable, such as `SHORT_TTL` or `FOREIGN_KEY`. */
  readonly code: string
  readonly message: string
}

export interface EngineOptions {
  readonly endpoints: readonly Endpoint[]
  readonly transport: Transport
  readonly runtime: Runtime
  readonly credentials: Credentials | undefined
  readonly tls: TlsOptions | undefined
  readonly requestTimeoutMs: number
}

/** What something shared by everything on one client looks like: made once, from the engine alone. */
export type SharedPart<Part extends object> = new (engine: Engine) => Part

/** The parts all views of one client share: connections, the door for requests, renewals and watches. */
export class Engine {
  readonly runtime: Runtime
  readonly connections: Connections
  readonly submitter: Submitter
  readonly keeper: LeaseKeeper
  readonly answers: Answers
  readonly streams: StreamOpener
  /** Watches of the recipes travel with the renewals, apart from bulk traffic. */
  readonly recipeWatches: WatchHub
  readonly userWatches: WatchHub
  readonly aborts: AbortFanOut
  /** How long a call may take in all, where it does not say. */
  readonly requestTimeoutMs: number
  readonly #leaving: AbortController = quietController()
  readonly #background = new Background()
  readonly #tokens: Tokens
  readonly #warnings: Emitter<{ warning: Warning }>
  readonly #shared = new Map<SharedPart<object>, object>()

  constructor({ endpoints, transport, runtime, credentials, tls, requestTimeoutMs }: EngineOptions) {
    this.runtime = runtime
    this.requestTimeoutMs = requestTimeoutMs
    this.aborts = new AbortFanOut()
    this.answers = new Answers()
    this.connections = new Connections(endpoints, { transport, runtime, tls })
    this.aborts.keep(this.connections.closing)
    this.aborts.keep(this.leaving)
    this.#tokens = new Tokens(credentials, runtime)
    this.submitter = new Submitter({
      connections: this.connections,
      tokens: this.#tokens,
      answers: this.answers,
      aborts: this.aborts,
      runtime,
      requestTimeoutMs,
    })
    this.streams = new StreamOpener(this.connections, this.#tokens, runtime)
    this.keeper = new LeaseKeeper(this.streams, runtime)
    this.recipeWatches = new WatchHub(this.streams, runtime, { lane: 'control' })
    this.userWatches = new WatchHub(this.streams, runtime, { lane: 'data' })
    this.#warnings = new Emitter(runtime)
  }

  /** Aborts, with CLIENT_CLOSED, when the client begins to close: earlier than `connections.closing`. */
  get leaving(): AbortSignal {
    return this.#leaving.signal
  }

  /** Cleaning up without a session that goes on after its caller was answered: `close` of the client waits for it. It must not reject. */
  background(work: Promise<void>): void {
    this.#background.add(work)
  }

  /** Ends what would leave something behind. What that takes is waited for by `settled`. */
  leave(): void {
    this.#leaving.abort(closedError())
  }

  /** Resolves when nothing goes on in the background. */
  settled(): Promise<void> {
    return this.#background.done()
  }

  /** Does this client name itself, so that the cluster may refuse it one key and not another? */
  get authenticated(): boolean {
    return this.#tokens.renewable
  }

  /** Resolves when one endpoint has spoken HTTP/2 and taken the credentials. Bounded by the signal. */
  async reach(signal: AbortSignal): Promise<void> {
    await this.streams.reach({ lane: 'data', signal })
  }

  /** The one instance of a part on this client: two sessions on one client wait in the same line. */
  shared<Part extends object>(part: SharedPart<Part>): Part {
    let instance = this.#shared.get(part)
    if (instance === undefined) {
      instance = new part(this)
      this.#shared.set(part, instance)
    }
    // Made by this very constructor.
    return instance as Part
  }

  onWarning(listener: (warning: Warning) => void): () => void {
    return this.#warnings.on('warning', listener)
  }

  warn(warning: Warning): void {
    if (!this.#warnings.emit('warning', warning)) this.runtime.warn(warning.message, warning.code)
  }

  close(): void {
    const error = closedError()
    this.recipeWatches.close(error)
    this.userWatches.close(error)
    this.keeper.close()
    this.connections.close(error)
  }
}

function closedError(): EtcdError {
  return new EtcdError('CLIENT_CLOSED', '[CLIENT_CLOSED] the client was closed', { outcome: 'not-sent' })
}
