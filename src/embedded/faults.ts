import { checkInteger, checkOneOf, checkOptions, checkRevision } from '../support/options.ts'
import { compact } from './compaction.ts'
import type { Core } from './core.ts'
import {
  type Aftermath,
  type FaultEffect,
  type FaultRules,
  type FaultTarget,
  isCalled,
} from './fault-rules.ts'
import type { Front } from './front.ts'
import type { Member } from './member.ts'
import { Overlap } from './overlap.ts'

export interface DropOptions extends FaultTarget {
  /** How the caller learns of it. Default: `disconnect`. */
  readonly then?: Aftermath | undefined
}

export interface DelayOptions extends FaultTarget {
  /** How much later requests arrive, and answers come back. Default of both: 0. */
  readonly requestMs?: number | undefined
  readonly replyMs?: number | undefined
}

/**
 * What can go wrong with a cluster, at will. Members are named by their index; without one, all of them are
 * meant. What lasts is lifted by calling what it returns, or all at once by `heal`. Faults of one kind may
 * overlap: a member is free of it when the last of them is lifted, and of several lags the latest counts.
 */
export interface Faults {
  /** Stands still: keeps its connections, looks at nothing, answers nothing but the pings of HTTP/2. While all do, time goes on but no lease ends. */
  pause(member?: number): () => void
  /** Requests take longer to arrive, or answers to come back. Messages of streams that are opened from now on too. */
  delay(options: DelayOptions): () => void
  /** Calls that never arrive. */
  dropRequests(options?: DropOptions): () => void
  /** Calls that are carried out, and whose answers are lost. */
  loseReplies(options?: DropOptions): () => void
  /** Ends the streams that are open. Connections stay. */
  cutStreams(member?: number): void
  /** Breaks all connections, with everything on them. */
  disconnect(member?: number): void
  /** Tells all connections to take no new calls; those under way go on. */
  goAway(member?: number): void
  /** Nobody leads: streams that asked for a leader end, calls that need one wait for it and time out. */
  loseLeader(member?: number): () => void
  /** From now on it applies what is committed this much later; `Infinity`: not before the fault is lifted. */
  lag(member: number, ms: number): () => void
  /** Ends a lease as if its time were over. */
  expireLease(id: bigint): void
  /** Revokes a lease, as somebody else would. */
  revokeLease(id: bigint): void
  /** Forgets what was before this revision; before the present one, if not given, and that may be done already. */
  compact(revision?: bigint): void
  /** Lifts all that lasts. */
  heal(): void
}

export interface FaultParts {
  readonly core: Core
  readonly fronts: readonly Front[]
  readonly rules: FaultRules
  /** Paths of the calls there are. */
  readonly paths: readonly string[]
}

export class EmbeddedFaults implements Faults {
  readonly #parts: FaultParts
  /** What lasts, each with how to lift it. */
  readonly #lasting = new Set<() => void>()
  readonly #paused = new Overlap<Front>()
  readonly #leaderless = new Overlap<Front>()
  /** Of each member, the latest last. */
  readonly #lags = new Map<Member, { readonly ms: number }[]>()
  #leasesHeld = false

  constructor(parts: FaultParts) {
    this.#parts = parts
  }

