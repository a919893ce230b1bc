import type { MessageCodec } from './codec.ts'
import * as rpc from './gen/rpc.g.ts'
import * as election from './gen/v3election.g.ts'
import * as lock from './gen/v3lock.g.ts'

/**
 * May a call that got no answer be made again, unseen by the caller?
 *
 * - `read`: it changes nothing
 * - `idempotent`: made twice it does what it does once, though the second answer may be another (`NOT_FOUND`
 *   where the first attempt was applied)
 * - `once`: a repeat could do something nobody asked for. A caller whose request is idempotent by construction
 *   (guarded by a revision, or with an id of its own) knows better and says so
 */
export type Repeat = 'read' | 'idempotent' | 'once'

export type MethodKind = 'unary' | 'server-stream' | 'duplex'

export interface Method<Request, Response> {
  /** The gRPC path, `/etcdserverpb.KV/Range`. */
  readonly path: string
  readonly kind: MethodKind
  readonly repeat: Repeat
  readonly request: MessageCodec<Request>
  readonly response: MessageCodec<Response>
}

/** Every call of the API, and how it may be made. */
export interface Methods {
  readonly range: Method<rpc.RangeRequest, rpc.RangeResponse>
  readonly put: Method<rpc.PutRequest, rpc.PutResponse>
  readonly deleteRange: Method<rpc.DeleteRangeRequest, rpc.DeleteRangeResponse>
  readonly txn: Method<rpc.TxnRequest, rpc.TxnResponse>
  readonly compact: Method<rpc.CompactionRequest, rpc.CompactionResponse>

  readonly watch: Method<rpc.WatchRequest, rpc.WatchResponse>

  readonly leaseGrant: Method<rpc.LeaseGrantRequest, rpc.LeaseGrantResponse>
  readonly leaseRevoke: Method<rpc.LeaseRevokeRequest, rpc.LeaseRevokeResponse>
  readonly leaseKeepAlive: Method<rpc.LeaseKeepAliveRequest, rpc.LeaseKeepAliveResponse>
  readonly leaseTimeToLive: Method<rpc.LeaseTimeToLiveRequest, rpc.LeaseTimeToLiveResponse>
  readonly leaseLeases: Method<rpc.LeaseLeasesRequest, rpc.LeaseLeasesResponse>

  readonly memberAdd: Method<rpc.MemberAddRequest, rpc.MemberAddResponse>
  readonly memberRemove: Method<rpc.MemberRemoveRequest, rpc.MemberRemoveResponse>
  readonly memberUpdate: Method<rpc.MemberUpdateRequest, rpc.MemberUpdateResponse>
  readonly memberList: Method<rpc.MemberListRequest, rpc.MemberListResponse>
  readonly memberPromote: Method<rpc.MemberPromoteRequest, rpc.MemberPromoteResponse>

  readonly alarm: Method<rpc.AlarmRequest, rpc.AlarmResponse>
  readonly status: Method<rpc.StatusRequest, rpc.StatusResponse>
  readonly defragment: Method<rpc.DefragmentRequest, rpc.DefragmentResponse>
  readonly hash: Method<rpc.HashRequest, rpc.HashResponse>
  readonly hashKv: Method<rpc.HashKVRequest, rpc.HashKVResponse>
  readonly snapshot: Method<rpc.SnapshotRequest, rpc.SnapshotResponse>
  readonly moveLeader: Method<rpc.MoveLeaderRequest, rpc.MoveLeaderResponse>
  readonly downgrade: Method<rpc.DowngradeRequest, rpc.DowngradeResponse>

  readonly authEnable: Method<rpc.AuthEnableRequest, rpc.AuthEnableResponse>
  readonly authDisable: Method<rpc.AuthDisableRequest, rpc.AuthDisableResponse>
  readonly authStatus: Method<rpc.AuthStatusRequest, rpc.AuthStatusResponse>
  readonly authenticate: Method<rpc.AuthenticateRequest, rpc.AuthenticateResponse>
  readonly userAdd: Method<rpc.AuthUserAddRequest, rpc.AuthUserAddResponse>
  readonly userGet: Method<rpc.AuthUserGetRequest, rpc.AuthUserGetResponse>
  readonly userList: Method<rpc.AuthUserListRequest, rpc.AuthUserListResponse>
  readonly userDelete: Method<rpc.AuthUserDeleteRequest, rpc.AuthUserDeleteResponse>
  readonly userChangePassword: Method<rpc.AuthUserChangePasswordRequest, rpc.AuthUserChangePasswordResponse>
  readonly userGrantRole: Method<rpc.AuthUserGrantRoleRequest, rpc.AuthUserGrantRoleResponse>
  readonly userRevokeRole: Method<rpc.AuthUserRevokeRoleRequest, rpc.AuthUserRevokeRoleResponse>
  readonly roleAdd: Method<rpc.AuthRoleAddRequest, rpc.AuthRoleAddResponse>
  readonly roleGet: Method<rpc.AuthRoleGetRequest, rpc.AuthRoleGetResponse>
  readonly roleList: Method<rpc.AuthRoleListRequest, rpc.AuthRoleListResponse>
  readonly roleDelete: Method<rpc.AuthRoleDeleteRequest, rpc.AuthRoleDeleteResponse>
  readonly roleGrantPermission: Method<
    rpc.AuthRoleGrantPermissionRequest,
    rpc.AuthRoleGrantPermissionResponse
  >
  readonly roleRevokePermission: Method<
    rpc.AuthRoleRevokePermissionRequest,
    rpc.AuthRoleRevokePermissionResponse
  >

