import { Alarms } from '../../src/embedded/alarms.ts'
import { assemble } from '../../src/embedded/assembly.ts'
import type { AuthState } from '../../src/embedded/auth-store.ts'
import { FaultRules } from '../../src/embedded/fault-rules.ts'
import { EmbeddedFaults } from '../../src/embedded/faults.ts'
import { Front } from '../../src/embedded/front.ts'
import { intervalOf } from '../../src/embedded/key-interval.ts'
import { hashPassword } from '../../src/embedded/passwords.ts'
import { defaultSettings } from '../../src/embedded/settings.ts'
import { directTransport } from '../../src/embedded/transport.ts'
import type { Runtime } from '../../src/support/runtime.ts'
import type { CallMetadata, Transport } from '../../src/support/transport.ts'
import { mapKey, prefixEnd, toBytes } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { PermissionType } from '../../src/wire/gen/auth.g.ts'
import { AlarmType } from '../../src/wire/gen/rpc.g.ts'
import type { Method } from '../../src/wire/methods.ts'
import { methods } from '../../src/wire/methods.ts'
import type { Change, Commit } from '../checkers/history.ts'
import type { SessionLife } from '../checkers/sessions.ts'
import type { World } from './world.ts'

export interface ClusterOptions {
  readonly members: number
  /** 0: leases end at their very instant. */
  readonly leaseScanMs: number
  /** Seconds a token lives unused, where everybody has to sign in; 0: nobody has to. */
  readonly tokenTtl: number
}

/** Who may read and write every key, and nothing else. */
export const credentials = { username: 'app', password: 'secret' } as const

type LeaseEnd = NonNullable<SessionLife['leaseEnded']>

/** The embedded etcd in virtual time, with all its innards at hand: an operator, a record of all it commits. */
export class Cluster {
  readonly endpoints: readonly string[]
  readonly transport: Transport
  readonly faults: EmbeddedFaults
  readonly #core: ReturnType<typeof assemble>['core']
  readonly #fronts: readonly Front[]
  readonly #routes: ReturnType<typeof assemble>['routes']
  readonly #log: Commit[] = []
  readonly #world: World
  /** Leases whose end is of interest, until it has come. */
  readonly #followed = new Set<bigint>()
  readonly #leaseEnds = new Map<bigint, LeaseEnd>()
  readonly #granted = new Set<bigint>()
  readonly #grantedAgain = new Set<bigint>()

