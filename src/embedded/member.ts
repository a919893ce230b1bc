import { Code } from '../support/codes.ts'
import { type Deferred, deferred } from '../support/deferred.ts'
import type { Runtime, Timer } from '../support/runtime.ts'
import type { Caller, Need } from './need.ts'
import type { Settings } from './settings.ts'
import { StatusError } from './status-error.ts'
import { refuse } from './statuses.ts'
import type { Revision, Store } from './store.ts'
import { WatchHub } from './watch-hub.ts'

export interface MemberParts {
  readonly runtime: Runtime
  readonly settings: Settings
  readonly store: Store
}

/** What a member says about itself. */
export interface MemberIdentity {
  readonly id: bigint
  readonly name: string
  readonly peerUrls: readonly string[]
}

/**
 * One member as its clients see it. All members share one store; each has its own view of how far it is
 * applied, its own watches, and its own idea of whether there is a leader.
 */
export class Member {
  readonly id: bigint
  readonly name: string
  readonly peerUrls: readonly string[]
  /** Known once it listens. */
  clientUrls: readonly string[] = []
  readonly watches: WatchHub
  readonly #parts: MemberParts
  #revision: bigint
  #hasLeader = true
  #closed = false
  #lagMs = 0
  /** What it has not applied yet, with the instant of each commit. */
  readonly #behind: { readonly commit: Revision; readonly committedAtMs: number }[] = []
  #catchingUp: Timer | undefined
  readonly #waiting = new Set<{ readonly ready: () => boolean; readonly found: Deferred<void> }>()
  readonly #leaderLost = new Set<() => void>()

  constructor(identity: MemberIdentity, parts: MemberParts) {
    this.id = identity.id
    this.name = identity.name
    this.peerUrls = identity.peerUrls
    this.#parts = parts
    this.#revision = parts.store.revision
    this.watches = new WatchHub({ ...parts, member: this })
  }

  /** How far it is applied. */
  get revision(): bigint {
    return this.#revision
  }

  get hasLeader(): boolean {
    return this.#hasLeader
  }

  /** Neither without a leader nor behind: calls need no waiting. */
  get inTouch(): boolean {
    return this.#hasLeader && this.#lagMs === 0 && this.#behind.length === 0
  }

  /** Runs `work` when the member can do what it needs, and answers when the member has seen what came of it. */
  async during<Result>(need: Need, caller: Caller, work: () => Promise<Result>): Promise<Result> {
    if (need !== 'nothing') await this.#until(() => this.#hasLeader, caller, timeoutOf(need))
    if (need === 'read') await this.#applied(caller)
    const result = await work()
    if (need === 'write') await this.#applied(caller)
    return result
  }

  /** Runs `action` when it next loses its leader. Returns how to stop. */
  onLeaderLost(action: () => void): () => void {
    this.#leaderLost.add(action)
    return () => this.#leaderLost.delete(action)
  }

  /** A revision was committed. */
  apply(commit: Revision): void {
    // The server itself still writes: who waited for a lock leaves its line.
    if (this.#closed) return
    if (this.#lagMs === 0 && this.#behind.length === 0) return this.#advance(commit)
    this.#behind.push({ commit, committedAtMs: this.#parts.runtime.now() })
    this.#catchUp()
  }

  /** Applies what it has to, up to this revision, however late it is. */
  reach(revision: bigint): void {
    for (
      let next = this.#behind[0];
      next !== undefined && next.commit.revision <= revision;
      next = this.#behind[0]
    ) {
      this.#behind.shift()
      this.#advance(next.commit)
    }
  }

  loseLeader(): void {
    this.#hasLeader = false
    for (const action of [...this.#leaderLost]) action()
  }

  findLeader(): void {
    this.#hasLeader = true
    this.#wake()
  }

  /** From now on it applies what is committed this much later; with Infinity not at all. 0 catches up at once. */
  lag(ms: number): void {
    if (this.#closed) return
    this.#lagMs = ms
    this.#catchingUp?.cancel()
    this.#catchingUp = undefined
    this.#catchUp()
  }

  close(): void {
    this.#closed = true
    this.#catchingUp?.cancel()
    this.watches.close()
    for (const { found } of this.#waiting) found.reject(refuse.stopped())
    this.#waiting.clear()
  }

  #advance(commit: Revision): void {
    this.#revision = commit.revision
    this.watches.publish(commit)
    this.#wake()
  }

  /** Applies what is due. */
  #catchUp(): void {
    if (this.#catchingUp !== undefined) return
    const { runtime } = this.#parts
    for (let next = this.#behind[0]; next !== undefined; next = this.#behind[0]) {
      const waitMs = next.committedAtMs + this.#lagMs - runtime.now()
      if (waitMs === Infinity) return
      if (waitMs > 0) {
        this.#catchingUp = runtime.setTimer(waitMs, () => {
          this.#catchingUp = undefined
          this.#catchUp()
        })
        return
      }
      this.#behind.shift()
      this.#advance(next.commit)
    }
  }

  async #applied(caller: Caller): Promise<void> {
    const committed = this.#parts.store.revision
    await this.#until(() => this.#revision >= committed, caller, refuse.timeout)
  }

  async #until(ready: () => boolean, caller: Caller, late: () => StatusError): Promise<void> {
    if (ready()) return
    const found = deferred<void>()
    const entry = { ready, found }
    this.#waiting.add(entry)
    const { runtime, settings } = this.#parts
    const timer = runtime.setTimer(settings.requestTimeoutMs, () => found.reject(late()))
    caller.onCancel(() => found.reject(refuse.stopped()))
    try {
      await found.promise
    } finally {
      timer.cancel()
      this.#waiting.delete(entry)
    }
  }

  #wake(): void {
    for (const { ready, found } of this.#waiting) if (ready()) found.resolve()
  }
}

/** Measured: a proposal runs into the deadline of its caller, a read index gives up, a lease looks for its leader. */
function timeoutOf(need: Need): () => StatusError {
  switch (need) {
    case 'write':
      return () => new StatusError(Code.deadlineExceeded, 'context deadline exceeded')
    case 'lease':
      return refuse.noLeader
    case 'read':
    case 'nothing':
      return refuse.timeout
  }
}

/** The members of one embedded cluster. */
export class Members {
  readonly clusterId: bigint
  readonly #list: Member[]
  #leader: Member
  #term = 2n

  constructor(clusterId: bigint, members: readonly [Member, ...Member[]]) {
    this.clusterId = clusterId
    this.#list = [...members]
    this.#leader = members[0]
  }

  get list(): readonly Member[] {
    return this.#list
  }

  get leader(): Member {
    return this.#leader
  }

  get term(): bigint {
    return this.#term
  }

  byId(id: bigint): Member | undefined {
    return this.#list.find(member => member.id === id)
  }

  /** Another member leads, in a term of its own. Leases are for the caller to renew. */
  lead(member: Member): void {
    this.#leader = member
    this.#term += 1n
  }
}
