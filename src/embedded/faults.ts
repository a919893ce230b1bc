import { checkInteger, checkOneOf, checkOptions, checkRevision } from '../support/options.ts'
import type { Core } from './core.ts'
import type { Aftermath, FaultEffect, FaultRules, FaultTarget } from './fault-rules.ts'
import type { Front } from './front.ts'
import type { Member } from './member.ts'

export interface DropOptions extends FaultTarget {
  /** Default: `disconnect`. */
  readonly then?: Aftermath | undefined
}

export interface DelayOptions extends FaultTarget {
  readonly requestMs?: number | undefined
  readonly replyMs?: number | undefined
}

/**
 * What can go wrong with a cluster, at will. Members are named by their index; without one, all of them are
 * meant. What lasts is lifted by calling what it returns, or all at once by `heal`.
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
  revokeLease(id: bigint): void
  /** Forgets what was before this revision; before the present one, if not given. */
  compact(revision?: bigint): void
  /** Lifts all that lasts. */
  heal(): void
}

export interface FaultParts {
  readonly core: Core
  readonly fronts: readonly Front[]
  readonly rules: FaultRules
}

export class EmbeddedFaults implements Faults {
  readonly #parts: FaultParts
  /** What lasts, each with how to lift it. */
  readonly #lasting = new Set<() => void>()

  constructor(parts: FaultParts) {
    this.#parts = parts
  }

  pause(member?: number): () => void {
    const { core, fronts } = this.#parts
    const chosen = this.#fronts(member)
    for (const front of chosen) front.pause()
    const all = chosen.length === fronts.length
    if (all) core.lessor.hold()
    return this.#lasts(() => {
      // Leases that ran out meanwhile end before anything that waited is looked at, a renewal least of all.
      if (all) core.lessor.release()
      for (const front of chosen) front.resume()
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
    const chosen = this.#fronts(member).map(front => front.member)
    for (const one of chosen) one.loseLeader()
    const all = chosen.length === fronts.length
    if (all) core.lessor.hold()
    return this.#lasts(() => {
      // Who leads next does not know how long leases had left.
      if (all) {
        core.lessor.renewAll()
        core.lessor.release()
      }
      for (const one of chosen) one.findLeader()
    })
  }

  lag(member: number, ms: number): () => void {
    const one = this.#member(member)
    if (ms !== Infinity) checkInteger(ms, 'ms', { min: 0 })
    one.lag(ms)
    return this.#lasts(() => one.lag(0))
  }

  expireLease(id: bigint): void {
    this.#parts.core.lessor.expire(checkRevision(id, 'lease id'))
  }

  revokeLease(id: bigint): void {
    this.#parts.core.lessor.revoke(checkRevision(id, 'lease id'))
  }

  compact(revision?: bigint): void {
    const { store } = this.#parts.core
    store.compact(revision === undefined ? store.revision : checkRevision(revision, 'revision'))
  }

  heal(): void {
    for (const lift of [...this.#lasting]) lift()
  }

  #rule(target: FaultTarget, effect: FaultEffect): () => void {
    if (target.member !== undefined) this.#member(target.member)
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

  #member(member: number): Member {
    return this.#fronts(member)[0]!.member
  }
}

function aftermathOf(options: DropOptions, where: string): Aftermath {
  checkOptions(options, ['method', 'member', 'times', 'then'], where)
  return checkOneOf(options.then ?? 'disconnect', ['silence', 'disconnect'] as const, 'then')
}
