import { Code } from '../support/codes.ts'
import type { TransportFailure } from '../support/transport.ts'
import { type ErrorCode, EtcdError, type Outcome } from './errors.ts'

/**
 * What a failed call means: one table from etcd's own words, and from gRPC's status where there are none, to
 * an error, what may have happened, and what may be done about it.
 */

/**
 * - `not-sent`: no byte of the request left this process
 * - `rejected`: the cluster refused it, nothing changed
 * - `ambiguous`: it may have been applied, or may be applied later
 */
export type FailureClass = 'not-sent' | 'rejected' | 'ambiguous'

/**
 * - `elsewhere`: at once, on another endpoint. A call that must not be made twice only if the failure is not
 *   `ambiguous`
 * - `after-backoff`: the server is too busy and did nothing, so any call may be made again, later
 * - `after-authentication`: refused before it was looked at, so any call may be made again with a new token
 */
export type Retry = 'never' | 'elsewhere' | 'after-backoff' | 'after-authentication'

export interface Verdict {
  readonly error: EtcdError
  readonly failure: FailureClass
  readonly retry: Retry
}

/** What the message names: the gRPC path, and the endpoint without credentials. */
export interface CallContext {
  readonly method: string
  readonly endpoint: string
}

export function judge(failure: TransportFailure, context: CallContext): Verdict {
  const rule = ruleFor(failure.status, failure.message, context)
  const { status: grpcStatus, cause } = failure
  if (failure.sent) return verdict(rule, failure.message, context, { grpcStatus, cause })
  // Whatever stood in the way, the request itself was not refused: another connection may carry it.
  const retry = rule.failure === 'ambiguous' ? 'elsewhere' : rule.retry
  return verdict({ ...rule, failure: 'not-sent', retry }, failure.message, context, { grpcStatus, cause })
}

/**
 * A watch ends with words instead of a status. Some servers put the status into them, as Go prints it; a
 * watch behind the compaction is told the revision, and not always in words.
 */
export function judgeCancelReason(reason: string, compactRevision: bigint, context: CallContext): Verdict {
  if (compactRevision !== 0n) {
    const words = reason === '' ? `compacted up to revision ${compactRevision}` : reason
    return verdict(COMPACTED, words, context, { compactRevision })
  }
  const printed = /^rpc error: code = (\w+) desc = (.*)$/s.exec(reason)
  const status = printed === null ? undefined : GO_CODES.indexOf(printed[1]!)
  const words = printed?.[2] ?? (reason === '' ? 'the watch was cancelled without a reason' : reason)
  if (reason === '') return verdict(CANCELLED, words, context, {})
  const grpcStatus = status === -1 ? undefined : status
  return verdict(ruleFor(grpcStatus ?? Code.unknown, words, context), words, context, { grpcStatus })
}

interface Rule {
  readonly code: ErrorCode
  readonly failure: 'rejected' | 'ambiguous'
  readonly retry: Retry
}

/** Names of the gRPC codes as Go prints them, by number. */
const GO_CODES: readonly string[] = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
]

const COMPACTED = refused('COMPACTED')
const CANCELLED = maybe('CANCELLED')

/**
 * By the server's words, without the name of the part of it that speaks (`etcdserver: `, `auth: `). Words come
 * before the status, since the same words travel with different statuses: what a server has no status for is
 * sent as UNKNOWN, and series differ in what they have one for.
 */
