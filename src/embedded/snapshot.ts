import { createHash } from 'node:crypto'
import { concat, equalBytes, text, toBytes } from '../wire/bytes.ts'
import type { Permission, PermissionType } from '../wire/gen/auth.g.ts'
import { Event, EventType } from '../wire/gen/kv.g.ts'
import type { AuthState, Credentials } from './auth-store.ts'
import type { LeaseImage } from './lessor.ts'
import type { StoreImage } from './store.ts'

/** Everything a cluster knows apart from who its members are. */
export interface Snapshot {
  readonly store: StoreImage
  readonly leases: readonly LeaseImage[]
  readonly auth: AuthState
}

/**
 * The format is our own, in place of the file of etcd's database:
 *
 *     magic, head length, head as JSON, changes (each its length and an `mvccpb.Event`), zeros, SHA-256
 *
 * Lengths are 32 bits, big-endian. All before the digest is a multiple of a disk sector: etcdctl tells by the
 * remaining 32 bytes that a snapshot it saved carries its digest.
 */
const MAGIC = toBytes('quorate snapshot 1\n')
const SECTOR_BYTES = 512
const DIGEST_BYTES = 32
const LENGTH_BYTES = 4

export function encodeSnapshot({ store, leases, auth }: Snapshot): Uint8Array {
  const head: Head = {
    revision: String(store.revision),
    compactRevision: String(store.compactRevision),
    changes: store.changes.length,
    leases: leases.map(({ id, grantedTtl }) => ({ id: String(id), ttl: String(grantedTtl) })),
    auth: {
      enabled: auth.enabled,
      revision: String(auth.revision),
      users: auth.users.map(({ name, roles, credentials }) => ({
        name,
        roles,
        credentials: saved(credentials),
      })),
      roles: auth.roles.map(({ name, permissions }) => ({
        name,
        permissions: permissions.map(({ type, key, rangeEnd }) => ({
          type,
          key: base64(key),
          rangeEnd: base64(rangeEnd),
        })),
      })),
    },
  }
  const parts = [MAGIC, ...sized(toBytes(JSON.stringify(head)))]
  for (const { type, kv } of store.changes)
    parts.push(...sized(Event.encode({ type: type === 'put' ? EventType.put : EventType.delete, kv })))
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const body = concat(...parts, new Uint8Array((SECTOR_BYTES - (length % SECTOR_BYTES)) % SECTOR_BYTES))
  return concat(body, digestOf(body))
}

/** Throws TypeError when the bytes are no snapshot of ours, or not whole. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC))
    throw new TypeError('not a snapshot of an embedded etcd: those of a real etcd cannot be restored here')
  const body = bytes.subarray(0, -DIGEST_BYTES)
  if (!equalBytes(digestOf(body), bytes.subarray(-DIGEST_BYTES)))
    throw new TypeError('the snapshot is damaged or not whole: its digest does not fit')
  const reader = new SizedReader(body, MAGIC.length)
  const head = JSON.parse(text(reader.next())) as Head
  const changes = Array.from({ length: head.changes }, () => {
    const { type, kv } = Event.decode(reader.next())
    if (kv === undefined) throw new TypeError('the snapshot has a change without a key')
    return { type: type === EventType.put ? ('put' as const) : ('delete' as const), kv }
  })
  return {
    store: { revision: BigInt(head.revision), compactRevision: BigInt(head.compactRevision), changes },
    leases: head.leases.map(({ id, ttl }) => ({ id: BigInt(id), grantedTtl: BigInt(ttl) })),
    auth: {
      enabled: head.auth.enabled,
      revision: BigInt(head.auth.revision),
      users: head.auth.users.map(({ name, roles, credentials }) => ({
        name,
        roles,
        credentials: loaded(credentials),
      })),
      roles: head.auth.roles.map(({ name, permissions }) => ({
        name,
        permissions: permissions.map(permission),
      })),
    },
  }
}

/** All but the changes, which are too many for JSON. */
interface Head {
  readonly revision: string
  readonly compactRevision: string
  readonly changes: number
  readonly leases: readonly { readonly id: string; readonly ttl: string }[]
  readonly auth: {
    readonly enabled: boolean
    readonly revision: string
    readonly users: readonly {
      readonly name: string
      readonly roles: readonly string[]
      readonly credentials: SavedCredentials
    }[]
    readonly roles: readonly { readonly name: string; readonly permissions: readonly SavedPermission[] }[]
  }
}

type SavedCredentials =
  | { readonly kind: 'password'; readonly cost: number; readonly salt: string; readonly hash: string }
  | { readonly kind: 'none' | 'unusable' }

interface SavedPermission {
  readonly type: number
  readonly key: string
  readonly rangeEnd: string
}

class SizedReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset: number

  constructor(bytes: Uint8Array, offset: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#offset = offset
  }

  next(): Uint8Array {
    const start = this.#offset + LENGTH_BYTES
    this.#offset = start + this.#view.getUint32(this.#offset)
    return this.#bytes.subarray(start, this.#offset)
  }
}

function sized(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  const length = new Uint8Array(LENGTH_BYTES)
  new DataView(length.buffer).setUint32(0, bytes.length)
  return [length, bytes]
}

function digestOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

function saved(credentials: Credentials): SavedCredentials {
  if (credentials.kind !== 'password') return credentials
  const { cost, salt, hash } = credentials.hash
  return { kind: 'password', cost, salt: base64(salt), hash: base64(hash) }
}

function loaded(credentials: SavedCredentials): Credentials {
  switch (credentials.kind) {
    case 'password':
      return {
        kind: 'password',
        hash: {
          cost: credentials.cost,
          salt: unbase64(credentials.salt),
          hash: unbase64(credentials.hash),
        },
      }
    case 'none':
      return { kind: 'none' }
    case 'unusable':
      return { kind: 'unusable' }
  }
}

function permission({ type, key, rangeEnd }: SavedPermission): Permission {
  return { type: type as PermissionType, key: unbase64(key), rangeEnd: unbase64(rangeEnd) }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

function unbase64(letters: string): Uint8Array {
  return new Uint8Array(Buffer.from(letters, 'base64'))
}