  constructor(world: World, { members, leaseScanMs, tokenTtl }: ClusterOptions) {
    // Leases run out at a timer of the server.
    const runtime = serverRuntime(world, () => this.#noteEnds())
    const needsToken = tokenTtl > 0
    const settings = {
      ...defaultSettings,
      leaseScanMs,
      ...(needsToken ? { authTokenTtl: tokenTtl } : {}),
    }
    const snapshot = needsToken ? { store: NOTHING_STORED, leases: [], auth: authState(runtime) } : undefined
    const { core, routes } = assemble(runtime, settings, { members, snapshot })
    this.#world = world
    const rules = new FaultRules()
    this.#core = core
    this.#routes = routes
    const { lessor } = core
    const grant = lessor.grant.bind(lessor)
    lessor.grant = (...asked) => {
      const granted = grant(...asked)
      const { id } = granted
      if (this.#granted.has(id)) this.#grantedAgain.add(id)
      this.#granted.add(id)
      this.#noteEnds()
      return granted
    }
    this.#fronts = core.members.list.map(
      (member, index) => new Front(member, index, { runtime, settings, leaderNoticeMs: 0, routes, rules }),
    )
    this.endpoints = core.members.list.map((_, index) => `member-${index + 1}:2379`)
    this.transport = directTransport(runtime, address => this.#fronts[this.endpoints.indexOf(address)])
    this.faults = new EmbeddedFaults({ core, fronts: this.#fronts, rules, paths: [...routes.keys()] })
    core.store.onCommit(({ revision, changes }) => {
      this.#log.push({
        revision,
        at: world.nowMs,
        changes: changes.map(({ type, name, kv }): Change => {
          if (type === 'delete') return { kind: 'delete', key: name }
          const { createRevision, version, lease, value } = kv
          return { kind: 'put', key: name, value: latin1(value), createRevision, version, lease }
        }),
      })
      world.tell(() => `          cluster  ${revision}: ${changes.map(wordsOf).join(', ')}`)
    })
  }

  get log(): readonly Commit[] {
    return this.#log
  }

  get revision(): bigint {
    return this.#core.store.revision
  }

  /** What is below it is gone; -1 before the first compaction. */
  get compactedAt(): bigint {
    return this.#core.store.compactRevision
  }

  /** Those that live, with the keys that go with them. */
  leases(): readonly { readonly id: bigint; readonly keys: readonly string[] }[] {
    return this.#core.lessor.list().map(({ id }) => ({
      id,
      keys: this.#core.store.keysOfLease(id).map(key => mapKey(key)),
    }))
  }

  /** Live keys that begin with this. */
  keys(prefix: string): readonly string[] {
    const bytes = toBytes(prefix)
    return this.#core.store.range(intervalOf(bytes, prefixEnd(bytes))).kvs.map(({ key }) => mapKey(key))
  }

  /** Does the key exist, without a lease? */
  isUnleased(key: string): boolean {
    return this.#core.store.get(key)?.lease === 0n
  }

  hasLease(id: bigint): boolean {
    return this.#core.lessor.has(id)
  }

  /** Has an attempt to grant this lease that was on its way made it again after it had ended? It runs out by itself. */
  wasGrantedAgain(id: bigint): boolean {
    return this.#grantedAgain.has(id)
  }

  /** Has the end of this lease written down. */
  follow(lease: bigint): void {
    // A grant whose answer was lost is made again under its id, also when an operator has ended it meanwhile.
    if (this.hasLease(lease)) this.#leaseEnds.delete(lease)
    else if (this.#leaseEnds.has(lease)) return
    this.#followed.add(lease)
    this.#noteEnds()
  }

  /** When the lease ended, unless because somebody who held it asked for that. */
  leaseEnd(lease: bigint): LeaseEnd | undefined {
    this.#noteEnds()
    return this.#leaseEnds.get(lease)
  }

  /** By an operator, who says whether he revokes it or lets it run out before its time. */
  endLease(id: bigint, how: 'revoke' | 'expire'): void {
    if (how === 'revoke') this.faults.revokeLease(id)
    else this.faults.expireLease(id)
    // Also one whose grant is on its way still, which nobody follows yet.
    this.#followed.delete(id)
    this.#leaseEnds.set(id, { at: this.#world.nowMs, by: 'operator' })
  }

  /** Nothing more can be stored, until what this returns is called. */
  fill(member: number): () => void {
    const { space, members } = this.#core
    if (!(space instanceof Alarms)) throw new TypeError('the cluster has no alarms to raise')
    const { id } = members.list[member]!
    space.raise(id, AlarmType.noSpace)
    return () => void space.disarm(id, AlarmType.noSpace)
  }

  /** Somebody sets the password anew, to what it was: every token given for it is worth nothing any more. */
  forgetTokens(): void {
    const { username: name, password } = credentials
    const change = async () => {
      const { token } = await this.#ask(methods.authenticate, { name: 'root', password }, {})
      await this.#ask(methods.userChangePassword, { name, password, hashedPassword: '' }, { token })
    }
    // Without a leader nobody can.
    change().catch(() => {})
  }

  deleteKey(key: string): void {
    const write = this.#core.store.begin()
    write.delete(intervalOf(toBytes(key), NO_END))
    write.commit()
  }

  /** Somebody writes the key, with a value of his own and without its lease. */
  overwriteKey(key: string): void {
    const write = this.#core.store.begin()
    write.put(toBytes(key), toBytes('overwritten'), 0n)
    write.commit()
  }

  /** The process of a member is gone: its connections break. Keys and leases are the cluster's. */
  breakConnections(member: number): void {
    this.#fronts[member]?.disconnect()
  }

  renewLeases(): void {
    this.#core.lessor.renewAll()
  }

  async #ask<Request, Response>(
    method: Method<Request, Response>,
    request: Init<Request>,
    metadata: CallMetadata,
  ): Promise<Response> {
    const route = this.#routes.get(method.path)
    if (route?.kind !== 'unary') throw new TypeError(`the server has no ${method.path}`)
    const bytes = method.request.encode(request)
    const member = this.#core.members.list[0]!
    const context = { member, metadata, requestBytes: bytes.length, cancelled: false, onCancel: () => {} }
    return method.response.decode(await route.answer(bytes, context))
  }

  /** A lease its own session has revoked counts as well: by then nobody relies on it. */
  #noteEnds(): void {
    for (const lease of this.#leaseEnds.keys()) {
      // A grant that was on its way has come after its lease was taken, and made it again.
      if (!this.#core.lessor.has(lease)) continue
      this.#leaseEnds.delete(lease)
      this.#followed.add(lease)
    }
    for (const lease of this.#followed) {
      if (this.#core.lessor.has(lease)) continue
      this.#followed.delete(lease)
      this.#leaseEnds.set(lease, { at: this.#world.nowMs, by: 'time' })
    }
  }

  close(): void {
    this.#core.lessor.close()
    for (const front of this.#fronts) {
      front.close()
      front.member.close()
    }
  }
}

const NO_END = new Uint8Array(0)

const NOTHING_STORED = { revision: 1n, compactRevision: -1n, changes: [] } as const

/** From key 0 to the end: all there are. */
const ALL = new Uint8Array(1)

/** Processes that have to sign in do so by the dozen, and the password is no secret. */
const HASH_COST = 2

function authState(runtime: Runtime): AuthState {
  const { username, password } = credentials
  const user = (name: string, role: string) => ({
    name,
    credentials: { kind: 'password', hash: hashPassword(password, runtime, HASH_COST) } as const,
    roles: [role],
  })
  return {
    enabled: true,
    revision: 2n,
    users: [user('root', 'root'), user(username, 'everything')],
    roles: [
      { name: 'everything', permissions: [{ type: PermissionType.readWrite, key: ALL, rangeEnd: ALL }] },
    ],
  }
}

function serverRuntime(world: World, afterTimer: () => void): Runtime {
  const random = world.random.fork('server')
  return {
    now: () => world.nowMs,
    wallNow: () => 1.7e12 + world.nowMs,
    setTimer: (delayMs, action) => {
      const scheduled = world.after(delayMs, 'server', () => {
        action()
        afterTimer()
      })
      return {
        cancel: () => scheduled.cancel(),
        unref() {
          return this
        },
      }
    },
    defer: action => world.soon(action),
    random: () => random.next(),
    randomBytes: length => random.bytes(length),
    identity: () => ({ host: 'server', pid: 1 }),
    warn: () => {},
  }
}

function latin1(bytes: Uint8Array): string {
  return bytes.length === 0
    ? ''
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

function wordsOf({ type, name }: { readonly type: 'put' | 'delete'; readonly name: string }): string {
  return type === 'put' ? `put ${name}` : `delete ${name}`
}
