import type { AbortFanOut } from '../support/abort.ts'
import { Backoff } from '../support/backoff.ts'
import { Code } from '../support/codes.ts'
import { ownOnly } from '../support/own.ts'
import type { Runtime } from '../support/runtime.ts'
import type { CallMetadata, Endpoint, UnaryOutcome } from '../support/transport.ts'
import type { Init } from '../wire/codec.ts'
import { EtcdError } from '../wire/errors.ts'
import type { ResponseHeader } from '../wire/gen/rpc.g.ts'
import type { Method, Repeat } from '../wire/methods.ts'
import { judge, type Verdict } from '../wire/status.ts'
import type { Answers } from './answers.ts'
import type { Connections, ReadyConnection } from './connections.ts'
import type { Footprint } from './footprint.ts'
import { notUnderstood } from './not-understood.ts'
import { isFinal, type Tokens } from './tokens.ts'

/**
 * A repeatable attempt that takes longer is made again elsewhere. Once every member has let one run out it may be that
 * the answer takes longer, and each has twice the time.
 */
const ATTEMPT_TIMEOUT_MS = 2000
/** A timer that comes so late says that it was us who kept silent. */
const OWN_SILENCE_MS = 100
const RETRY = { initialMs: 25, maxMs: 500 }
/** When a fresh token is refused as well, another one will not help. */
const TOKENS_PER_CALL = 2
/** But one that was only overtaken by a change of some role is no sign of anything wrong, several times in a row. */
const OVERTAKEN_PER_CALL = 8

export interface CallOptions {
  /** Aborting rejects at once with `signal.reason`; a request already sent may still take effect. */
  readonly signal?: AbortSignal | undefined
  /** In milliseconds, all attempts together. Default: `requestTimeoutMs` of the client, 10 s. */
  readonly timeoutMs?: number | undefined
}

export interface Submission<Request, Response> extends CallOptions {
  readonly method: Method<Request, Response>
  readonly request: Init<Request>
  readonly footprint: Footprint
  /** Overrides the table: a request guarded by a revision, or naming its own id, may be made twice. */
  readonly repeat?: Repeat | undefined
  /**
   * `linearizable`: an answer older than what this client has seen already is asked for again.
   * `serializable`: also a member without a leader may answer, from the past.
   */
  readonly consistency?: 'linearizable' | 'serializable' | undefined
  /** With `linearizable`: the answer must not be older than this revision either. */
  readonly atLeast?: bigint | undefined
  /** Only this endpoint can answer: maintenance of one member. */
  readonly only?: Endpoint | undefined
  /** No further attempt and no waiting for a connection or a token once it aborts; an attempt under way goes on. */
  readonly noMoreAttempts?: { readonly signal: AbortSignal } | undefined
  /** Called for each attempt that got no answer although it may have been applied, or may be later. */
  readonly onUnanswered?: (() => void) | undefined
  /** Called just before each attempt is handed to the transport, with the monotonic instant. */
  readonly onSend?: ((atMs: number) => void) | undefined
}

interface Answered {
  readonly header: ResponseHeader | undefined
}

/** The one door to the cluster for every key-value, lease and recipe call. */
export class Submitter {
  readonly #connections: Connections
  readonly #tokens: Tokens
  readonly #answers: Answers
  readonly #aborts: AbortFanOut
  readonly #runtime: Runtime
  readonly #requestTimeoutMs: number

  constructor(parts: {
    readonly connections: Connections
    readonly tokens: Tokens
    readonly answers: Answers
    readonly aborts: AbortFanOut
    readonly runtime: Runtime
    readonly requestTimeoutMs: number
  }) {
    this.#connections = parts.connections
    this.#tokens = parts.tokens
    this.#answers = parts.answers
    this.#aborts = parts.aborts
    this.#runtime = parts.runtime
    this.#requestTimeoutMs = parts.requestTimeoutMs
  }

