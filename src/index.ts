// Connecting

export type { ConnectOptions } from './client/connect-options.ts'
export type { Warning } from './client/engine.ts'
export type { CallOptions } from './client/submitter.ts'
export type { Credentials } from './client/tokens.ts'
export { connect } from './facade/connect.ts'
export { Etcd } from './facade/etcd.ts'

// Keys and values

export { Compare, type CompareStart, compare, type NumberTest, type ValueTest } from './client/compare.ts'
export { between, everything, from, KeyRange, prefix } from './client/key-range.ts'
export { KeyValue, type KeyValueJson } from './client/key-value.ts'
export type { CompactOptions, PagesOptions } from './client/kv.ts'
export {
  type Answers,
  type DeleteOptions,
  type DeleteResult,
  type Op,
  type Ops,
  op,
  type PutOptions,
  type PutResult,
  type TxnResult,
  type TxnSpec,
} from './client/op.ts'
export type { GetOptions, RangeOptions, RangeResult, Sort } from './client/range.ts'
export type { Bytes } from './wire/bytes.ts'

// Watches and leases

export type {
  Granted,
  GrantOptions,
  Lease,
  LeaseInfo,
  LeaseRenewal,
  TimeToLiveOptions,
} from './client/lease.ts'
export {
  type DeleteEvent,
  type PutEvent,
  Watch,
  type WatchEvent,
  type WatchedRevision,
  type WatchOptions,
} from './client/watch.ts'

// Sessions

export { Session } from './facade/session.ts'
export type { SessionContext } from './session/session-context.ts'
export type { CloseOptions, PlaceDescription, SessionOptions, SessionState } from './session/session-core.ts'

// Locks, semaphores, and how they are held

export type { Contender } from '../recipes/contender.ts'
export { type ExplainedKind, type ExplainedPlace, Explanation } from '../recipes/explain.ts'
export { Handle, type ReleaseOptions } from '../recipes/handle.ts'
export { Hold } from '../recipes/hold.ts'
export type { RevocationRequest } from '../recipes/internal/mutex/revocation.ts'
export type { LimitMismatch } from '../recipes/internal/semaphore/limit.ts'
export type { SlotHolder } from '../recipes/internal/semaphore/reading.ts'
export { JointHold, type LockName } from '../recipes/lock-all.ts'
export type { LockOptions, MutexOptions } from '../recipes/lock-options.ts'
export { Mutex, MutexView, type RevocationOptions } from '../recipes/mutex.ts'
export { Permit } from '../recipes/permit.ts'
export { ReadWriteHold } from '../recipes/read-write-hold.ts'
export { RwMutex, RwMutexView } from '../recipes/rw-mutex.ts'
export { type AcquireOptions, Semaphore, type SemaphoreOptions, SemaphoreView } from '../recipes/semaphore.ts'

// Elections

export { Election, ElectionView, type LeadershipPlace, type ObserveOptions } from '../recipes/election.ts'
export type { LeadOptions } from '../recipes/lead.ts'
export type { LeadState } from '../recipes/lead-state.ts'
export { type Successor, Term } from '../recipes/lead-term.ts'
export { LeaderInfo } from '../recipes/leader-info.ts'
export { Leadership } from '../recipes/leadership.ts'

// Barriers and latches

export {
  Barrier,
  BarrierHold,
  type BarrierHoldOptions,
  type BarrierOpening,
  type BarrierWaitOptions,
} from '../recipes/barrier.ts'
export {
  type Arrival,
  type AwaitOptions,
  CyclicBarrier,
  type CyclicBarrierOptions,
  type CyclicBarrierStatus,
} from '../recipes/cyclic-barrier.ts'
export {
  DoubleBarrier,
  DoubleBarrierEntry,
  type DoubleBarrierOptions,
  type EnterOptions,
  type LeaveOptions,
} from '../recipes/double-barrier.ts'
export { Latch, type LatchWaitOptions } from '../recipes/latch.ts'

// Transactions that compose, and what is built on them

export { type ChangeOptions, Counter } from '../recipes/counter.ts'
export { type IdBlock, IdBlocks, type IdBlocksOptions } from '../recipes/id-blocks.ts'
export { Sequence } from '../recipes/sequence.ts'
export type { StmOptions, StmResult } from '../recipes/stm.ts'
export type {
  Isolation,
  Transaction,
  TransactionKeyValue,
  TransactionPutOptions,
  TransactionRangeOptions,
  TransactionReads,
} from '../recipes/transaction.ts'
export { VersionedValue } from '../recipes/versioned-value.ts'
export type { WatchValueOptions } from '../recipes/watched-value.ts'

// The cluster itself

export type { Access, Auth, AuthStatus, Grant, Permission, Role, User } from './client/auth.ts'
export type { AddMemberOptions, Cluster, Member, MembersOptions } from './client/cluster.ts'
export type {
  Alarm,
  AlarmKind,
  HashKvOptions,
  KvHash,
  Maintenance,
  MemberStatus,
  SnapshotOptions,
  StatusReport,
} from './client/maintenance.ts'
export { type LeaderKey, ServerElection } from './client/server-election.ts'
export { ServerLock } from './client/server-lock.ts'

// What can go wrong

export { type ErrorCode, EtcdError, type EtcdErrorDetails, type Outcome } from './wire/errors.ts'

// Seams: for tests, simulations and other transports

export type { Runtime, Timer } from './support/runtime.ts'
export type {
  ByteStream,
  CallMetadata,
  Cancellable,
  Endpoint,
  Link,
  LinkOptions,
  LinkState,
  StreamEvents,
  TlsOptions,
  Transport,
  TransportFailure,
  UnaryOutcome,
} from './support/transport.ts'
