import { assemble } from '../../src/embedded/assembly.ts'
import { FaultRules } from '../../src/embedded/fault-rules.ts'
import { EmbeddedFaults } from '../../src/embedded/faults.ts'
import { Front } from '../../src/embedded/front.ts'
import { intervalOf } from '../../src/embedded/key-interval.ts'
import { defaultSettings } from '../../src/embedded/settings.ts'
import { directTransport } from '../../src/embedded/transport.ts'
import type { Runtime } from '../../src/support/runtime.ts'
import type { Transport } from '../../src/support/transport.ts'
import { mapKey, prefixEnd, toBytes } from '../../src/wire/bytes.ts'
import type { Change, Commit } from '../checkers/history.ts'
import type { World } from './world.ts'

export interface ClusterOptions {
  readonly members: number
  /** 0: leases end at their very instant. */
  readonly leaseScanMs: number
}

/** The embedded etcd in virtual time, with all its innards at hand: an operator, a record of all it commits. */
export class Cluster {
  readonly endpoints: readonly string[]
  readonly transport: Transport
  readonly faults: EmbeddedFaults
  readonly #core: ReturnType<typeof assemble>['core']
  readonly #fronts: readonly Front[]
  readonly #log: Commit[] = []

  constructor(world: World, { members, leaseScanMs }: ClusterOptions) {
    const runtime = serverRuntime(world)
    const settings = { ...defaultSettings, leaseScanMs }
    const { core, routes } = assemble(runtime, settings, { members, snapshot: undefined })
    const rules = new FaultRules()
    this.#core = core
    this.#fronts = core.members.list.map(
      (member, index) => new Front(member, index, { runtime, settings, leaderNoticeMs: 0, routes, rules }),
    )
    this.endpoints = core.members.list.map((_, index) => `member-${index + 1}:2379`)
    this.transport = directTransport(runtime, address => this.#fronts[this.endpoints.indexOf(address)])
    this.faults = new EmbeddedFaults({ core, fronts: this.#fronts, rules })
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

  close(): void {
    this.#core.lessor.close()
    for (const front of this.#fronts) {
      front.close()
      front.member.close()
    }
  }
}

const NO_END = new Uint8Array(0)

function serverRuntime(world: World): Runtime {
  const random = world.random.fork('server')
  return {
    now: () => world.nowMs,
    wallNow: () => 1.7e12 + world.nowMs,
    setTimer: (delayMs, action) => {
      const scheduled = world.after(delayMs, 'server', action)
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
