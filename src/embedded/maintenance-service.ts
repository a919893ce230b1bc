import { crc32 } from 'node:zlib'
import { Code } from '../support/codes.ts'
import type { Init } from '../wire/codec.ts'
import { Event, EventType } from '../wire/gen/kv.g.ts'
import { AlarmAction, type SnapshotResponse } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { type Alarms, wordsOf } from './alarms.ts'
import type { AuthAccess } from './auth-access.ts'
import type { AuthStore } from './auth-store.ts'
import { type Core, headerOf } from './core.ts'
import type { DatabaseSize } from './database-size.ts'
import { Downgrade } from './downgrade.ts'
import { type CallContext, type Outlet, type Service, serverStream, unary } from './service.ts'
import { encodeSnapshot } from './snapshot.ts'
import { StatusError } from './status-error.ts'
import { refuse } from './statuses.ts'

export interface MaintenanceParts {
  readonly core: Core
  readonly auth: AuthStore
  readonly access: AuthAccess
  readonly alarms: Alarms
  readonly size: DatabaseSize
}

/** Looking after the members. Hashes are our own: equal stores have equal ones, and no other server has them. */
export function maintenanceService({ core, auth, access, alarms, size }: MaintenanceParts): Service {
  const { lessor, members, settings, store } = core
  const downgrade = new Downgrade(settings.version)

  return [
    unary(methods.status, (_request, { member }) => ({
      header: headerOf(core, member),
      version: settings.version,
      dbSize: BigInt(size.bytes),
      dbSizeInUse: BigInt(size.bytesInUse),
      leader: member.hasLeader ? members.leader.id : 0n,
      raftTerm: members.term,
      // There is no log: what counts is that it grows with every write and that all of it is applied.
      raftIndex: store.revision,
      raftAppliedIndex: member.revision,
      errors: [...(member.hasLeader ? [] : [refuse.noLeader().message]), ...alarms.active().map(wordsOf)],
    })),
    unary(
      methods.alarm,
      ({ action, memberId, alarm }, context) => {
        access.identify(context)
        const header = headerOf(core, context.member)
        switch (action) {
          case AlarmAction.get:
            return { header, alarms: alarms.active(alarm) }
          case AlarmAction.activate:
            return { header, alarms: listed(alarms.raise(memberId, alarm)) }
          case AlarmAction.deactivate:
            return { header, alarms: listed(alarms.disarm(memberId, alarm)) }
        }
      },
      'write',
    ),
    unary(methods.defragment, (_request, context) => {
      rootOnly(access, context)
      size.defragment()
      return {}
    }),
    unary(methods.hash, (_request, context) => {
      rootOnly(access, context)
      return { header: headerOf(core, context.member), hash: hashUpTo(core, store.revision) }
    }),
    unary(methods.hashKv, ({ revision }, context) => {
      rootOnly(access, context)
      if (revision > store.revision) throw refuse.futureRevision()
      if (revision > 0n && revision < store.compactRevision) throw refuse.compacted()
      return {
        header: headerOf(core, context.member),
        hash: hashUpTo(core, revision > 0n ? revision : store.revision),
        compactRevision: store.compactRevision,
      }
    }),
    serverStream(methods.snapshot, (_request, out, context) => {
      rootOnly(access, context)
      send(encodeSnapshot({ store: store.image(), leases: lessor.image(), auth: auth.state() }), out)
    }),
    unary(methods.moveLeader, ({ targetId }, { member }) => {
      if (member !== members.leader) throw refuse.notLeader()
      const target = members.byId(targetId)
      if (target === undefined) throw refuse.badLeaderTransferee()
      if (target !== member) {
        members.lead(target)
        lessor.renewAll()
      }
      return {}
    }),
    unary(
      methods.downgrade,
      ({ action, version }, { member }) => ({
        header: headerOf(core, member),
        version: downgrade.act(action, version),
      }),
      'write',
    ),
  ]
}

/** As large as etcd sends them. */
const PART_BYTES = 32 * 1024
const DIGEST_BYTES = 32

/** The digest is the last message, as etcd sends it. */
function send(snapshot: Uint8Array, out: Outlet<Init<SnapshotResponse>>): void {
  const end = snapshot.length - DIGEST_BYTES
  for (let start = 0; start < end; start += PART_BYTES) {
    const blob = snapshot.subarray(start, Math.min(start + PART_BYTES, end))
    out.send({ blob, remainingBytes: BigInt(end - start - blob.length) })
  }
  out.send({ blob: snapshot.subarray(end) })
  out.end()
}

/** Of every change that is kept, up to this revision. */
function hashUpTo({ store }: Core, revision: bigint): number {
  let hash = 0
  for (const { type, kv } of store.image().changes) {
    if (kv.modRevision > revision) continue
    hash = crc32(Event.encode({ type: type === 'put' ? EventType.put : EventType.delete, kv }), hash)
  }
  return hash
}

/** etcd 3.5.16 has no status for these refusals: they travel as UNKNOWN, with the name of the part that said them. */
function rootOnly(access: AuthAccess, context: CallContext): void {
  try {
    access.admin(context)
  } catch (error) {
    if (!(error instanceof StatusError)) throw error
    throw new StatusError(Code.unknown, error.message.replace('etcdserver: ', 'auth: '))
  }
}

function listed<Item>(item: Item | undefined): readonly Item[] {
  return item === undefined ? [] : [item]
}
