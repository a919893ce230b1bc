import { type DeadlineEntry, DeadlineHeap } from '../support/deadline-heap.ts'
import type { Runtime, Timer } from '../support/runtime.ts'
import { intervalOf } from './key-interval.ts'
import type { Settings } from './settings.ts'
import { refuse } from './statuses.ts'
import type { Store } from './store.ts'

/** About 285 years, in seconds. */
const LONGEST_TTL = 9_000_000_000n

export interface LeaseParts {
  readonly runtime: Runtime
  readonly store: Store
  readonly settings: Pick<Settings, 'minLeaseTtl' | 'leaseScanMs'>
}

export interface LeaseStanding {
  readonly id: bigint
  /** Seconds it was granted for. */
  readonly grantedTtl: bigint
  /** Milliseconds until it may expire. */
  readonly remainingMs: number
}

/** A lease to be kept and loaded. */
export type LeaseImage = Pick<LeaseStanding, 'id' | 'grantedTtl'>

interface Lease {
  readonly id: bigint
  readonly ttl: bigint
  readonly deadline: DeadlineEntry<bigint>
}

/**
 * Leases and their time. Expired ones are looked for on a grid of instants, as etcd does, so a lease ends up
 * to half a second late and never early. What is attached to a lease is known by the store.
 *
 * Invariant: while nothing stands still, a timer is set exactly when there are leases, for the instant the
 * first of them can be ended.
 */
export class Lessor {
  readonly #parts: LeaseParts
  readonly #leases = new Map<bigint, Lease>()
  readonly #deadlines = new DeadlineHeap<bigint>()
  readonly #originMs: number
  #timer: { readonly atMs: number; readonly timer: Timer } | undefined
  /** Reasons why nothing may expire: a server that stands still, or has no leader, ends no lease. */
  #holds = 0
  #closed = false

  constructor(parts: LeaseParts) {
    this.#parts = parts
    this.#originMs = parts.runtime.now()
  }

  has(id: bigint): boolean {
    return this.#leases.has(id)
  }

  /** With id 0 it gets one. Times shorter than the shortest are raised. */
  grant(ttl: bigint, id: bigint): LeaseStanding {
    if (ttl > LONGEST_TTL) throw refuse.leaseTtlTooLarge()
    if (this.#leases.has(id)) throw refuse.leaseExists()
    const minimum = BigInt(this.#parts.settings.minLeaseTtl)
    return this.#add(id === 0n ? this.#freeId() : id, ttl < minimum ? minimum : ttl)
  }

  /** Its whole time from now; undefined when there is no such lease. */
  renew(id: bigint): LeaseStanding | undefined {
    const lease = this.#leases.get(id)
    if (lease === undefined) return undefined
    // It is over, only nobody has looked yet.
    if (lease.deadline.atMs <= this.#parts.runtime.now() && this.#holds === 0) {
      this.#end(id)
      this.#schedule()
      return undefined
    }
    this.#deadlines.move(lease.deadline, this.#deadlineAfter(lease.ttl))
    this.#schedule()
    return this.#standing(lease)
  }

  /** Deletes its keys, in one revision. */
  revoke(id: bigint): void {
    if (!this.#leases.has(id)) throw refuse.leaseNotFound()
    this.#end(id)
    this.#schedule()
  }

  /** As if its time were over. */
  expire(id: bigint): void {
    this.revoke(id)
  }

  standing(id: bigint): LeaseStanding | undefined {
    const lease = this.#leases.get(id)
    return lease === undefined ? undefined : this.#standing(lease)
  }

  /** Those that expire first come first. */
  list(): LeaseStanding[] {
    return [...this.#leases.values()]
      .sort((a, b) => a.deadline.atMs - b.deadline.atMs)
      .map(lease => this.#standing(lease))
  }

  /** A new leader does not know how long they had left: each has its whole time again. */
  renewAll(): void {
    for (const { deadline, ttl } of this.#leases.values())
      this.#deadlines.move(deadline, this.#deadlineAfter(ttl))
    this.#schedule()
  }

  /** Nothing expires until as many calls to `release`. Time goes on: what ran out meanwhile ends then. */
  hold(): void {
    this.#holds += 1
    this.#schedule()
  }

  release(): void {
    this.#holds -= 1
    if (this.#holds === 0) this.#endExpired()
  }

  image(): LeaseImage[] {
    return this.list().map(({ id, grantedTtl }) => ({ id, grantedTtl }))
  }

  load(leases: readonly LeaseImage[]): void {
    for (const { id, grantedTtl } of leases) this.#add(id, grantedTtl)
  }

  close(): void {
    this.#closed = true
    this.#schedule()
  }

  #add(id: bigint, ttl: bigint): LeaseStanding {
    const lease: Lease = { id, ttl, deadline: this.#deadlines.add(id, this.#deadlineAfter(ttl)) }
    this.#leases.set(id, lease)
    this.#schedule()
    return this.#standing(lease)
  }

  /** All its keys in one revision. */
  #end(id: bigint): void {
    const { store } = this.#parts
    const lease = this.#leases.get(id)
    if (lease === undefined) return
    this.#leases.delete(id)
    this.#deadlines.remove(lease.deadline)
    const write = store.begin()
    for (const key of store.keysOfLease(id)) write.delete(intervalOf(key, NO_END))
    write.commit()
  }

  #endExpired(): void {
    const { runtime } = this.#parts
    // Each lease is a revocation of its own, hence a revision of its own.
    for (let first = this.#deadlines.first; first !== undefined; first = this.#deadlines.first) {
      if (first.atMs > runtime.now()) break
      this.#end(first.value)
    }
    this.#schedule()
  }

  #schedule(): void {
    const first = this.#closed || this.#holds > 0 ? undefined : this.#deadlines.first
    const atMs = first === undefined ? undefined : this.#scanAfter(first.atMs)
    if (atMs === this.#timer?.atMs) return
    this.#timer?.timer.cancel()
    this.#timer = undefined
    if (atMs === undefined) return
    const { runtime } = this.#parts
    const timer = runtime.setTimer(Math.max(0, atMs - runtime.now()), () => {
      this.#timer = undefined
      this.#endExpired()
    })
    this.#timer = { atMs, timer }
  }

  /** The first instant of the grid at or after this one. */
  #scanAfter(atMs: number): number {
    const { leaseScanMs } = this.#parts.settings
    if (leaseScanMs === 0) return atMs
    return this.#originMs + Math.ceil((atMs - this.#originMs) / leaseScanMs) * leaseScanMs
  }

  #deadlineAfter(ttl: bigint): number {
    return this.#parts.runtime.now() + Number(ttl) * 1000
  }

  #standing({ id, ttl, deadline }: Lease): LeaseStanding {
    const remainingMs = Math.max(0, deadline.atMs - this.#parts.runtime.now())
    return { id, grantedTtl: ttl, remainingMs }
  }

  #freeId(): bigint {
    for (;;) {
      const bytes = this.#parts.runtime.randomBytes(8)
      const id = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0) & LARGEST_ID
      if (id !== 0n && !this.#leases.has(id)) return id
    }
  }
}

const LARGEST_ID = 2n ** 63n - 1n

const NO_END: Uint8Array = new Uint8Array(0)
