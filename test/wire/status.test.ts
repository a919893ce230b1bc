import test from 'ava'
import type { ErrorCode } from '../../src/wire/errors.ts'
import { type FailureClass, judge, judgeCancelReason, oneLine, type Retry } from '../../src/wire/status.ts'

const PUT = { method: '/etcdserverpb.KV/Put', endpoint: 'http://a:2379' }
const RANGE = { method: '/etcdserverpb.KV/Range', endpoint: 'http://a:2379' }
const WATCH = { method: '/etcdserverpb.Watch/Watch', endpoint: 'http://a:2379' }

const CANCELED = 1
const UNKNOWN = 2
const INVALID = 3
const DEADLINE = 4
const NOT_FOUND = 5
const EXISTS = 6
const DENIED = 7
const EXHAUSTED = 8
const PRECONDITION = 9
const ABORTED = 10
const RANGE_ERROR = 11
const UNIMPLEMENTED = 12
const INTERNAL = 13
const UNAVAILABLE = 14
const DATA_LOSS = 15
const UNAUTHENTICATED = 16

type Row = readonly [status: number, words: string, code: ErrorCode, failure: FailureClass, retry: Retry]

/** Written from etcd's list of errors, not from the table that is tested. */
const ROWS: readonly Row[] = [
  [INVALID, 'etcdserver: key is not provided', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [INVALID, 'etcdserver: key not found', 'NOT_FOUND', 'rejected', 'never'],
  [INVALID, 'etcdserver: value is provided', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [INVALID, 'etcdserver: lease is provided', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [INVALID, 'etcdserver: too many operations in txn request', 'TOO_MANY_OPERATIONS', 'rejected', 'never'],
  [INVALID, 'etcdserver: duplicate key given in txn request', 'DUPLICATE_KEY', 'rejected', 'never'],
  [INVALID, 'etcdserver: invalid client api version', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [INVALID, 'etcdserver: invalid sort option', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [RANGE_ERROR, 'etcdserver: mvcc: required revision has been compacted', 'COMPACTED', 'rejected', 'never'],
  [
    RANGE_ERROR,
    'etcdserver: mvcc: required revision is a future revision',
    'FUTURE_REVISION',
    'rejected',
    'never',
  ],
  [EXHAUSTED, 'etcdserver: mvcc: database space exceeded', 'NO_SPACE', 'ambiguous', 'never'],
  [UNKNOWN, 'etcdserver: no space', 'NO_SPACE', 'ambiguous', 'never'],
  [NOT_FOUND, 'etcdserver: requested lease not found', 'LEASE_NOT_FOUND', 'rejected', 'never'],
  [UNKNOWN, 'lease not found', 'LEASE_NOT_FOUND', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: lease already exists', 'LEASE_EXISTS', 'rejected', 'never'],
  [RANGE_ERROR, 'etcdserver: too large lease TTL', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [UNKNOWN, 'not a primary lessor', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [CANCELED, 'etcdserver: watch canceled', 'CANCELLED', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'mvcc: watcher is canceled', 'CANCELLED', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'mvcc: closed', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'mvcc: watcher range is empty', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [UNKNOWN, 'mvcc: duplicate watch ID provided on the WatchStream', 'ALREADY_EXISTS', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: member ID already exist', 'ALREADY_EXISTS', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: Peer URLs already exists', 'ALREADY_EXISTS', 'rejected', 'never'],
  [
    PRECONDITION,
    'etcdserver: re-configuration failed due to not enough started members',
    'FAILED_PRECONDITION',
    'rejected',
    'never',
  ],
  [INVALID, 'etcdserver: given member URLs are invalid', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [NOT_FOUND, 'etcdserver: member not found', 'NOT_FOUND', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: can only promote a learner member', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [
    PRECONDITION,
    'etcdserver: can only promote a learner member which is in sync with leader',
    'FAILED_PRECONDITION',
    'rejected',
    'never',
  ],
  [
    PRECONDITION,
    'etcdserver: too many learner members in cluster',
    'FAILED_PRECONDITION',
    'rejected',
    'never',
  ],
  [PRECONDITION, 'etcdserver: cluster ID mismatch', 'CLUSTER_MISMATCH', 'rejected', 'never'],
  [INVALID, 'etcdserver: request is too large', 'TOO_LARGE', 'rejected', 'never'],
  [EXHAUSTED, 'etcdserver: too many requests', 'TOO_MANY_REQUESTS', 'rejected', 'after-backoff'],
  [UNKNOWN, 'etcdserver: too many requests', 'TOO_MANY_REQUESTS', 'rejected', 'after-backoff'],
  [PRECONDITION, 'etcdserver: root user does not exist', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: root user does not have root role', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: user name already exists', 'ALREADY_EXISTS', 'rejected', 'never'],
  [UNKNOWN, 'auth: user already exists', 'ALREADY_EXISTS', 'rejected', 'never'],
  [INVALID, 'etcdserver: user name is empty', 'UNAUTHENTICATED', 'rejected', 'after-authentication'],
  [PRECONDITION, 'etcdserver: user name not found', 'NOT_FOUND', 'rejected', 'never'],
  [UNKNOWN, 'auth: user not found', 'NOT_FOUND', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: role name already exists', 'ALREADY_EXISTS', 'rejected', 'never'],
  [UNKNOWN, 'auth: role already exists', 'ALREADY_EXISTS', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: role name not found', 'NOT_FOUND', 'rejected', 'never'],
  [UNKNOWN, 'auth: role not found', 'NOT_FOUND', 'rejected', 'never'],
  [INVALID, 'etcdserver: role name is empty', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [
    INVALID,
    'etcdserver: authentication failed, invalid user ID or password',
    'AUTH_FAILED',
    'rejected',
    'never',
  ],
  [
    UNKNOWN,
    'auth: authentication failed, password was given for no password user',
    'AUTH_FAILED',
    'rejected',
    'never',
  ],
  [INVALID, 'etcdserver: permission not given', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [DENIED, 'etcdserver: permission denied', 'PERMISSION_DENIED', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: role is not granted to the user', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [
    PRECONDITION,
    'etcdserver: permission is not granted to the role',
    'FAILED_PRECONDITION',
    'rejected',
    'never',
  ],
  [PRECONDITION, 'etcdserver: authentication is not enabled', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [UNAUTHENTICATED, 'etcdserver: invalid auth token', 'UNAUTHENTICATED', 'rejected', 'after-authentication'],
  [UNKNOWN, 'auth: invalid auth token', 'UNAUTHENTICATED', 'rejected', 'after-authentication'],
  [INVALID, 'etcdserver: invalid auth management', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [
    INVALID,
    'etcdserver: revision of auth store is old',
    'UNAUTHENTICATED',
    'rejected',
    'after-authentication',
  ],
  [UNKNOWN, 'auth: revision in header is old', 'UNAUTHENTICATED', 'rejected', 'after-authentication'],
  [UNAVAILABLE, 'etcdserver: no leader', 'NO_LEADER', 'ambiguous', 'elsewhere'],
  [PRECONDITION, 'etcdserver: not leader', 'FAILED_PRECONDITION', 'rejected', 'elsewhere'],
  [UNAVAILABLE, 'etcdserver: leader changed', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [PRECONDITION, 'etcdserver: not capable', 'UNIMPLEMENTED', 'rejected', 'never'],
  [UNAVAILABLE, 'etcdserver: not capable', 'UNIMPLEMENTED', 'rejected', 'never'],
  [UNAVAILABLE, 'etcdserver: server stopped', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'raft: stopped', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'raft proposal dropped', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [UNAVAILABLE, 'etcdserver: request timed out', 'TIMEOUT', 'ambiguous', 'elsewhere'],
  [
    UNAVAILABLE,
    'etcdserver: request timed out, possibly due to previous leader failure',
    'TIMEOUT',
    'ambiguous',
    'elsewhere',
  ],
  [
    UNAVAILABLE,
    'etcdserver: request timed out, possibly due to connection lost',
    'TIMEOUT',
    'ambiguous',
    'elsewhere',
  ],
  [
    UNAVAILABLE,
    'etcdserver: request timed out, waiting for the applied index took too long',
    'TIMEOUT',
    'ambiguous',
    'elsewhere',
  ],
  [
    UNKNOWN,
    'etcdserver: request timed out, leader transfer took too long',
    'TIMEOUT',
    'ambiguous',
    'elsewhere',
  ],
  [UNAVAILABLE, 'etcdserver: unhealthy cluster', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [DATA_LOSS, 'etcdserver: corrupt cluster', 'CORRUPT', 'rejected', 'never'],
  [PRECONDITION, 'etcdserver: rpc not supported for learner', 'FAILED_PRECONDITION', 'rejected', 'elsewhere'],
  [UNAVAILABLE, 'etcdserver: rpc not supported for learner', 'FAILED_PRECONDITION', 'rejected', 'elsewhere'],
  [PRECONDITION, 'etcdserver: bad leader transferee', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [INVALID, 'etcdserver: wrong downgrade target version format', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [INVALID, 'etcdserver: invalid downgrade target version', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [
    PRECONDITION,
    'etcdserver: cluster version not found during downgrade',
    'FAILED_PRECONDITION',
    'rejected',
    'never',
  ],
  [
    PRECONDITION,
    'etcdserver: cluster has a downgrade job in progress',
    'FAILED_PRECONDITION',
    'rejected',
    'never',
  ],
  [PRECONDITION, 'etcdserver: no inflight downgrade job', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [CANCELED, 'etcdserver: request canceled', 'CANCELLED', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'etcdserver: request cancelled', 'CANCELLED', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'context canceled', 'CANCELLED', 'ambiguous', 'elsewhere'],
  [DEADLINE, 'context deadline exceeded', 'TIMEOUT', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'context deadline exceeded', 'TIMEOUT', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'election: not leader', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [UNKNOWN, 'election: no leader', 'NOT_FOUND', 'rejected', 'never'],
  [UNKNOWN, '"leader" field must be provided', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [UNKNOWN, 'mutex: session is expired', 'LEASE_NOT_FOUND', 'ambiguous', 'never'],
  // what carries the calls
  [0, '', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [CANCELED, 'Call cancelled', 'CANCELLED', 'ambiguous', 'elsewhere'],
  [UNKNOWN, 'something nobody has written down', 'UNKNOWN', 'ambiguous', 'never'],
  [UNKNOWN, 'Received RST_STREAM with code 2', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [INVALID, 'words of a later version', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [DEADLINE, 'Deadline exceeded after 2.0s', 'TIMEOUT', 'ambiguous', 'elsewhere'],
  [NOT_FOUND, 'words of a later version', 'NOT_FOUND', 'rejected', 'never'],
  [EXISTS, 'words of a later version', 'ALREADY_EXISTS', 'rejected', 'never'],
  [DENIED, 'words of a later version', 'PERMISSION_DENIED', 'rejected', 'never'],
  [EXHAUSTED, 'Bandwidth exhausted or memory limit exceeded', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [EXHAUSTED, 'grpc: received message larger than max (3 vs. 2)', 'TOO_LARGE', 'rejected', 'never'],
  [EXHAUSTED, 'grpc: trying to send message larger than max (3 vs. 2)', 'TOO_LARGE', 'ambiguous', 'never'],
  [EXHAUSTED, 'Received message larger than max (3 vs 2)', 'TOO_LARGE', 'ambiguous', 'never'],
  [PRECONDITION, 'words of a later version', 'FAILED_PRECONDITION', 'rejected', 'never'],
  [ABORTED, 'words of a later version', 'UNKNOWN', 'ambiguous', 'never'],
  [RANGE_ERROR, 'words of a later version', 'INVALID_ARGUMENT', 'rejected', 'never'],
  [UNIMPLEMENTED, 'unknown service v3lockpb.Lock', 'UNIMPLEMENTED', 'rejected', 'never'],
  [
    INTERNAL,
    'Received RST_STREAM with code 2 (Internal server error)',
    'UNAVAILABLE',
    'ambiguous',
    'elsewhere',
  ],
  [UNAVAILABLE, 'Connection dropped', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [UNAVAILABLE, 'read ECONNRESET', 'UNAVAILABLE', 'ambiguous', 'elsewhere'],
  [UNAVAILABLE, "Hostname/IP does not match certificate's altnames", 'TLS', 'ambiguous', 'elsewhere'],
  [UNAVAILABLE, 'unable to verify the first certificate', 'TLS', 'ambiguous', 'elsewhere'],
  [UNAVAILABLE, 'ssl3_read_bytes:tlsv13 alert certificate required', 'TLS', 'ambiguous', 'elsewhere'],
  [
    UNAVAILABLE,
    'write EPROTO: SSL routines:ssl3_get_record:wrong version number',
    'TLS',
    'ambiguous',
    'elsewhere',
  ],
  [
    UNAVAILABLE,
    'Client network socket disconnected before secure TLS connection was established',
    'UNAVAILABLE',
    'ambiguous',
    'elsewhere',
  ],
  [DATA_LOSS, 'words of a later version', 'CORRUPT', 'ambiguous', 'never'],
  [UNAUTHENTICATED, 'words of a later version', 'UNAUTHENTICATED', 'rejected', 'after-authentication'],
  [99, 'a status of a later version', 'UNKNOWN', 'ambiguous', 'never'],
]

const OUTCOMES = { 'not-sent': 'not-sent', rejected: 'rejected', ambiguous: 'unknown' } as const

for (const [status, words, code, failure, retry] of ROWS) {
  test(`a put that fails with status ${status} and '${words}' is ${failure} with ${code}, repeated ${retry}`, t => {
    const { error, ...verdict } = judge({ status, message: words, sent: true }, PUT)
    t.deepEqual(verdict, { failure, retry })
    t.is(error.code, code)
    t.is(error.outcome, OUTCOMES[failure])
    t.is(error.grpcStatus, status)
    t.is(error.endpoint, 'http://a:2379')
    t.true(
      error.message.startsWith(`[${code}] KV/Put on http://a:2379: ${words || 'no reason given'}; `),
      error.message,
    )
    t.is(error.cause, undefined)
  })
}

test('a request that was not sent is never anything else, and another connection may carry it', t => {
  for (const [status, words, code, failure] of ROWS) {
    const verdict = judge({ status, message: words, sent: false }, PUT)
    t.is(verdict.failure, 'not-sent')
    t.is(verdict.error.outcome, 'not-sent')
    t.is(verdict.error.code, code)
    if (failure === 'ambiguous') t.is(verdict.retry, 'elsewhere')
  }
})

test('a read of a future revision may be asked of a member that is not behind', t => {
  const message = 'etcdserver: mvcc: required revision is a future revision'
  const { error, ...verdict } = judge({ status: RANGE_ERROR, message, sent: true }, RANGE)
  t.deepEqual(verdict, { failure: 'rejected', retry: 'elsewhere' })
  t.is(error.code, 'FUTURE_REVISION')
})

test('the cause of a failure is kept', t => {
  const cause = new Error('socket')
  t.is(judge({ status: UNAVAILABLE, message: 'x', sent: true, cause }, PUT).error.cause, cause)
})

test("a server's words cannot begin a new line", t => {
  const { error } = judge({ status: UNKNOWN, message: 'a\n[LOCK_LOST] b\r\nc', sent: true }, PUT)
  t.notRegex(error.message, /[\r\n]/)
})

type Reason = readonly [
  reason: string,
  code: ErrorCode,
  failure: FailureClass,
  retry: Retry,
  grpcStatus: number | undefined,
]

const REASONS: readonly Reason[] = [
  ['etcdserver: permission denied', 'PERMISSION_DENIED', 'rejected', 'never', undefined],
  [
    'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
    'PERMISSION_DENIED',
    'rejected',
    'never',
    DENIED,
  ],
  [
    'rpc error: code = Unauthenticated desc = etcdserver: invalid auth token',
    'UNAUTHENTICATED',
    'rejected',
    'after-authentication',
    UNAUTHENTICATED,
  ],
  [
    'rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old',
    'UNAUTHENTICATED',
    'rejected',
    'after-authentication',
    INVALID,
  ],
  [
    'rpc error: code = Unavailable desc = etcdserver: no leader',
    'NO_LEADER',
    'ambiguous',
    'elsewhere',
    UNAVAILABLE,
  ],
  [
    'rpc error: code = Unavailable desc = words of a later version',
    'UNAVAILABLE',
    'ambiguous',
    'elsewhere',
    UNAVAILABLE,
  ],
  ['rpc error: code = NoSuchCode desc = what', 'UNKNOWN', 'ambiguous', 'never', undefined],
  ['mvcc: required revision has been compacted', 'COMPACTED', 'rejected', 'never', undefined],
  ['mvcc: duplicate watch ID provided on the WatchStream', 'ALREADY_EXISTS', 'rejected', 'never', undefined],
  ['', 'CANCELLED', 'ambiguous', 'elsewhere', undefined],
]

for (const [reason, code, failure, retry, grpcStatus] of REASONS) {
  test(`a watch cancelled with '${reason}' is ${failure} with ${code}, opened again ${retry}`, t => {
    const { error, ...verdict } = judgeCancelReason(reason, 0n, WATCH)
    t.deepEqual(verdict, { failure, retry })
    t.is(error.code, code)
    t.is(error.grpcStatus, grpcStatus)
    t.true(error.message.startsWith(`[${code}] Watch/Watch on http://a:2379: `))
    t.notRegex(error.message, /rpc error/)
  })
}

test('a watch behind the compaction says from where the history is left, with words or without', t => {
  for (const reason of ['', 'etcdserver: mvcc: required revision has been compacted', 'anything']) {
    const { error, failure, retry } = judgeCancelReason(reason, 7n, WATCH)
    t.is(error.code, 'COMPACTED')
    t.is(error.compactRevision, 7n)
    t.deepEqual([failure, retry], ['rejected', 'never'])
  }
})

test('of what OpenSSL and Node say of a handshake the reason is left', t => {
  for (const [words, reason] of [
    [
      '807CECD23B7F0000:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/record.c:350:',
      'wrong version number',
    ],
    [
      'Error [ERR_TLS_CERT_ALTNAME_INVALID]: IP: 127.0.0.1 is not in the list:',
      'IP: 127.0.0.1 is not in the list',
    ],
    ['self-signed certificate', 'self-signed certificate'],
  ] as const)
    t.is(oneLine(words), reason)
})