const BY_WORDS: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  // keys
  ['key is not provided', refused('INVALID_ARGUMENT')], // EmptyKey
  ['key not found', refused('NOT_FOUND')], // KeyNotFound: a put that keeps the value or lease of nothing
  ['value is provided', refused('INVALID_ARGUMENT')], // ValueProvided
  ['lease is provided', refused('INVALID_ARGUMENT')], // LeaseProvided
  ['too many operations in txn request', refused('TOO_MANY_OPERATIONS')], // TooManyOps
  ['duplicate key given in txn request', refused('DUPLICATE_KEY')], // DuplicateKey
  ['invalid sort option', refused('INVALID_ARGUMENT')], // InvalidSortOption
  ['invalid client api version', refused('INVALID_ARGUMENT')], // InvalidClientAPIVersion
  ['mvcc: required revision has been compacted', COMPACTED], // Compacted
  ['mvcc: required revision is a future revision', refused('FUTURE_REVISION')], // FutureRev
  ['request is too large', refused('TOO_LARGE')], // RequestTooLarge
  ['too many requests', { code: 'TOO_MANY_REQUESTS', failure: 'rejected', retry: 'after-backoff' }], // RequestTooManyRequests
  ['mvcc: database space exceeded', full()], // NoSpace
  ['no space', full()],
  // watches
  ['watch canceled', CANCELLED], // WatchCanceled
  ['mvcc: watcher is canceled', CANCELLED],
  ['mvcc: closed', maybe('UNAVAILABLE')],
  ['mvcc: watcher range is empty', refused('INVALID_ARGUMENT')],
  ['mvcc: duplicate watch ID provided on the WatchStream', refused('ALREADY_EXISTS')],
  // leases
  ['requested lease not found', refused('LEASE_NOT_FOUND')], // LeaseNotFound
  ['lease not found', refused('LEASE_NOT_FOUND')],
  ['lease already exists', refused('LEASE_EXISTS')], // LeaseExist
  ['too large lease TTL', refused('INVALID_ARGUMENT')], // LeaseTTLTooLarge
  ['not a primary lessor', maybe('UNAVAILABLE')],
  // members
  ['member ID already exist', refused('ALREADY_EXISTS')], // MemberExist
  ['Peer URLs already exists', refused('ALREADY_EXISTS')], // PeerURLExist
  ['re-configuration failed due to not enough started members', refused('FAILED_PRECONDITION')], // MemberNotEnoughStarted
  ['given member URLs are invalid', refused('INVALID_ARGUMENT')], // MemberBadURLs
  ['member not found', refused('NOT_FOUND')], // MemberNotFound
  ['can only promote a learner member', refused('FAILED_PRECONDITION')], // MemberNotLearner
  ['can only promote a learner member which is in sync with leader', refused('FAILED_PRECONDITION')], // LearnerNotReady
  ['too many learner members in cluster', refused('FAILED_PRECONDITION')], // TooManyLearners
  ['rpc not supported for learner', refusedHere('FAILED_PRECONDITION')], // NotSupportedForLearner
  ['cluster ID mismatch', refused('CLUSTER_MISMATCH')], // ClusterIDMismatch
  ['bad leader transferee', refused('FAILED_PRECONDITION')], // BadLeaderTransferee
  ['not leader', refusedHere('FAILED_PRECONDITION')], // NotLeader
  ['not capable', refused('UNIMPLEMENTED')], // NotCapable
  ['wrong downgrade target version format', refused('INVALID_ARGUMENT')], // WrongDowngradeVersionFormat
  ['invalid downgrade target version', refused('INVALID_ARGUMENT')], // InvalidDowngradeTargetVersion
  ['cluster version not found during downgrade', refused('FAILED_PRECONDITION')], // ClusterVersionUnavailable
  ['cluster has a downgrade job in progress', refused('FAILED_PRECONDITION')], // DowngradeInProcess
  ['no inflight downgrade job', refused('FAILED_PRECONDITION')], // NoInflightDowngrade
  // users and roles
  ['root user does not exist', refused('FAILED_PRECONDITION')], // RootUserNotExist
  ['root user does not have root role', refused('FAILED_PRECONDITION')], // RootRoleNotExist
  ['user name already exists', refused('ALREADY_EXISTS')], // UserAlreadyExist
  ['user already exists', refused('ALREADY_EXISTS')],
  ['user name is empty', unauthenticated()], // UserEmpty: authentication was enabled, and the call came without a token
  ['user name not found', refused('NOT_FOUND')], // UserNotFound
  ['user not found', refused('NOT_FOUND')],
  ['role name already exists', refused('ALREADY_EXISTS')], // RoleAlreadyExist
  ['role already exists', refused('ALREADY_EXISTS')],
  ['role name not found', refused('NOT_FOUND')], // RoleNotFound
  ['role not found', refused('NOT_FOUND')],
  ['role name is empty', refused('INVALID_ARGUMENT')], // RoleEmpty
  ['authentication failed, invalid user ID or password', refused('AUTH_FAILED')], // AuthFailed
  ['authentication failed, password was given for no password user', refused('AUTH_FAILED')],
  ['permission not given', refused('INVALID_ARGUMENT')], // PermissionNotGiven
  ['permission denied', refused('PERMISSION_DENIED')], // PermissionDenied
  ['role is not granted to the user', refused('FAILED_PRECONDITION')], // RoleNotGranted
  ['permission is not granted to the role', refused('FAILED_PRECONDITION')], // PermissionNotGranted
  ['authentication is not enabled', refused('FAILED_PRECONDITION')], // AuthNotEnabled
  ['invalid auth token', unauthenticated()], // InvalidAuthToken
  ['invalid auth management', refused('INVALID_ARGUMENT')], // InvalidAuthMgmt
  ['revision of auth store is old', unauthenticated()], // AuthOldRevision
  ['revision in header is old', unauthenticated()],
  // the cluster
  ['no leader', maybe('NO_LEADER')], // NoLeader
  ['leader changed', maybe('UNAVAILABLE')], // LeaderChanged
  ['server stopped', maybe('UNAVAILABLE')], // Stopped
  ['raft: stopped', maybe('UNAVAILABLE')],
  ['raft proposal dropped', maybe('UNAVAILABLE')],
  ['request timed out', maybe('TIMEOUT')], // Timeout
  ['request timed out, possibly due to previous leader failure', maybe('TIMEOUT')], // TimeoutDueToLeaderFail
  ['request timed out, possibly due to connection lost', maybe('TIMEOUT')], // TimeoutDueToConnectionLost
  ['request timed out, waiting for the applied index took too long', maybe('TIMEOUT')], // TimeoutWaitAppliedIndex
  ['request timed out, leader transfer took too long', maybe('TIMEOUT')],
  ['unhealthy cluster', maybe('UNAVAILABLE')], // Unhealthy
  ['corrupt cluster', refused('CORRUPT')], // Corrupt
  ['request canceled', CANCELLED], // Canceled
  ['request cancelled', CANCELLED],
  ['context canceled', CANCELLED],
  ['context deadline exceeded', maybe('TIMEOUT')], // DeadlineExceeded
  // the lock and election services inside the server
  ['election: not leader', refused('FAILED_PRECONDITION')],
  ['election: no leader', refused('NOT_FOUND')],
  ['"leader" field must be provided', refused('INVALID_ARGUMENT')],
  ['mutex: session is expired', { code: 'LEASE_NOT_FOUND', failure: 'ambiguous', retry: 'never' }],
])

