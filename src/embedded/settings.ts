/** What the options of `startEtcd` come to, checked and complete. */
export interface Settings {
  /** In requests; a gRPC message may have 512 KiB more. Default 1.5 MiB. */
  readonly maxRequestBytes: number
  readonly maxTxnOps: number
  /** 0: no quota. */
  readonly quotaBytes: number
  /** How long watches from the past wait to be served: 100 on a real server, 0 at once. */
  readonly watchTickMs: number
  /** How often expired leases are looked for: 500 on a real server, 0 at the instant. */
  readonly leaseScanMs: number
  /** The shortest ttl a lease is given, in seconds. */
  readonly minLeaseTtl: number
  readonly progressNotifyMs: number
  /** How long a simple token lives without use, in seconds. */
  readonly authTokenTtl: number
  /** How long a call that needs a leader waits for one. */
  readonly requestTimeoutMs: number
  /** What status answers: clients decide by it what the server can do. */
  readonly version: string
}

export const defaultSettings: Settings = {
  maxRequestBytes: 1.5 * 1024 * 1024,
  maxTxnOps: 128,
  quotaBytes: 2 * 1024 * 1024 * 1024,
  watchTickMs: 0,
  leaseScanMs: 500,
  minLeaseTtl: 2,
  progressNotifyMs: 600_000,
  authTokenTtl: 300,
  requestTimeoutMs: 7000,
  version: '3.5.16',
}
