import { Code } from '../support/codes.ts'
import { StatusError } from './status-error.ts'

export type RefusalName =
  | 'emptyKey'
  | 'keyNotFound'
  | 'valueProvided'
  | 'leaseProvided'
  | 'tooManyOps'
  | 'duplicateKey'
  | 'invalidSortOption'
  | 'compacted'
  | 'futureRevision'
  | 'requestTooLarge'
  | 'noSpace'
  | 'corrupt'
  | 'leaseNotFound'
  | 'leaseExists'
  | 'leaseTtlTooLarge'
  | 'memberExists'
  | 'peerUrlExists'
  | 'memberNotEnoughStarted'
  | 'memberBadUrls'
  | 'memberNotFound'
  | 'memberNotLearner'
  | 'learnerNotReady'
  | 'tooManyLearners'
  | 'notSupportedForLearner'
  | 'badLeaderTransferee'
  | 'notLeader'
  | 'rootUserNotExist'
  | 'rootRoleNotExist'
  | 'userAlreadyExists'
  | 'userEmpty'
  | 'userNotFound'
  | 'roleAlreadyExists'
  | 'roleNotFound'
  | 'roleEmpty'
  | 'authFailed'
  | 'permissionNotGiven'
  | 'permissionDenied'
  | 'roleNotGranted'
  | 'permissionNotGranted'
  | 'authNotEnabled'
  | 'invalidAuthToken'
  | 'invalidAuthManagement'
  | 'authOldRevision'
  | 'noLeader'
  | 'stopped'
  | 'timeout'

/**
 * Every refusal of etcd, with its exact status and words: clients of all languages recognize errors by them.
 * A function each, so that the stack of an error tells where it was refused.
 */
export const refuse: Readonly<Record<RefusalName, () => StatusError>> = {
  // keys
  emptyKey: refusal(Code.invalidArgument, 'key is not provided'),
  keyNotFound: refusal(Code.invalidArgument, 'key not found'),
  valueProvided: refusal(Code.invalidArgument, 'value is provided'),
  leaseProvided: refusal(Code.invalidArgument, 'lease is provided'),
  tooManyOps: refusal(Code.invalidArgument, 'too many operations in txn request'),
  duplicateKey: refusal(Code.invalidArgument, 'duplicate key given in txn request'),
  invalidSortOption: refusal(Code.invalidArgument, 'invalid sort option'),
  compacted: refusal(Code.outOfRange, 'mvcc: required revision has been compacted'),
  futureRevision: refusal(Code.outOfRange, 'mvcc: required revision is a future revision'),
  requestTooLarge: refusal(Code.invalidArgument, 'request is too large'),
  noSpace: refusal(Code.resourceExhausted, 'mvcc: database space exceeded'),
  corrupt: refusal(Code.dataLoss, 'corrupt cluster'),
  // leases
  leaseNotFound: refusal(Code.notFound, 'requested lease not found'),
  leaseExists: refusal(Code.failedPrecondition, 'lease already exists'),
  leaseTtlTooLarge: refusal(Code.outOfRange, 'too large lease TTL'),
  // members
  memberExists: refusal(Code.failedPrecondition, 'member ID already exist'),
  peerUrlExists: refusal(Code.failedPrecondition, 'Peer URLs already exists'),
  memberNotEnoughStarted: refusal(
    Code.failedPrecondition,
    're-configuration failed due to not enough started members',
  ),
  memberBadUrls: refusal(Code.invalidArgument, 'given member URLs are invalid'),
  memberNotFound: refusal(Code.notFound, 'member not found'),
  memberNotLearner: refusal(Code.failedPrecondition, 'can only promote a learner member'),
  learnerNotReady: refusal(
    Code.failedPrecondition,
    'can only promote a learner member which is in sync with leader',
  ),
  tooManyLearners: refusal(Code.failedPrecondition, 'too many learner members in cluster'),
  notSupportedForLearner: refusal(Code.failedPrecondition, 'rpc not supported for learner'),
  badLeaderTransferee: refusal(Code.failedPrecondition, 'bad leader transferee'),
  notLeader: refusal(Code.failedPrecondition, 'not leader'),
  // users and roles
  rootUserNotExist: refusal(Code.failedPrecondition, 'root user does not exist'),
  rootRoleNotExist: refusal(Code.failedPrecondition, 'root user does not have root role'),
  userAlreadyExists: refusal(Code.failedPrecondition, 'user name already exists'),
  userEmpty: refusal(Code.invalidArgument, 'user name is empty'),
  userNotFound: refusal(Code.failedPrecondition, 'user name not found'),
  roleAlreadyExists: refusal(Code.failedPrecondition, 'role name already exists'),
  roleNotFound: refusal(Code.failedPrecondition, 'role name not found'),
  roleEmpty: refusal(Code.invalidArgument, 'role name is empty'),
  authFailed: refusal(Code.invalidArgument, 'authentication failed, invalid user ID or password'),
  permissionNotGiven: refusal(Code.invalidArgument, 'permission not given'),
  permissionDenied: refusal(Code.permissionDenied, 'permission denied'),
  roleNotGranted: refusal(Code.failedPrecondition, 'role is not granted to the user'),
  permissionNotGranted: refusal(Code.failedPrecondition, 'permission is not granted to the role'),
  authNotEnabled: refusal(Code.failedPrecondition, 'authentication is not enabled'),
  invalidAuthToken: refusal(Code.unauthenticated, 'invalid auth token'),
  invalidAuthManagement: refusal(Code.invalidArgument, 'invalid auth management'),
  authOldRevision: refusal(Code.invalidArgument, 'revision of auth store is old'),
  // the cluster
  noLeader: refusal(Code.unavailable, 'no leader'),
  stopped: refusal(Code.unavailable, 'server stopped'),
  timeout: refusal(Code.unavailable, 'request timed out'),
}

function refusal(status: number, words: string): () => StatusError {
  return () => new StatusError(status, `etcdserver: ${words}`)
}