/** By gRPC status, where the words are nobody's in particular. */
const BY_STATUS: readonly Rule[] = [
  maybe('UNAVAILABLE'), // OK: the peer ended a stream that has no end
  CANCELLED,
  { code: 'UNKNOWN', failure: 'ambiguous', retry: 'never' },
  refused('INVALID_ARGUMENT'),
  maybe('TIMEOUT'), // DEADLINE_EXCEEDED
  refused('NOT_FOUND'),
  refused('ALREADY_EXISTS'),
  refused('PERMISSION_DENIED'),
  maybe('UNAVAILABLE'), // RESOURCE_EXHAUSTED: "Bandwidth exhausted or memory limit exceeded" is a GOAWAY
  refused('FAILED_PRECONDITION'),
  { code: 'UNKNOWN', failure: 'ambiguous', retry: 'never' }, // ABORTED
  refused('INVALID_ARGUMENT'), // OUT_OF_RANGE
  refused('UNIMPLEMENTED'),
  maybe('UNAVAILABLE'), // INTERNAL: trouble with HTTP/2 or the codec, never etcd's own
  maybe('UNAVAILABLE'),
  { code: 'CORRUPT', failure: 'ambiguous', retry: 'never' }, // DATA_LOSS
  unauthenticated(),
]

/** How Node and OpenSSL speak of a handshake that no retry mends. */
const TLS_WORDS =
  /altname|certificate|self[- ]signed|SSL routines|SSL alert|tlsv1|sslv3|wrong version number|EPROTO|ERR_TLS_|ERR_SSL_/i