  pause(member?: number): () => void {
    const chosen = this.#fronts(member)
    for (const front of this.#paused.add(chosen)) front.pause()
    this.#weighLeases()
    return this.#lasts(() => {
      const free = this.#paused.remove(chosen)
      // Leases that ran out meanwhile end before anything that waited is looked at, a renewal least of all.
      this.#weighLeases()
      for (const front of free) front.resume()
    })
  }

  delay(options: DelayOptions): () => void {
    checkOptions(options, ['method', 'member', 'times', 'requestMs', 'replyMs'], 'delay')
    const { requestMs = 0, replyMs = 0 } = options
    checkInteger(requestMs, 'requestMs', { min: 0 })
    checkInteger(replyMs, 'replyMs', { min: 0 })
    return this.#rule(options, { kind: 'delay', requestMs, replyMs })
  }

  dropRequests(options: DropOptions = {}): () => void {
    return this.#rule(options, { kind: 'drop-request', then: aftermathOf(options, 'dropRequests') })
  }

  loseReplies(options: DropOptions = {}): () => void {
    return this.#rule(options, { kind: 'lose-reply', then: aftermathOf(options, 'loseReplies') })
  }

  cutStreams(member?: number): void {
    for (const front of this.#fronts(member)) front.cutStreams()
  }

  disconnect(member?: number): void {
    for (const front of this.#fronts(member)) front.disconnect()
  }

  goAway(member?: number): void {
    for (const front of this.#fronts(member)) front.goAway()
  }

  loseLeader(member?: number): () => void {
    const { core, fronts } = this.#parts
    const chosen = this.#fronts(member)
    for (const front of this.#leaderless.add(chosen)) front.member.loseLeader()
    this.#weighLeases()
    return this.#lasts(() => {
      const elects = this.#leaderless.size === fronts.length
      const free = this.#leaderless.remove(chosen)
      if (elects && free.length > 0) {
        core.members.lead(core.members.leader)
        // Who leads next does not know how long leases had left.
        core.lessor.renewAll()
      }
      this.#weighLeases()
      for (const front of free) front.member.findLeader()
    })
  }

  lag(member: number, ms: number): () => void {
    const one = this.#member(member)
    if (ms !== Infinity) checkInteger(ms, 'ms', { min: 0 })
    const lag = { ms }
    const lags = this.#lags.get(one) ?? []
    this.#lags.set(one, lags)
    lags.push(lag)
    one.lag(ms)
    return this.#lasts(() => {
      lags.splice(lags.indexOf(lag), 1)
      one.lag(lags.at(-1)?.ms ?? 0)
    })
  }

  expireLease(id: bigint): void {
    this.#parts.core.lessor.expire(this.#lease(id))
  }

  revokeLease(id: bigint): void {
    this.#parts.core.lessor.revoke(this.#lease(id))
  }

  compact(revision?: bigint): void {
    const { core } = this.#parts
    const { revision: last, compactRevision } = core.store
    if (revision === undefined) {
      if (compactRevision < last) compact(core, last)
      return
    }
    checkRevision(revision, 'revision')
    if (revision <= compactRevision || revision > last)
      throw new RangeError(
        `revision is above ${compactRevision}, which was compacted, and at most ${last}, got ${revision}`,
      )
    compact(core, revision)
  }

  heal(): void {
    for (const lift of [...this.#lasting]) lift()
  }

  /** Where no member works, no lease ends. */
  #weighLeases(): void {
    const { core, fronts } = this.#parts
    const held = fronts.every(front => this.#paused.has(front) || this.#leaderless.has(front))
    if (held === this.#leasesHeld) return
    this.#leasesHeld = held
    if (held) core.lessor.hold()
    else core.lessor.release()
  }

  #rule(target: FaultTarget, effect: FaultEffect): () => void {
    const { method, member } = target
    // A fault that meets no call would let a test pass without it.
    if (method !== undefined && !this.#parts.paths.some(path => isCalled(method, path)))
      throw new RangeError(
        `method is one of etcd's, as Put, Lease or /etcdserverpb.KV/Put, got ${String(method)}`,
      )
    if (member !== undefined) this.#member(member)
    if (target.times !== undefined) checkInteger(target.times, 'times', { min: 1 })
    return this.#lasts(this.#parts.rules.add(target, effect))
  }

  /** Lifting twice is quiet. */
  #lasts(undo: () => void): () => void {
    const lift = () => {
      if (this.#lasting.delete(lift)) undo()
    }
    this.#lasting.add(lift)
    return lift
  }

  #fronts(member: number | undefined): readonly Front[] {
    const { fronts } = this.#parts
    if (member === undefined) return fronts
    return [fronts[checkInteger(member, 'member', { min: 0, max: fronts.length - 1 })]!]
  }

  #lease(id: bigint): bigint {
    if (this.#parts.core.lessor.standing(checkRevision(id, 'lease id')) !== undefined) return id
    throw new RangeError(`there is no lease ${id}: it ran out, was revoked, or never was`)
  }

  #member(member: number): Member {
    return this.#fronts(member)[0]!.member
  }
}

function aftermathOf(options: DropOptions, where: string): Aftermath {
  checkOptions(options, ['method', 'member', 'times', 'then'], where)
  return checkOneOf(options.then ?? 'disconnect', ['silence', 'disconnect'] as const, 'then')
}
