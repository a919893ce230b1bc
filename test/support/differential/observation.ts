import type { Reply } from './target.ts'

/** What a reply says once ids and clocks are taken out of it. */
export function observed(reply: Reply<unknown>, base: bigint, authBase: bigint): unknown {
  if (reply.kind === 'refusal') return { status: reply.status, message: reply.message }
  return normalised(reply.message, base, authBase)
}

/** Fields that name a server, or say how it keeps what it keeps. */
const LEFT_OUT = new Set([
  ...['clusterId', 'memberId', 'raftTerm', 'leader', 'version'],
  ...['raftIndex', 'raftAppliedIndex', 'dbSize', 'dbSizeInUse'],
])
const REVISIONS = new Set(['revision', 'createRevision', 'modRevision', 'compactRevision'])

/** Seconds a script may take before the remaining time to live of a lease counts as wrong. */
const PATIENCE_SECONDS = 60n

export function normalised(value: unknown, base: bigint, authBase: bigint): unknown {
  if (Array.isArray(value)) return value.map(item => normalised(item, base, authBase))
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  const message = value as Readonly<Record<string, unknown>>
  const fields: [string, unknown][] = []
  for (const [name, field] of Object.entries(message)) {
    if (LEFT_OUT.has(name)) continue
    // 3.4 answers about alarms without one.
    if (name === 'header' && 'alarms' in message) continue
    if (REVISIONS.has(name) && typeof field === 'bigint') fields.push([name, relative(field, base)])
    else if (name === 'authRevision') fields.push([name, relative(field as bigint, authBase)])
    else if (name === 'token') fields.push([name, field === '' ? 'none' : 'some'])
    else if (name === 'keys' && 'grantedTtl' in message) fields.push([name, inOrder(field as Uint8Array[])])
    else if (name === 'alarms') fields.push([name, sorted((field as Alarm[]).map(alarmWords))])
    else if (name === 'errors') fields.push([name, sorted(field as string[])])
    else if (name === 'ttl' && 'grantedTtl' in message) fields.push([name, remaining(message)])
    else fields.push([name, normalised(field, base, authBase)])
  }
  return Object.fromEntries(fields)
}

/** A revision of 0 means none, whatever the script began with. */
function relative(revision: bigint, base: bigint): unknown {
  return revision === 0n ? 0n : `base + ${revision - base}`
}

function remaining({ ttl, grantedTtl }: Readonly<Record<string, unknown>>): unknown {
  const left = ttl as bigint
  const granted = grantedTtl as bigint
  return left >= 0n && left <= granted && granted - left < PATIENCE_SECONDS ? 'nearly all of it' : left
}

type Alarm = Readonly<Record<'memberId' | 'alarm', unknown>>

/** The members of alarms are made up by the script. */
function alarmWords({ memberId, alarm }: Alarm): string {
  return `${alarm} of ${memberId}`
}

/** A real server tells alarms in no order. */
function sorted(words: readonly string[]): readonly string[] {
  return words.toSorted()
}

/** A real server tells the keys of a lease in no order. */
function inOrder(keys: readonly Uint8Array[]): readonly Uint8Array[] {
  return keys.toSorted(Buffer.compare)
}
