import { createHash } from 'node:crypto'
import { Code } from '../support/codes.ts'
import type { Runtime } from '../support/runtime.ts'
import { compareBytes, toBytes } from '../wire/bytes.ts'
import type { Member, Members } from './member.ts'
import { StatusError } from './status-error.ts'
import { refuse } from './statuses.ts'

/** One line of the member list. */
export interface Membership {
  readonly id: bigint
  readonly name: string
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
  readonly isLearner: boolean
}

/**
 * Who belongs to the cluster by its own book. What is added here is never started: nothing joins an embedded
 * cluster from outside. So, unlike a real one, it goes on without a majority of its book.
 */
export class MemberBook {
  readonly #runtime: Runtime
  readonly #members: Members
  /** What was changed about members that run. */
  readonly #renamed = new Map<bigint, readonly string[]>()
  readonly #added = new Map<bigint, Membership>()
  readonly #removed = new Set<bigint>()

  constructor(runtime: Runtime, members: Members) {
    this.#runtime = runtime
    this.#members = members
  }

  /** In the order of their ids. */
  list(): readonly Membership[] {
    const running = this.#members.list
      .filter(({ id }) => !this.#removed.has(id))
      .map(member => this.#entry(member))
    return [...running, ...this.#added.values()].sort((one, other) => (one.id < other.id ? -1 : 1))
  }

  add(urls: readonly string[], kind: 'voter' | 'learner'): Membership {
    const peerUrls = checkedUrls(urls)
    const voters = this.#voters()
    // A second member may always be added to a single one; to more, only while most of them run.
    if (kind === 'voter' && voters.length > 1 && this.#runningAmong(voters) < majorityOf(voters.length + 1))
      throw refuse.memberNotEnoughStarted()
    this.#checkFree(peerUrls, undefined)
    if (kind === 'learner' && this.list().some(({ isLearner }) => isLearner)) throw refuse.tooManyLearners()
    const id = idOf(peerUrls, this.#runtime.wallNow())
    if (this.list().some(member => member.id === id)) throw refuse.memberExists()
    const added = { id, name: '', peerUrls, clientUrls: [], isLearner: kind === 'learner' }
    this.#added.set(id, added)
    return added
  }

  remove(id: bigint): void {
    const found = this.#find(id)
    if (found === undefined || !found.isLearner) {
      const others = this.#voters().filter(voter => voter.id !== id)
      if (others.length === 0 || this.#runningAmong(others) < majorityOf(others.length))
        throw notEnoughStarted()
    }
    if (found === undefined) throw refuse.memberNotFound()
    this.#added.delete(id)
    this.#removed.add(id)
    this.#retire(this.#members.byId(id))
  }

  update(id: bigint, peerUrls: readonly string[]): void {
    const found = this.#find(id)
    if (found === undefined) throw refuse.memberNotFound()
    this.#checkFree(peerUrls, id)
    const added = this.#added.get(id)
    if (added === undefined) this.#renamed.set(id, peerUrls)
    else this.#added.set(id, { ...added, peerUrls })
  }

  promote(id: bigint): void {
    const found = this.#find(id)
    if (found === undefined) throw refuse.memberNotFound()
    if (!found.isLearner) throw refuse.memberNotLearner()
    // One that never ran has nothing of the log.
    throw refuse.learnerNotReady()
  }

  #entry({ id, name, peerUrls, clientUrls }: Member): Membership {
    return { id, name, peerUrls: this.#renamed.get(id) ?? peerUrls, clientUrls, isLearner: false }
  }

  #find(id: bigint): Membership | undefined {
    return this.list().find(member => member.id === id)
  }

  #voters(): readonly Membership[] {
    return this.list().filter(({ isLearner }) => !isLearner)
  }

  #runningAmong(voters: readonly Membership[]): number {
    return voters.filter(({ id }) => !this.#added.has(id)).length
  }

  #checkFree(peerUrls: readonly string[], except: bigint | undefined): void {
    const taken = new Set(this.list().flatMap(member => (member.id === except ? [] : member.peerUrls)))
    if (peerUrls.some(url => taken.has(url))) throw refuse.peerUrlExists()
  }

  /** A removed member serves nobody any more, and another leads if it did. */
  #retire(member: Member | undefined): void {
    if (member === undefined) return
    const heir = this.#members.list.find(({ id }) => !this.#removed.has(id))
    if (this.#members.leader === member && heir !== undefined) this.#members.lead(heir)
    member.loseLeader()
  }
}

function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1
}

/** Each `scheme://host:port`, nothing behind it; in the order of their bytes. */
function checkedUrls(urls: readonly string[]): readonly string[] {
  const trimmed = urls.map(url => url.trim())
  if (trimmed.length === 0 || !trimmed.every(url => /^(https?|unixs?):\/\/[^/?#]+:[^/?#:]*$/.test(url)))
    throw refuse.memberBadUrls()
  return trimmed.sort((one, other) => compareBytes(toBytes(one), toBytes(other)))
}

/** As etcd makes them: from the urls and the second. */
function idOf(peerUrls: readonly string[], nowMs: number): bigint {
  const digest = createHash('sha1')
    .update(peerUrls.join('') + Math.floor(nowMs / 1000))
    .digest()
  return digest.readBigUInt64BE()
}

/** For a removal etcd forgets to give this its status. */
function notEnoughStarted(): StatusError {
  return new StatusError(Code.unknown, refuse.memberNotEnoughStarted().message)
}
