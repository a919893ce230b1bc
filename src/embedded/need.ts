/**
 * What a unary call needs of the cluster. While a member has no leader, calls that need one wait for it and
 * time out as etcd's do; on a member that lags, reads wait for what was committed before them, and writes
 * answer when the member has seen them.
 */
export type Need = 'nothing' | 'read' | 'write' | 'lease'

/** Whoever waits for an answer, and may stop waiting. */
export interface Caller {
  /** Nobody waits any more: the caller gave up, its connection broke, or the server closes. */
  readonly cancelled: boolean
  /** Runs `action` once when that becomes so, at once if it is. */
  onCancel(action: () => void): void
}
