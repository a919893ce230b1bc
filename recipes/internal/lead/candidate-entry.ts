import type { SessionContext } from '../../../src/session/session-context.ts'
import { concat, hexOfLease, mapKey, prefixEnd, text, toBytes } from '../../../src/wire/bytes.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { linePrefix } from '../line/claim.ts'
import { entryOf, isForeign } from '../line/entry.ts'
import { saidIn } from '../said.ts'

/** Where an election with candidates lives: its leader in the line of Go, and those who want to follow beside it. */
export interface LeadKeys {
  readonly name: Uint8Array
  /** Of the one key of the leader, and of whoever stands for the same name in another way. */
  readonly leaders: Uint8Array
  readonly candidates: Uint8Array
}

/** Somebody who wants to lead and does not. */
export interface Candidate {
  readonly key: Uint8Array
  readonly createRevision: bigint
  readonly leaseId: bigint
  readonly priority: number
  readonly owner: string | undefined
  /** What it wants to be proclaimed when it is made the leader. */
  readonly value: Uint8Array
}

export function leadKeys(space: SessionContext['space'], name: Uint8Array): LeadKeys {
  return {
    name,
    leaders: linePrefix(space, name),
    candidates: space.key(concat(name, toBytes('.candidates/'))),
  }
}

/** What the key of a candidate says. `place` is what its session says of itself, `value` what it wants proclaimed. */
export function candidateValue(
  priority: number,
  place: Uint8Array,
  value: Uint8Array | undefined,
): Uint8Array {
  const said: object = place.length === 0 ? {} : JSON.parse(text(place))
  const wanted = value === undefined ? {} : { value: Buffer.from(value).toString('base64') }
  return toBytes(JSON.stringify({ ...said, v: 1, priority, ...wanted }), 'a candidate')
}

/** Undefined for a key that is no candidate's: nobody waits for it, and nobody hands over to it. */
export function candidateOf(kv: KeyValue, { candidates }: LeadKeys): Candidate | undefined {
  const { key, createRevision, lease: leaseId } = kv
  if (isForeign(entryOf(kv), candidates.length, 'one')) return undefined
  const said = saidIn<'v' | 'priority' | 'owner' | 'host' | 'pid' | 'sinceMs' | 'value'>(kv.value)
  if (said?.v !== 1 || !Number.isSafeInteger(said.priority)) return undefined
  const { v, owner, host, pid, sinceMs, value } = said
  const itself = host === undefined ? NOTHING : toBytes(JSON.stringify({ v, owner, host, pid, sinceMs }))
  return {
    key,
    createRevision,
    leaseId,
    priority: said.priority as number,
    owner: typeof owner === 'string' ? owner : undefined,
    value: typeof value === 'string' ? new Uint8Array(Buffer.from(value, 'base64')) : itself,
  }
}

/** Those among the keys that are candidates, the one who is to lead first: by priority, then by arrival. */
export function ranked(kvs: Iterable<KeyValue>, keys: LeadKeys): readonly Candidate[] {
  const candidates: Candidate[] = []
  for (const kv of kvs) {
    const candidate = candidateOf(kv, keys)
    if (candidate !== undefined) candidates.push(candidate)
  }
  return candidates.sort(
    (one, other) =>
      other.priority - one.priority ||
      (one.createRevision < other.createRevision ? -1 : Number(one.createRevision > other.createRevision)),
  )
}

export function leaderKeyOf({ leaders }: LeadKeys, leaseId: bigint): Uint8Array {
  return concat(leaders, toBytes(hexOfLease(leaseId)))
}

export function spanOf(prefix: Uint8Array): { readonly key: Uint8Array; readonly end: Uint8Array } {
  return { key: prefix, end: prefixEnd(prefix) }
}

export function isKey(one: Uint8Array, other: Uint8Array): boolean {
  return mapKey(one) === mapKey(other)
}

const NOTHING = new Uint8Array(0)
