import { onAbort } from '../support/abort.ts'
import { Code } from '../support/codes.ts'
import type { Runtime } from '../support/runtime.ts'
import type { CallMetadata, Endpoint, Link, TransportFailure, UnaryOutcome } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'
import { methods } from '../wire/methods.ts'
import type { Verdict } from '../wire/status.ts'
import { notUnderstood } from './not-understood.ts'

/** A user of etcd. Tokens are asked for and renewed by the library. */
export interface Credentials {
  readonly username: string
  readonly password: string
}

/** What we know of authentication on one endpoint. Tokens of one member may be unknown to another. */
type Knowledge =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'token'; readonly token: string }
  /** The server runs without authentication: a token would be refused by some versions. */
  | { readonly kind: 'not-enabled' }

/** The server hashes slowly on purpose; a silent one must not hold up everybody who waits for the token. */
const AUTHENTICATE_TIMEOUT_MS = 4000

/** Headers of a call: a member without a leader answers at once instead of letting the call wait for one. */
interface HeaderSet {
  readonly withLeader: CallMetadata
  readonly anyMember: CallMetadata
}

interface Entry {
  knowledge: Knowledge
  headers: HeaderSet
  /** The request under way; undefined is what it settles with when it brought headers. */
  fetching: Promise<TransportFailure | undefined> | undefined
}

const WITHOUT_TOKEN: HeaderSet = { withLeader: { hasleader: 'true' }, anyMember: {} }

export type TokenResult =
  | { readonly kind: 'headers'; readonly metadata: CallMetadata }
  | { readonly kind: 'failure'; readonly failure: TransportFailure }

/**
 * Authentication tokens, one per endpoint: fetched when first needed and again after a refusal, by one request
 * however many calls wait for it. Never refreshed on a guess: their lifetime is a flag of the server.
 */
export class Tokens {
  readonly #credentials: Credentials | undefined
  readonly #runtime: Runtime
  readonly #perEndpoint = new Map<string, Entry>()

  constructor(credentials: Credentials | undefined, runtime: Runtime) {
    this.#credentials = credentials
    this.#runtime = runtime
  }

  /** Can a token that was refused be replaced by another? */
  get renewable(): boolean {
    return this.#credentials !== undefined
  }

  /** Headers that can be used at once, if there are. */
  known(endpoint: Endpoint, requireLeader: boolean): CallMetadata | undefined {
    if (this.#credentials === undefined)
      return requireLeader ? WITHOUT_TOKEN.withLeader : WITHOUT_TOKEN.anyMember
    const entry = this.#perEndpoint.get(endpoint.url)
    if (entry === undefined || entry.knowledge.kind === 'unknown') return undefined
    return requireLeader ? entry.headers.withLeader : entry.headers.anyMember
  }

  /** Headers for a call on this link; asks the server for a token where we have none. The signal ends this wait, not the asking. */
  async obtain(
    endpoint: Endpoint,
    link: Link,
    requireLeader: boolean,
    signal?: AbortSignal,
  ): Promise<TokenResult> {
    const known = this.known(endpoint, requireLeader)
    if (known !== undefined) return { kind: 'headers', metadata: known }
    const entry = this.#entry(endpoint)
    // Whoever comes meanwhile shares the answer, a refusal too: the server pays for each with a hash made to be slow.
    entry.fetching ??= this.#authenticate(entry, endpoint, link).finally(() => {
      entry.fetching = undefined
    })
    const failure = await orAborted(entry.fetching, signal)
    if (failure !== undefined) return { kind: 'failure', failure }
    return { kind: 'headers', metadata: requireLeader ? entry.headers.withLeader : entry.headers.anyMember }
  }

  /** The server refused these headers. Others may have fetched a new token meanwhile: that one stays. */
  refused(endpoint: Endpoint, metadata: CallMetadata | undefined): void {
    const entry = this.#perEndpoint.get(endpoint.url)
    if (entry === undefined) return
    if (
      metadata !== undefined &&
      metadata !== entry.headers.withLeader &&
      metadata !== entry.headers.anyMember
    )
      return
    entry.knowledge = { kind: 'unknown' }
  }

  #entry(endpoint: Endpoint): Entry {
    let entry = this.#perEndpoint.get(endpoint.url)
    if (entry === undefined) {
      entry = { knowledge: { kind: 'unknown' }, headers: WITHOUT_TOKEN, fetching: undefined }
      this.#perEndpoint.set(endpoint.url, entry)
    }
    return entry
  }

  async #authenticate(entry: Entry, endpoint: Endpoint, link: Link): Promise<TransportFailure | undefined> {
    const { username, password } = this.#credentials!
    const { path, request, response } = methods.authenticate
    let stopTimer = () => {}
    if (link.state.kind !== 'ready') {
      return { status: Code.unavailable, message: 'the connection is gone', sent: false }
    }
    const outcome = await new Promise<UnaryOutcome>(resolve => {
      const call = link.unary(
        path,
        request.encode({ name: username, password }),
        WITHOUT_TOKEN.anyMember,
        resolve,
      )
      const timer = this.#runtime.setTimer(AUTHENTICATE_TIMEOUT_MS, () => {
        // Before it is told that we have cancelled it: nobody has asked for that.
        resolve({
          kind: 'failure',
          failure: { status: Code.deadlineExceeded, message: 'no answer in time', sent: true },
        })
        call.cancel()
      })
      stopTimer = () => timer.cancel()
    })
    stopTimer()
    if (outcome.kind === 'failure') {
      // ErrAuthNotEnabled: go on without a token.
      if (!outcome.failure.message.includes('authentication is not enabled')) return outcome.failure
      entry.knowledge = { kind: 'not-enabled' }
      // A set of its own, so that a later refusal can be told from an older one.
      entry.headers = { withLeader: { hasleader: 'true' }, anyMember: {} }
      return undefined
    }
    const token = understood(() => usable(response.decode(outcome.message).token), endpoint)
    entry.knowledge = { kind: 'token', token }
    entry.headers = { withLeader: { hasleader: 'true', token }, anyMember: { token } }
    return undefined
  }
}

/** Would a token be refused again, also by another member or later? */
export function isFinal({ failure, retry }: Verdict): boolean {
  return failure === 'rejected' && (retry === 'never' || retry === 'after-authentication')
}

function understood(read: () => string, endpoint: Endpoint): string {
  try {
    return read()
  } catch (error) {
    throw notUnderstood('Authenticate', endpoint, error)
  }
}

/** A token travels as a header; one that fits none is no token, and appears in no error. */
function usable(token: string): string {
  if (/^[!-~]+$/.test(token)) return token
  throw new EtcdError('PROTOCOL', `[PROTOCOL] a token of ${token.length} characters fits no header`, {
    outcome: 'unknown',
  })
}

function orAborted<Value>(promise: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const stop = onAbort(signal, reject)
    void promise.then(resolve, reject).finally(stop)
  })
}
