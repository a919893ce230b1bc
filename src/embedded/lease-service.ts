import type { Init } from '../wire/codec.ts'
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { type Core, headerOf } from './core.ts'
import { type CallContext, duplex, type Inlet, type Outlet, type Service, unary } from './service.ts'
import { StatusError } from './status-error.ts'

/** What etcd books for a lease. */
const LEASE_BYTES = 64

export function leaseService(core: Core): Service {
  const { access, lessor, space, store } = core
  return [
    unary(
      methods.leaseGrant,
      ({ ttl, id }, context) => {
        space.admit(LEASE_BYTES, context.member.id)
        access.lease(context)
        space.checkAlarm(LEASE_BYTES)
        const lease = lessor.grant(ttl, id)
        return { header: headerOf(core, context.member, store.revision), id: lease.id, ttl: lease.grantedTtl }
      },
      'write',
    ),
    unary(
      methods.leaseRevoke,
      ({ id }, context) => {
        access.leaseRevoke(context, store.keysOfLease(id))
        space.checkAlarm(0)
        lessor.revoke(id)
        return { header: headerOf(core, context.member, store.revision) }
      },
      'write',
    ),
    unary(
      methods.leaseTimeToLive,
      ({ id, keys }, context) => {
        const attached = keys ? store.keysOfLease(id) : []
        if (keys) access.leaseTimeToLive(context, attached)
        const header = headerOf(core, context.member)
        const standing = lessor.standing(id)
        if (standing === undefined) return { header, id, ttl: -1n }
        const ttl = BigInt(Math.floor(standing.remainingMs / 1000))
        return { header, id, ttl, grantedTtl: standing.grantedTtl, keys: attached }
      },
      'lease',
    ),
    unary(methods.leaseLeases, (_, context) => {
      access.lease(context)
      return { header: headerOf(core, context.member), leases: lessor.list().map(({ id }) => ({ id })) }
    }),
    duplex(methods.leaseKeepAlive, (out, context) => new KeepAliveStream(core, out, context)),
  ]
}

/** Renews one lease after the other. */
class KeepAliveStream implements Inlet<LeaseKeepAliveRequest> {
  readonly #core: Core
  readonly #out: Outlet<Init<LeaseKeepAliveResponse>>
  readonly #context: CallContext
  /** Settled when the renewals before are. */
  #turn: Promise<void> | undefined

  constructor(core: Core, out: Outlet<Init<LeaseKeepAliveResponse>>, context: CallContext) {
    this.#core = core
    this.#out = out
    this.#context = context
  }

  onMessage({ id }: LeaseKeepAliveRequest): void {
    const { member } = this.#context
    if (this.#turn === undefined && member.inTouch) return this.#renew(id)
    // Without a leader a renewal waits, and those behind it on the stream with it.
    const turn = (this.#turn ?? Promise.resolve())
      .then(() => member.during('lease', this.#context, async () => this.#renew(id)))
      .catch((error: unknown) => this.#out.end(StatusError.from(error)))
      .finally(() => {
        if (this.#turn === turn) this.#turn = undefined
      })
    this.#turn = turn
  }

  onHalfClose(): void {
    if (this.#turn === undefined) this.#out.end()
    else void this.#turn.then(() => this.#out.end())
  }

  #renew(id: bigint): void {
    const { access, lessor } = this.#core
    access.lease(this.#context)
    // Of the moment before: renewing a lease that is over deletes its keys.
    const header = headerOf(this.#core, this.#context.member)
    const lease = lessor.renew(id)
    this.#out.send({ header, id, ttl: lease?.grantedTtl ?? 0n })
  }
}
