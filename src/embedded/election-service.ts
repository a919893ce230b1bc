import { Code } from '../support/codes.ts'
import { concat, equalBytes, mapKey, prefixEnd, toBytes } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import { type Event, EventType, type KeyValue } from '../wire/gen/kv.g.ts'
import type { LeaderKey, LeaderResponse } from '../wire/gen/v3election.g.ts'
import { methods } from '../wire/methods.ts'
import { type Core, headerOf } from './core.ts'
import { InnerClient } from './inner-client.ts'
import { intervalOf, type KeyInterval } from './key-interval.ts'
import { type CallContext, type Outlet, type Service, serverStream, unary } from './service.ts'
import { StatusError } from './status-error.ts'

/** Go's election, run inside the server: it stands in one line with clients that campaign by themselves. */
export function electionService(core: Core): Service {
  return [
    unary(
      methods.campaign,
      async ({ name, lease: given, value }, context) => {
        const client = new InnerClient(core, context)
        const prefix = prefixOf(name)
        const lease = client.lease(given)
        const { own, revision, joined } = client.join(prefix, lease, value)
        try {
          if (joined === 'before' && mapKey(own.value) !== mapKey(value)) {
            if (!client.rewrite(own.key, own.createRevision, value, lease).succeeded) throw notLeader()
          }
          await client.untilFirst(prefix, own.createRevision)
        } catch (error) {
          client.abandon(own)
          throw error
        }
        return {
          // Of the moment it joined, however long it waited.
          header: headerOf(core, context.member, revision),
          leader: { name, key: own.key, revision: own.createRevision, lease },
        }
      },
      'write',
    ),
    unary(
      methods.proclaim,
      ({ leader, value }, context) => {
        const client = new InnerClient(core, context)
        const { key, revision: created, lease } = given(leader)
        const { succeeded, revision } = client.rewrite(key, created, value, client.lease(lease))
        if (!succeeded) throw notLeader()
        return { header: headerOf(core, context.member, revision) }
      },
      'write',
    ),
    unary(
      methods.leader,
      ({ name }, context) => {
        const kv = new InnerClient(core, context).first(prefixOf(name))
        if (kv === undefined) throw new StatusError(Code.unknown, 'election: no leader')
        return { header: headerOf(core, context.member), kv }
      },
      'read',
    ),
    unary(
      methods.resign,
      ({ leader }, context) => {
        const client = new InnerClient(core, context)
        const { key, revision: created } = given(leader)
        // Who has lost it already has nothing to give up, and that is no error.
        const { revision } = client.remove(key, created)
        return { header: headerOf(core, context.member, revision) }
      },
      'write',
    ),
    serverStream(methods.observe, ({ name }, out, context) => {
      new Observation(core, prefixOf(name), out, context).begin()
    }),
  ]
}

/**
 * - `vacant`: nobody leads; the first key put with the prefix does
 * - `led`: its key is followed until it is deleted, then the oldest one left leads
 */
type Observed =
  | { readonly kind: 'vacant' }
  | { readonly kind: 'led'; readonly key: Uint8Array }
  | { readonly kind: 'over' }

/** One stream of leaders. That nobody leads is never told, as etcd never does. */
class Observation {
  readonly #core: Core
  readonly #prefix: Uint8Array
  readonly #interval: KeyInterval
  readonly #out: Outlet<Init<LeaderResponse>>
  readonly #context: CallContext
  #state: Observed = { kind: 'vacant' }
  /** What was read tells all up to here. */
  #seen = 0n

  constructor(core: Core, prefix: Uint8Array, out: Outlet<Init<LeaderResponse>>, context: CallContext) {
    this.#core = core
    this.#prefix = prefix
    this.#interval = intervalOf(prefix, prefixEnd(prefix))
    this.#out = out
    this.#context = context
  }

  begin(): void {
    this.#look()
    const { store } = this.#core
    const stop = this.#context.member.watches.follow(
      { interval: this.#interval, from: store.revision + 1n, filters: [] },
      (events, revision) => this.#follow(events, revision),
    )
    this.#context.onCancel(() => {
      this.#state = { kind: 'over' }
      stop()
    })
  }

  /** Reads who leads now. */
  #look(): void {
    try {
      const kv = new InnerClient(this.#core, this.#context).first(this.#prefix)
      this.#seen = this.#core.store.revision
      if (kv === undefined) this.#state = { kind: 'vacant' }
      else this.#tell(kv, this.#seen)
    } catch {
      // Whatever is wrong, etcd ends the stream in order and does not say.
      this.#state = { kind: 'over' }
      this.#out.end()
    }
  }

  #follow(events: readonly Event[], revision: bigint): void {
    if (revision <= this.#seen) return
    switch (this.#state.kind) {
      case 'vacant': {
        const first = events.find(({ type }) => type === EventType.put)
        if (first !== undefined) this.#tell(first.kv!, revision)
        return
      }
      case 'led': {
        const { key } = this.#state
        const event = events.find(({ kv }) => equalBytes(kv!.key, key))
        if (event === undefined) return
        if (event.type === EventType.put) this.#tell(event.kv!, revision)
        else this.#look()
        return
      }
      case 'over':
        return
    }
  }

  #tell(kv: KeyValue, revision: bigint): void {
    this.#state = { kind: 'led', key: kv.key }
    this.#out.send({ header: headerOf(this.#core, this.#context.member, revision), kv })
  }
}

function prefixOf(name: Uint8Array): Uint8Array {
  return concat(name, toBytes('/'))
}

function given(leader: LeaderKey | undefined): LeaderKey {
  if (leader === undefined) throw new StatusError(Code.unknown, '"leader" field must be provided')
  return leader
}

function notLeader(): StatusError {
  return new StatusError(Code.unknown, 'election: not leader')
}