function ruleFor(status: number, message: string, context: CallContext): Rule {
  const words = message.replace(/^(etcdserver|auth): /, '')
  const rule = BY_WORDS.get(words)
  if (rule?.code === 'FUTURE_REVISION' && isRead(context)) return refusedHere('FUTURE_REVISION')
  if (rule !== undefined) return rule
  if (status === Code.resourceExhausted && words.includes('larger than max')) return tooLarge(words)
  if (isTransportStatus(status) && TLS_WORDS.test(words)) return maybe('TLS')
  if (status === Code.unknown && /RST_STREAM/.test(words)) return maybe('UNAVAILABLE')
  return BY_STATUS[status] ?? BY_STATUS[Code.unknown]!
}

/** The member asked may lag behind the one the revision came from. */
function isRead(context: CallContext): boolean {
  return context.method.endsWith('/Range')
}

/**
 * Only a server that *received* too much has not looked at it. One that cannot send its answer, and we when we
 * will not take it, are past the point where it was applied.
 */
function tooLarge(words: string): Rule {
  if (words.startsWith('grpc: received')) return refused('TOO_LARGE')
  return { code: 'TOO_LARGE', failure: 'ambiguous', retry: 'never' }
}

/** The statuses a transport gives to a connection that failed. */
function isTransportStatus(status: number): boolean {
  return status === Code.unavailable || status === Code.internal || status === Code.unknown
}

function refused(code: ErrorCode): Rule {
  return { code, failure: 'rejected', retry: 'never' }
}

/** This member cannot; another may. */
function refusedHere(code: ErrorCode): Rule {
  return { code, failure: 'rejected', retry: 'elsewhere' }
}

function unauthenticated(): Rule {
  return { code: 'UNAUTHENTICATED', failure: 'rejected', retry: 'after-authentication' }
}

/**
 * Whoever finds the quota exceeded when a write is applied has to apply it all the same, as every other member
 * does, and says these words afterwards. They are also those of a refusal, and nothing tells the two apart.
 */
function full(): Rule {
  return { code: 'NO_SPACE', failure: 'ambiguous', retry: 'never' }
}

function maybe(code: ErrorCode): Rule {
  return { code, failure: 'ambiguous', retry: 'elsewhere' }
}

interface Facts {
  readonly grpcStatus?: number | undefined
  readonly compactRevision?: bigint | undefined
  readonly cause?: unknown
}

const OUTCOMES: Readonly<Record<FailureClass, Outcome>> = {
  'not-sent': 'not-sent',
  rejected: 'rejected',
  ambiguous: 'unknown',
}

function verdict(
  rule: { readonly code: ErrorCode; readonly failure: FailureClass; readonly retry: Retry },
  words: string,
  { method, endpoint }: CallContext,
  facts: Facts,
): Verdict {
  const { code, failure, retry } = rule
  const call = method.replace(/^\/\w+\./, '')
  const message = `[${code}] ${call} on ${endpoint}: ${oneLine(words)}; ${meaningOf(code, failure)}`
  const error = new EtcdError(code, message, { outcome: OUTCOMES[failure], endpoint, ...facts })
  return { error, failure, retry }
}

/** What to do where there is something to do, else what became of the request. */
function meaningOf(code: ErrorCode, failure: FailureClass): string {
  switch (code) {
    case 'NO_SPACE':
      return 'whether it was applied is not known, and no write will be until the database is compacted, defragmented and its alarm disarmed'
    case 'CORRUPT':
      return 'stop writing: members of the cluster hold different data'
    case 'COMPACTED':
      return 'what was asked for no longer exists, read the present state instead'
    case 'TLS':
      return 'the two sides do not accept each other: check certificates, names and protocol'
    case 'UNIMPLEMENTED':
      return 'this server is too old for it'
    default:
      break
  }
  switch (failure) {
    case 'not-sent':
      return 'the request was not sent'
    case 'rejected':
      return 'the request was refused and changed nothing'
    case 'ambiguous':
      return 'whether the request was applied is not known'
  }
}

/**
 * Words come from the network: they must neither forge a line of a log, nor steer a terminal, nor fill a disk. Of
 * what OpenSSL and Node say of a handshake the reason is left.
 */
export function oneLine(words: string): string {
  if (words === '') return 'no reason given'
  const line = words
    .slice(0, LONGEST_WORDS)
    .replace(/(?:[0-9A-F]+:)?error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):[^;]*/g, '$1')
    .replace(/^Error \[ERR_\w+\]: |:$/g, '')
    .replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ')
  return words.length > LONGEST_WORDS ? `${line}…` : line
}

const LONGEST_WORDS = 2000
