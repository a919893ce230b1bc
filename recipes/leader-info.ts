import { KeyValue } from '../src/client/key-value.ts'
import type { KeyValue as WireKeyValue } from '../src/wire/gen/kv.g.ts'
import { described } from './contender.ts'

/**
 * Whoever leads, with what was proclaimed last. Leaders of programs in other languages look the same, but for what
 * only ours say about themselves.
 */
export class LeaderInfo {
  /** Its key in etcd. */
  readonly key: Uint8Array
  /** What it proclaimed last. */
  readonly value: Uint8Array
  /** 0n for a key without a lease. */
  readonly leaseId: bigint
  /** Its fencing token: larger than that of every earlier leader. */
  readonly createRevision: bigint
  /** When it proclaimed last. */
  readonly modRevision: bigint
  /** What its session said, where nothing else was proclaimed. */
  readonly owner?: string
  readonly host?: string
  readonly pid?: number
  /** When it came, in milliseconds since the epoch by its own clock. */
  readonly sinceMs?: number
  readonly #kv: KeyValue

  constructor(wire: WireKeyValue) {
    const kv = new KeyValue(wire)
    this.key = kv.key
    this.value = kv.value
    this.leaseId = kv.lease
    this.createRevision = kv.createRevision
    this.modRevision = kv.modRevision
    const { owner, host, pid, sinceMs } = described(kv.value, 0)
    if (owner !== undefined) this.owner = owner
    if (host !== undefined) this.host = host
    if (pid !== undefined) this.pid = pid
    if (sinceMs !== undefined) this.sinceMs = sinceMs
    this.#kv = kv
  }

  /** The value as UTF-8. */
  text(): string {
    return this.#kv.text()
  }

  /** The value parsed as JSON. Throws SyntaxError when it is none; whether it is a `T` is for the caller to know. */
  json<T = unknown>(): T {
    return this.#kv.json<T>()
  }
}
