import { ownOnly } from '../support/own.ts'

/** What went wrong. Codes are stable and may be relied on; `docs/errors.md` says of each what to do about it. */
export type ErrorCode =
  // the cluster could not be asked, or did not answer
  | 'UNAVAILABLE'
  | 'TIMEOUT'
  | 'NO_LEADER'
  | 'TLS'
  | 'CLIENT_CLOSED'
  | 'CLUSTER_MISMATCH'
  | 'PROTOCOL'
  | 'UNIMPLEMENTED'
  // the cluster said no
  | 'UNAUTHENTICATED'
  | 'AUTH_FAILED'
  | 'PERMISSION_DENIED'
  | 'INVALID_ARGUMENT'
  | 'FAILED_PRECONDITION'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'COMPACTED'
  | 'FUTURE_REVISION'
  | 'TOO_LARGE'
  | 'TOO_MANY_OPERATIONS'
  | 'DUPLICATE_KEY'
  | 'TOO_MANY_REQUESTS'
  | 'NO_SPACE'
  | 'CORRUPT'
  | 'LEASE_NOT_FOUND'
  | 'LEASE_EXISTS'
  | 'CANCELLED'
  | 'UNKNOWN'
  // what was built on it is over
  | 'SESSION_LOST'
  | 'SESSION_SUSPENDED'
  | 'SESSION_CLOSED'
  | 'LOCK_LOST'
  | 'LOCK_RELEASED'
  | 'NAME_CLASH'
  | 'BARRIER_BROKEN'
  | 'TOO_MANY_PARTICIPANTS'
  | 'CONFLICT'

/**
 * Whether the request can have taken effect.
 *
 * - `not-sent`: no byte of it left this process
 * - `rejected`: the cluster refused it, nothing changed
 * - `unknown`: it may have been applied, or may be applied later
 */
export type Outcome = 'not-sent' | 'rejected' | 'unknown'

export interface EtcdErrorDetails {
  readonly outcome: Outcome
  /** The endpoint that said so, without credentials. */
  readonly endpoint?: string | undefined
  readonly cause?: unknown
  /** With `COMPACTED`: the oldest revision that can still be read or watched, where the server named it. */
  readonly compactRevision?: bigint | undefined
  /** gRPC status code behind it, where there was one. */
  readonly grpcStatus?: number | undefined
}

const BRAND = Symbol.for('quorate.EtcdError')

/**
 * Whatever the cluster or the network does to a call. The message is for people and may change. Misuse is none of
 * it: it throws `TypeError` or `RangeError` before any request.
 */
export class EtcdError extends Error {
  /** What went wrong. Stable. */
  readonly code: ErrorCode
  /** Whether the request can have taken effect: `unknown` means that a write may have been applied. */
  readonly outcome: Outcome
  /** The endpoint that said so, without credentials. */
  readonly endpoint: string | undefined
  /** With `COMPACTED`: the oldest revision that can still be read or watched, where the server named it. */
  readonly compactRevision: bigint | undefined
  /** gRPC status code behind it, where there was one. */
  readonly grpcStatus: number | undefined

  constructor(code: ErrorCode, message: string, given: EtcdErrorDetails) {
    const details = ownOnly(given)
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'EtcdError'
    this.code = code
    this.outcome = details.outcome
    this.endpoint = details.endpoint
    this.compactRevision = details.compactRevision
    this.grpcStatus = details.grpcStatus
    Object.defineProperty(this, BRAND, { value: true })
  }

  /** Is `error` an EtcdError, of this code if one is given? True also across two installed copies of the package. */
  static is(error: unknown, code?: ErrorCode): error is EtcdError {
    if (typeof error !== 'object' || error === null || !(BRAND in error)) return false
    return code === undefined || (error as { code?: unknown }).code === code
  }
}
