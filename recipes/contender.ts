import type { Engine } from '../src/client/engine.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { KeyValue } from '../src/wire/gen/kv.g.ts'
import { entryOf, isForeign, type KeysOfSession } from './internal/line/entry.ts'
import { readWholeLine } from './internal/line/line-reading.ts'
import { saidIn } from './internal/said.ts'

/** Somebody in a line, as far as its key tells. */
export interface Contender {
  /** Its key in etcd. */
  readonly key: Uint8Array
  /** 0n for a key without a lease. */
  readonly leaseId: bigint
  /** Its place; once it holds, its fencing token. */
  readonly createRevision: bigint
  /** Not a place in the line, such as the key of a lock with a longer name; everybody behind waits for it all the same. */
  readonly foreign: boolean
  /** What its session said; programs in other languages say nothing. */
  readonly owner?: string
  /** What for, where its session was told to say so. */
  readonly purpose?: string
  readonly host?: string
  readonly pid?: number
  /** When it came, in milliseconds since the epoch by its own clock. */
  readonly sinceMs?: number
  /** In the line of a read-write lock, how it is held or wanted. */
  readonly mode?: 'read' | 'write'
  /** In the line of a semaphore, how many permits it holds or wants. */
  readonly count?: number
  /** How long ago that was by our clock, in milliseconds; never negative. */
  readonly ageMs?: number
}

/** The whole line, first come first. One round trip. */
export async function readContenders(
  engine: Engine,
  prefix: Uint8Array,
  keys: KeysOfSession,
  { signal, timeoutMs }: CallOptions,
): Promise<readonly Contender[]> {
  const kvs = await readWholeLine(engine, prefix, { signal, timeoutMs })
  const nowMs = engine.runtime.wallNow()
  return kvs.map(kv => contenderOf(kv, isForeign(entryOf(kv), prefix.length, keys), nowMs))
}

export function contenderOf(
  { key, lease, createRevision, value }: KeyValue,
  foreign: boolean,
  nowMs: number,
): Contender {
  return {
    key: Uint8Array.from(key),
    leaseId: lease,
    createRevision,
    foreign,
    ...(foreign ? {} : described(value, nowMs)),
  }
}

/** What the value of a place says; nothing if it says nothing we understand. */
export function described(
  value: Uint8Array,
  nowMs: number,
): Pick<Contender, 'owner' | 'purpose' | 'host' | 'pid' | 'mode' | 'count' | 'sinceMs' | 'ageMs'> {
  const said = saidIn<'v' | 'mode' | 'count' | 'owner' | 'purpose' | 'host' | 'pid' | 'sinceMs'>(value)
  if (said === undefined) return {}
  const mode = said.mode === 'read' || said.mode === 'write' ? ({ mode: said.mode } as const) : {}
  const kind = { ...mode, ...(typeof said.count === 'number' ? { count: said.count } : {}) }
  if (said.v !== 1) return kind
  const { owner, purpose, host, pid, sinceMs } = said
  return {
    ...kind,
    ...(typeof owner === 'string' ? { owner } : {}),
    ...(typeof purpose === 'string' ? { purpose } : {}),
    ...(typeof host === 'string' ? { host } : {}),
    ...(typeof pid === 'number' ? { pid } : {}),
    ...(typeof sinceMs === 'number' ? { sinceMs, ageMs: Math.max(0, nowMs - sinceMs) } : {}),
  }
}
