import { checkInteger, checkOptions } from '../support/options.ts'
import type { Runtime } from '../support/runtime.ts'
import { type CheckedTls, checkServerTls, type ServerTls } from './server-tls.ts'
import { defaultSettings, type Settings } from './settings.ts'
import { decodeSnapshot, type Snapshot } from './snapshot.ts'

export interface EmbeddedOptions {
  /** Where to listen; 0 takes a free port. With several members only 0 will do. `false`: no sockets, `transport` alone. Default: 0. */
  readonly port?: number | false | undefined
  /** Default: 127.0.0.1, which nobody else can reach. */
  readonly host?: string | undefined
  /** Serve TLS, and nothing else, with this material. Default: no TLS. */
  readonly tls?: ServerTls | undefined
  /** How many members share the keys, each with an endpoint of its own. Default: 1. */
  readonly members?: number | undefined
  /** Clocks, timers and chance. Default: Node's. */
  readonly runtime?: Runtime | undefined
  /** A snapshot of an embedded etcd to start with: its keys, leases, users and roles. */
  readonly snapshot?: Uint8Array | undefined
  /** As `--max-request-bytes`. Default: 1,572,864. */
  readonly maxRequestBytes?: number | undefined
  /** As `--max-txn-ops`. Default: 128. */
  readonly maxTxnOps?: number | undefined
  /** As `--quota-backend-bytes`; 0 for none. Default: 2 GiB. */
  readonly quotaBytes?: number | undefined
  /** How long a watch from the past waits before it is served, in milliseconds: 100 on a real server. Default: 0, at once. */
  readonly watchTickMs?: number | undefined
  /** How often expired leases are looked for, in milliseconds; 0 ends each at its instant. Default: 500, as a real server. */
  readonly leaseScanMs?: number | undefined
  /** The shortest ttl a lease is given, in seconds. Default: 2, as a real server. */
  readonly minLeaseTtl?: number | undefined
  /** As `--experimental-watch-progress-notify-interval`, in milliseconds. Default: 600,000. */
  readonly progressNotifyMs?: number | undefined
  /** As `--auth-token-ttl`, in seconds. Default: 300. */
  readonly authTokenTtl?: number | undefined
  /** How long a call that needs a leader waits for one, in milliseconds. Default: 7000, as a real server. */
  readonly requestTimeoutMs?: number | undefined
  /** How long streams that asked for a leader outlive it, in milliseconds; 0 ends them with it. Default: 3000, as a real server. */
  readonly leaderNoticeMs?: number | undefined
}

export interface CheckedOptions {
  readonly port: number | false
  readonly host: string
  readonly tls: CheckedTls | undefined
  readonly members: number
  readonly runtime: Runtime | undefined
  readonly snapshot: Snapshot | undefined
  readonly leaderNoticeMs: number
  readonly settings: Settings
}

/** Three checks, an election timeout of a second apart, find no leader: then etcd ends these streams. */
const LEADER_NOTICE_MS = 3000

/** A message of protobuf ends before 2 GiB. */
export const MOST_REQUEST_BYTES: number = 2 ** 30

/** The smallest and largest value of each setting. */
const BOUNDS = {
  maxRequestBytes: { min: 1, max: MOST_REQUEST_BYTES },
  maxTxnOps: { min: 1 },
  quotaBytes: { min: 0 },
  watchTickMs: { min: 0 },
  leaseScanMs: { min: 0 },
  minLeaseTtl: { min: 1, max: 9_000_000_000 },
  progressNotifyMs: { min: 1 },
  authTokenTtl: { min: 1 },
  requestTimeoutMs: { min: 1 },
} as const

const OTHERS = ['port', 'host', 'tls', 'members', 'runtime', 'snapshot', 'leaderNoticeMs'] as const

const KNOWN = [...OTHERS, ...Object.keys(BOUNDS)]

const MOST_MEMBERS = 9

export function checkEmbedded(given: EmbeddedOptions): CheckedOptions {
  const options = checkOptions(given, KNOWN, 'startEtcd')
  const { port = 0, host = '127.0.0.1', tls, members = 1, runtime, snapshot } = options
  const { leaderNoticeMs = LEADER_NOTICE_MS } = options
  checkInteger(members, 'members', { min: 1, max: MOST_MEMBERS })
  if (port !== false) checkInteger(port, 'port', { min: 0, max: 65535 })
  if (port !== false && port !== 0 && members > 1)
    throw new RangeError(
      `startEtcd: one port cannot serve ${members} members, let each find its own with port 0`,
    )
  if (typeof host !== 'string' || host === '')
    throw new TypeError('startEtcd: host is a string that is not empty')
  if (tls !== undefined && port === false)
    throw new TypeError('startEtcd: tls is for sockets, and port: false opens none')
  checkInteger(leaderNoticeMs, 'leaderNoticeMs', { min: 0 })
  if (runtime !== undefined && typeof runtime?.setTimer !== 'function')
    throw new TypeError('startEtcd: runtime is a Runtime')
  if (snapshot !== undefined && !(snapshot instanceof Uint8Array))
    throw new TypeError('startEtcd: snapshot is a Uint8Array')
  const settings: Record<string, unknown> = { ...defaultSettings }
  for (const [name, bounds] of Object.entries(BOUNDS)) {
    const value = options[name as keyof typeof BOUNDS]
    if (value !== undefined) settings[name] = checkInteger(value, name, bounds)
  }
  return {
    port,
    host,
    tls: tls === undefined ? undefined : checkServerTls(tls),
    members,
    runtime,
    snapshot: snapshot === undefined ? undefined : decodeSnapshot(snapshot),
    leaderNoticeMs,
    settings: settings as unknown as Settings,
  }
}