  readonly lock: Method<lock.LockRequest, lock.LockResponse>
  readonly unlock: Method<lock.UnlockRequest, lock.UnlockResponse>

  readonly campaign: Method<election.CampaignRequest, election.CampaignResponse>
  readonly proclaim: Method<election.ProclaimRequest, election.ProclaimResponse>
  readonly leader: Method<election.LeaderRequest, election.LeaderResponse>
  readonly observe: Method<election.LeaderRequest, election.LeaderResponse>
  readonly resign: Method<election.ResignRequest, election.ResignResponse>
}

export const methods: Methods = {
  range: unary('/etcdserverpb.KV/Range', 'read', rpc.RangeRequest, rpc.RangeResponse),
  put: unary('/etcdserverpb.KV/Put', 'once', rpc.PutRequest, rpc.PutResponse),
  deleteRange: unary('/etcdserverpb.KV/DeleteRange', 'once', rpc.DeleteRangeRequest, rpc.DeleteRangeResponse),
  txn: unary('/etcdserverpb.KV/Txn', 'once', rpc.TxnRequest, rpc.TxnResponse),
  compact: unary('/etcdserverpb.KV/Compact', 'once', rpc.CompactionRequest, rpc.CompactionResponse),

  watch: stream('/etcdserverpb.Watch/Watch', 'duplex', rpc.WatchRequest, rpc.WatchResponse),

  leaseGrant: unary('/etcdserverpb.Lease/LeaseGrant', 'once', rpc.LeaseGrantRequest, rpc.LeaseGrantResponse),
  leaseRevoke: unary(
    '/etcdserverpb.Lease/LeaseRevoke',
    'idempotent',
    rpc.LeaseRevokeRequest,
    rpc.LeaseRevokeResponse,
  ),
  leaseKeepAlive: stream(
    '/etcdserverpb.Lease/LeaseKeepAlive',
    'duplex',
    rpc.LeaseKeepAliveRequest,
    rpc.LeaseKeepAliveResponse,
  ),
  leaseTimeToLive: unary(
    '/etcdserverpb.Lease/LeaseTimeToLive',
    'read',
    rpc.LeaseTimeToLiveRequest,
    rpc.LeaseTimeToLiveResponse,
  ),
  leaseLeases: unary(
    '/etcdserverpb.Lease/LeaseLeases',
    'read',
    rpc.LeaseLeasesRequest,
    rpc.LeaseLeasesResponse,
  ),

  memberAdd: unary('/etcdserverpb.Cluster/MemberAdd', 'once', rpc.MemberAddRequest, rpc.MemberAddResponse),
  memberRemove: unary(
    '/etcdserverpb.Cluster/MemberRemove',
    'once',
    rpc.MemberRemoveRequest,
    rpc.MemberRemoveResponse,
  ),
  memberUpdate: unary(
    '/etcdserverpb.Cluster/MemberUpdate',
    'once',
    rpc.MemberUpdateRequest,
    rpc.MemberUpdateResponse,
  ),
  memberList: unary(
    '/etcdserverpb.Cluster/MemberList',
    'read',
    rpc.MemberListRequest,
    rpc.MemberListResponse,
  ),
  memberPromote: unary(
    '/etcdserverpb.Cluster/MemberPromote',
    'once',
    rpc.MemberPromoteRequest,
    rpc.MemberPromoteResponse,
  ),

  alarm: unary('/etcdserverpb.Maintenance/Alarm', 'once', rpc.AlarmRequest, rpc.AlarmResponse),
  status: unary('/etcdserverpb.Maintenance/Status', 'read', rpc.StatusRequest, rpc.StatusResponse),
  defragment: unary(
    '/etcdserverpb.Maintenance/Defragment',
    'once',
    rpc.DefragmentRequest,
    rpc.DefragmentResponse,
  ),
  hash: unary('/etcdserverpb.Maintenance/Hash', 'read', rpc.HashRequest, rpc.HashResponse),
  hashKv: unary('/etcdserverpb.Maintenance/HashKV', 'read', rpc.HashKVRequest, rpc.HashKVResponse),
  snapshot: stream(
    '/etcdserverpb.Maintenance/Snapshot',
    'server-stream',
    rpc.SnapshotRequest,
    rpc.SnapshotResponse,
  ),
  moveLeader: unary(
    '/etcdserverpb.Maintenance/MoveLeader',
    'once',
    rpc.MoveLeaderRequest,
    rpc.MoveLeaderResponse,
  ),
  downgrade: unary(
    '/etcdserverpb.Maintenance/Downgrade',
    'once',
    rpc.DowngradeRequest,
    rpc.DowngradeResponse,
  ),

  authEnable: unary('/etcdserverpb.Auth/AuthEnable', 'once', rpc.AuthEnableRequest, rpc.AuthEnableResponse),
  authDisable: unary(
    '/etcdserverpb.Auth/AuthDisable',
    'once',
    rpc.AuthDisableRequest,
    rpc.AuthDisableResponse,
  ),
  authStatus: unary('/etcdserverpb.Auth/AuthStatus', 'read', rpc.AuthStatusRequest, rpc.AuthStatusResponse),
  authenticate: unary(
    '/etcdserverpb.Auth/Authenticate',
    'read',
    rpc.AuthenticateRequest,
    rpc.AuthenticateResponse,
  ),
  userAdd: unary('/etcdserverpb.Auth/UserAdd', 'once', rpc.AuthUserAddRequest, rpc.AuthUserAddResponse),
  userGet: unary('/etcdserverpb.Auth/UserGet', 'read', rpc.AuthUserGetRequest, rpc.AuthUserGetResponse),
  userList: unary('/etcdserverpb.Auth/UserList', 'read', rpc.AuthUserListRequest, rpc.AuthUserListResponse),
  userDelete: unary(
    '/etcdserverpb.Auth/UserDelete',
    'once',
    rpc.AuthUserDeleteRequest,
    rpc.AuthUserDeleteResponse,
  ),
  userChangePassword: unary(
    '/etcdserverpb.Auth/UserChangePassword',
    'once',
    rpc.AuthUserChangePasswordRequest,
    rpc.AuthUserChangePasswordResponse,
  ),
  userGrantRole: unary(
    '/etcdserverpb.Auth/UserGrantRole',
    'once',
    rpc.AuthUserGrantRoleRequest,
    rpc.AuthUserGrantRoleResponse,
  ),
  userRevokeRole: unary(
    '/etcdserverpb.Auth/UserRevokeRole',
    'once',
    rpc.AuthUserRevokeRoleRequest,
    rpc.AuthUserRevokeRoleResponse,
  ),
  roleAdd: unary('/etcdserverpb.Auth/RoleAdd', 'once', rpc.AuthRoleAddRequest, rpc.AuthRoleAddResponse),
  roleGet: unary('/etcdserverpb.Auth/RoleGet', 'read', rpc.AuthRoleGetRequest, rpc.AuthRoleGetResponse),
  roleList: unary('/etcdserverpb.Auth/RoleList', 'read', rpc.AuthRoleListRequest, rpc.AuthRoleListResponse),
  roleDelete: unary(
    '/etcdserverpb.Auth/RoleDelete',
    'once',
    rpc.AuthRoleDeleteRequest,
    rpc.AuthRoleDeleteResponse,
  ),
  roleGrantPermission: unary(
    '/etcdserverpb.Auth/RoleGrantPermission',
    'once',
    rpc.AuthRoleGrantPermissionRequest,
    rpc.AuthRoleGrantPermissionResponse,
  ),
  roleRevokePermission: unary(
    '/etcdserverpb.Auth/RoleRevokePermission',
    'once',
    rpc.AuthRoleRevokePermissionRequest,
    rpc.AuthRoleRevokePermissionResponse,
  ),

  lock: unary('/v3lockpb.Lock/Lock', 'once', lock.LockRequest, lock.LockResponse),
  unlock: unary('/v3lockpb.Lock/Unlock', 'once', lock.UnlockRequest, lock.UnlockResponse),

  campaign: unary(
    '/v3electionpb.Election/Campaign',
    'once',
    election.CampaignRequest,
    election.CampaignResponse,
  ),
  proclaim: unary(
    '/v3electionpb.Election/Proclaim',
    'once',
    election.ProclaimRequest,
    election.ProclaimResponse,
  ),
  leader: unary('/v3electionpb.Election/Leader', 'read', election.LeaderRequest, election.LeaderResponse),
  observe: stream(
    '/v3electionpb.Election/Observe',
    'server-stream',
    election.LeaderRequest,
    election.LeaderResponse,
  ),
  resign: unary('/v3electionpb.Election/Resign', 'once', election.ResignRequest, election.ResignResponse),
}

function unary<Request, Response>(
  path: string,
  repeat: Repeat,
  request: MessageCodec<Request>,
  response: MessageCodec<Response>,
): Method<Request, Response> {
  return { path, kind: 'unary', repeat, request, response }
}

function stream<Request, Response>(
  path: string,
  kind: 'server-stream' | 'duplex',
  request: MessageCodec<Request>,
  response: MessageCodec<Response>,
): Method<Request, Response> {
  return { path, kind, repeat: 'read', request, response }
}