  /**
   * Resolves with the answer. Rejects with an EtcdError whose `outcome` says whether the request may have been
   * applied, or with the signal's reason. One round trip when nothing fails.
   */
  async submit<Request, Response extends Answered>(given: Submission<Request, Response>): Promise<Response> {
    const submission = ownOnly(given)
    const { method, signal, consistency } = submission
    signal?.throwIfAborted()
    const call = new Call(submission, this.#runtime, submission.timeoutMs ?? this.#requestTimeoutMs)
    const bytes = method.request.encode(submission.request)
    let waited = false
    for (;;) {
      const picked = this.#pick(call)
      waited ||= picked === undefined
      const ready = picked ?? (await this.#connection(call))
      const { connection, link } = ready
      const known = this.#tokens.known(connection.endpoint, consistency !== 'serializable')
      waited ||= known === undefined
      const metadata = known ?? (await this.#authenticate(call, ready))
      if (metadata === undefined) continue
      // While we waited, the caller may have had enough, and the connection may have gone.
      if (waited && call.hadEnough) throw call.notSentAgain('nobody wants it any more')
      if (waited && link.state.kind !== 'ready') continue
      const floor = call.floor(this.#answers.highestRevision)
      const outcome = await this.#attempt(call, ready, bytes, metadata)
      waited = true
      if (outcome.kind === 'failure') {
        await this.#recover(call, ready, metadata, outcome.failure)
        continue
      }
      connection.answered()
      const response = this.#understood(call, method, connection.endpoint, outcome.message)
      if (response.header === undefined || response.header.revision >= floor) return response
      await this.#pause(
        call,
        ready,
        fromThePast(call, connection.endpoint, response.header.revision, floor),
        'elsewhere',
      )
    }
  }

  /** An answer nobody can read, or one of another cluster, leaves open what became of the request. */
  #understood<Request, Response extends Answered>(
    call: Call,
    method: Method<Request, Response>,
    endpoint: Endpoint,
    message: Uint8Array,
  ): Response {
    try {
      const response = method.response.decode(message)
      this.#answers.pass(method.path, endpoint, response.header)
      return response
    } catch (error) {
      call.unanswered = true
      call.submission.onUnanswered?.()
      throw call.failed(notUnderstood(call.name, endpoint, error))
    }
  }

  #pick(call: Call): ReadyConnection | undefined {
    if (call.submission.only !== undefined) return undefined
    const ready = this.#connections.pick('data', call.avoid)
    return ready !== undefined && call.avoid.has(ready.connection.endpoint) ? undefined : ready
  }

  /** Waits for a connection as long as the call has time. */
  async #connection(call: Call): Promise<ReadyConnection> {
    const { only, noMoreAttempts } = call.submission
    const giveUp = new AbortController()
    const ready = await this.#wait<ReadyConnection>(
      call,
      call.remainingMs(),
      noMoreAttempts?.signal,
      (resolve, reject) => {
        this.#connections
          .wait('data', { avoid: call.avoid, only, signal: giveUp.signal })
          .then(resolve, reject)
        return () => giveUp.abort()
      },
    ).catch(error => {
      throw EtcdError.is(error) ? call.failed(error) : error
    })
    if (ready !== 'over') return ready
    const complaints = this.#connections.complaints('data')
    throw call.notSentAgain(`no endpoint could be reached: ${complaints}`)
  }

  /** Headers with a token, or undefined after a failure that was waited out. */
  async #authenticate(call: Call, ready: ReadyConnection): Promise<CallMetadata | undefined> {
    const { endpoint } = ready.connection
    const timeoutMs = call.attemptTimeoutMs(this.#connections.endpoints.length)
    const untilMs = this.#runtime.now() + timeoutMs
    const result = await this.#wait<Awaited<ReturnType<Tokens['obtain']>>>(
      call,
      timeoutMs,
      call.submission.noMoreAttempts?.signal,
      (resolve, reject) => {
        this.#tokens
          .obtain(endpoint, ready.link, call.submission.consistency !== 'serializable')
          .then(resolve, error => reject(EtcdError.is(error) ? call.failed(withoutToken(error)) : error))
        return () => {}
      },
    )
    if (result !== 'over' && result.kind === 'headers') {
      call.tokensLeft -= 1
      return result.metadata
    }
    if (result === 'over' && call.hadEnough) throw call.notSentAgain('nobody wants it any more')
    const failure =
      result === 'over'
        ? { status: Code.deadlineExceeded, message: 'no answer in time', sent: true }
        : result.failure
    if (result === 'over') this.#unanswered(ready, timeoutMs, untilMs)
    const verdict = judge(failure, { method: 'Authenticate', endpoint: endpoint.url })
    if (isFinal(verdict)) throw call.failed(verdict.error)
    const retry = verdict.retry === 'after-backoff' ? 'after-backoff' : 'elsewhere'
    await this.#pause(call, ready, withoutToken(verdict.error), retry)
    return undefined
  }

  async #attempt(
    call: Call,
    ready: ReadyConnection,
    bytes: Uint8Array,
    metadata: CallMetadata,
  ): Promise<UnaryOutcome> {
    const { method, onSend, onUnanswered, signal } = call.submission
    const timeoutMs = call.attemptTimeoutMs(this.#connections.endpoints.length)
    const untilMs = this.#runtime.now() + timeoutMs
    const outcome = await this.#wait<UnaryOutcome>(call, timeoutMs, undefined, resolve => {
      onSend?.(this.#runtime.now())
      const pending = ready.link.unary(method.path, bytes, metadata, resolve)
      return () => {
        // Nobody waits any more, and what was sent may still be applied. When time is up, the verdict says so.
        if (signal?.aborted || this.#connections.closing.aborted) {
          call.unanswered = true
          onUnanswered?.()
        }
        pending.cancel()
      }
    })
    if (outcome !== 'over') return outcome
    call.ranOut += 1
    this.#unanswered(ready, timeoutMs, untilMs)
    return {
      kind: 'failure',
      failure: {
        status: Code.deadlineExceeded,
        message: `no answer within ${Math.round(timeoutMs)} ms`,
        sent: true,
      },
    }
  }

  /** A process that stood still runs its timers before it reads its sockets: an answer may wait there. */
  #unanswered({ connection, link }: ReadyConnection, timeoutMs: number, untilMs: number): void {
    if (this.#runtime.now() - untilMs <= OWN_SILENCE_MS) connection.timedOut(link, timeoutMs)
  }

  /** After a failed attempt: prepares the next one, or throws what the call has come to. */
  async #recover(
    call: Call,
    ready: ReadyConnection,
    metadata: CallMetadata,
    failure: Extract<UnaryOutcome, { kind: 'failure' }>['failure'],
  ): Promise<void> {
    const { connection } = ready
    const verdict = judge(failure, { method: call.submission.method.path, endpoint: connection.endpoint.url })
    connection.judged(failure, verdict)
    if (verdict.failure === 'ambiguous') {
      call.unanswered = true
      call.submission.onUnanswered?.()
    }
    if (failure.message.includes('revision of auth store is old') && call.overtakenLeft > 0) {
      call.overtakenLeft -= 1
      call.tokensLeft += 1
    }
    if (verdict.retry === 'after-authentication' && this.#tokens.renewable && call.tokensLeft > 0) {
      call.lastError = verdict.error
      return this.#tokens.refused(connection.endpoint, metadata)
    }
    if (verdict.retry === 'after-authentication' && !this.#tokens.renewable) throw call.failed(verdict.error)
    if (!call.mayRepeat(verdict, this.#connections.endpoints.length)) throw call.failed(verdict.error)
    await this.#pause(call, ready, verdict.error, verdict.retry)
  }

  /** Waits between two attempts; the first repeat on another endpoint goes out at once. */
  async #pause(
    call: Call,
    { connection }: ReadyConnection,
    error: EtcdError,
    retry: Verdict['retry'],
  ): Promise<void> {
    call.note(error)
    call.passOver(connection.endpoint, this.#connections.endpoints.length)
    const { noMoreAttempts } = call.submission
    const atOnce = retry !== 'after-backoff' && this.#connections.endpoints.length > 1 && call.repeats === 0
    call.repeats += 1
    const delayMs = atOnce ? 0 : call.backoff.delay()
    if (noMoreAttempts?.signal.aborted || call.remainingMs() <= delayMs) throw call.failed(error)
    if (delayMs === 0) return
    const over = await this.#wait<never>(call, delayMs, noMoreAttempts?.signal, () => () => {})
    if (over === 'over' && noMoreAttempts?.signal.aborted) throw call.failed(error)
  }

  /**
   * One wait of a call. Ends with what `begin` settles it with, with 'over' when `timeoutMs` have passed or
   * `giveUp` aborts, and by rejecting when the caller aborts or the client closes; in all but the first `begin`'s
   * cancel is called.
   */
  #wait<Value>(
    call: Call,
    timeoutMs: number,
    giveUp: AbortSignal | undefined,
    begin: (resolve: (value: Value) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<Value | 'over'> {
    const { signal } = call.submission
    const { closing } = this.#connections
    return new Promise((resolve, reject) => {
      // Between two waits nobody listens: nothing is begun for a caller that has left.
      if (signal?.aborted) return reject(signal.reason)
      if (closing.aborted) return reject(call.failed(closing.reason))
      if (giveUp?.aborted) return resolve('over')
      let waiting = true
      const finish = () => {
        waiting = false
        timer.cancel()
        stopAbort()
        stopClosing()
        stopGiveUp()
      }
      const over = () => {
        finish()
        cancel()
        resolve('over')
      }
      const leave = (reason: () => unknown) => {
        finish()
        cancel()
        reject(reason())
      }
      const cancel = begin(
        // What was cancelled may tell of its end at once, which is not why the wait is over.
        value => {
          if (!waiting) return
          finish()
          resolve(value)
        },
        error => {
          if (!waiting) return
          finish()
          reject(error)
        },
      )
      const timer = this.#runtime.setTimer(timeoutMs, over)
      const stopAbort = this.#aborts.on(signal, reason => leave(() => reason))
      const stopClosing = this.#aborts.on(closing, error => leave(() => call.failed(error as EtcdError)))
      let stopGiveUp = () => {}
      if (call.submission.signal?.aborted !== true) stopGiveUp = this.#aborts.on(giveUp, over)
    })
  }
}

/** A submission without its messages: how it wants to be made. */
type Terms = Omit<Submission<unknown, unknown>, 'method' | 'request'> & {
  readonly method: Pick<Method<unknown, unknown>, 'path' | 'repeat'>
}

/** What one call has come to so far. */
class Call {
  readonly submission: Terms
  readonly backoff: Backoff
  readonly #runtime: Runtime
  readonly #repeat: Repeat
  readonly #deadlineMs: number
  /** Endpoints that have failed it are passed over until all have. */
  readonly avoid: Set<Endpoint> = new Set()
  repeats = 0
  /** Attempts that got no answer in the time they had. */
  ranOut = 0
  tokensLeft = TOKENS_PER_CALL
  overtakenLeft = OVERTAKEN_PER_CALL
  lastError: EtcdError | undefined
  /** The last words of each endpoint. */
  readonly #said = new Map<string, string>()
  /** Some attempt may have been applied: whatever is said later, the outcome of the call is unknown. */
  unanswered = false

  constructor(submission: Terms, runtime: Runtime, timeoutMs: number) {
    this.submission = submission
    this.#runtime = runtime
    this.#repeat = submission.repeat ?? submission.method.repeat
    this.#deadlineMs = runtime.now() + timeoutMs
    this.backoff = new Backoff(runtime, RETRY)
  }

  get name(): string {
    return this.submission.method.path.slice(this.submission.method.path.lastIndexOf('.') + 1)
  }

  /** Whatever is under way may go on; nothing more is to be sent. */
  get hadEnough(): boolean {
    return this.submission.noMoreAttempts?.signal.aborted === true
  }

  remainingMs(): number {
    return Math.max(0, this.#deadlineMs - this.#runtime.now())
  }

  /**
   * A call that must not be repeated waits as long as it can: the server itself answers after 7 s. So does one that
   * nobody else could answer: to ask the same member again is to have it begin anew, and a dead connection is told by
   * its pings.
   */
  attemptTimeoutMs(endpoints: number): number {
    if (this.#repeat === 'once' || this.submission.only !== undefined) return this.remainingMs()
    return Math.min(ATTEMPT_TIMEOUT_MS * 2 ** Math.floor(this.ranOut / endpoints), this.remainingMs())
  }

  passOver(endpoint: Endpoint, endpoints: number): void {
    if (this.submission.only !== undefined || endpoints === 1) return
    this.avoid.add(endpoint)
    if (this.avoid.size < endpoints) return
    this.avoid.clear()
    this.avoid.add(endpoint)
  }

  note(error: EtcdError): void {
    this.lastError = error
    this.#said.set(error.endpoint ?? '', error.message)
  }

  /** Below this revision an answer is from the past. */
  floor(highestSeen: bigint): bigint {
    if (this.submission.consistency !== 'linearizable') return 0n
    const { atLeast = 0n } = this.submission
    return atLeast > highestSeen ? atLeast : highestSeen
  }

  mayRepeat({ failure, retry, error }: Verdict, endpoints: number): boolean {
    if (retry === 'never') return false
    switch (failure) {
      case 'not-sent':
        return true
      case 'ambiguous':
        return this.#repeat !== 'once'
      case 'rejected':
        if (retry === 'after-backoff') return true
        // No other will be asked.
        if (this.submission.only !== undefined) return false
        // Refused by this member only. A revision of the future is one only where a member lags behind.
        return this.repeats + 1 < endpoints && (error.code !== 'FUTURE_REVISION' || this.#repeat === 'read')
    }
  }

  /** The error of a call that came to no attempt, or to no further one. */
  notSentAgain(why: string): EtcdError {
    const message = `[UNAVAILABLE] ${this.name} was not sent, ${why}`
    return this.failed(this.lastError ?? new EtcdError('UNAVAILABLE', message, { outcome: 'not-sent' }))
  }

  /** The error of the whole call: a late refusal does not undo an attempt that may have been applied. */
  failed(error: EtcdError): EtcdError {
    const doubt = this.unanswered && error.outcome !== 'unknown'
    const others = [...this.#said].filter(([endpoint]) => endpoint !== (error.endpoint ?? ''))
    if (!doubt && others.length === 0) return error
    const message = [
      error.message,
      ...(doubt ? ['an earlier attempt got no answer and may have been applied'] : []),
      ...(others.length > 0 ? [`before that: ${others.map(([, said]) => said).join('; ')}`] : []),
    ].join('; ')
    return new EtcdError(error.code, message, {
      outcome: doubt ? 'unknown' : error.outcome,
      endpoint: error.endpoint,
      cause: error,
      compactRevision: error.compactRevision,
      grpcStatus: error.grpcStatus,
    })
  }
}

/** Whatever became of the authentication, the call itself has not been sent. */
function withoutToken(error: EtcdError): EtcdError {
  const { code, message, endpoint, grpcStatus } = error
  return new EtcdError(code, `${message}; what was to follow it was not sent`, {
    outcome: 'not-sent',
    endpoint,
    cause: error,
    grpcStatus,
  })
}

function fromThePast(call: Call, endpoint: Endpoint, revision: bigint, floor: bigint): EtcdError {
  return new EtcdError(
    'UNAVAILABLE',
    `[UNAVAILABLE] ${endpoint.url} answered ${call.name} from the past: revision ${revision}, ${floor} has been seen already`,
    { outcome: 'rejected', endpoint: endpoint.url },
  )
}
