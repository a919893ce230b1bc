/**
 * What happened, as those who took part tell it, beside what the server's own log says. A simulation and a
 * run against real servers write the same history, and the same checkers read both.
 *
 * Times are milliseconds on one clock that all processes share: the virtual one in a simulation, the
 * machine's monotonic one among real processes. A revision is the truth about order; a time is only ever
 * used where the promise itself is about time.
 */
export interface History {
  /** What the server committed, by revision, without gaps from `log[0]` on. */
  readonly log: readonly Commit[]
  readonly acquisitions: readonly Acquisition[]
  readonly releases: readonly Release[]
  readonly guardedWrites: readonly GuardedWrite[]
  readonly watches: readonly Watched[]
  readonly writes: readonly Write[]
  readonly reads: readonly Read[]
  readonly stalls: readonly Stall[]
  readonly interventions: readonly Intervention[]
}

/** All that one revision changed. */
export interface Commit {
  readonly revision: bigint
  /** When the server applied it; among real processes, when the recorder saw it, which is never earlier. */
  readonly at: number
  readonly changes: readonly Change[]
}

/** Keys and values are text: latin1 for keys, so that every byte string has one. */
export type Change =
  | {
      readonly kind: 'put'
      readonly key: string
      readonly value: string
      readonly createRevision: bigint
      readonly version: bigint
      readonly lease: bigint
    }
  | { readonly kind: 'delete'; readonly key: string }

interface Call {
  /** Unique in the history. */
  readonly id: string
  /** Whoever shares nothing but the server with others; a process that is started again is another. */
  readonly process: string
  readonly invokedAt: number
  /** `Infinity` when nothing came back before the process died or the history ended. */
  readonly settledAt: number
}

/**
 * `ok`: the call said it is done. `failed`: the call said it did nothing. `unknown`: it may have been done, by
 * its own words or because nobody heard the end of it.
 */
export type Outcome = 'ok' | 'failed' | 'unknown'

/** One wait for a lock (or another exclusive place), and what its process believed afterwards. */
export interface Acquisition extends Call {
  /** The prefix all places of this line share, with its trailing slash. */
  readonly line: string
  readonly outcome: Outcome
  /** The own key and the fencing token, when `ok`. */
  readonly key?: string
  readonly token?: bigint
  /**
   * When its process stopped believing that it holds: the first of release begun, loss told, and the first
   * synchronous check that said no. `Infinity`: it believed to the end of the history or to its own death,
   * whichever is in `diedAt`.
   */
  readonly believedUntil?: number
  /** The process crashed at this time; nobody believes anything afterwards. */
  readonly diedAt?: number
  /** Why belief ended other than by release: the code of the loss. */
  readonly loss?: string
  /**
   * The `id` of an acquisition of the same process whose place was left with its lease, and is had again with its token;
   * its own, if the place was left by an attempt that nobody had an answer to.
   */
  readonly resumes?: string
}

export interface Release extends Call {
  readonly outcome: Outcome
  /** The `id` of the acquisition it ends. */
  readonly acquisition: string
  /** What the caller was told: it was still ours, or it had been lost before. */
  readonly wasHeld?: boolean
}

/** A transaction that was to happen only while the place is held. Values are unique in the history. */
export interface GuardedWrite extends Call {
  readonly acquisition: string
  readonly key: string
  readonly value: string
  readonly outcome: Outcome
  readonly revision?: bigint
}

/** A plain write. Values are unique in the history. */
export interface Write extends Call {
  readonly key: string
  /** `undefined`: the key was deleted. */
  readonly value: string | undefined
  readonly outcome: Outcome
  readonly revision?: bigint
}

/** A linearizable read of one key or of a range. */
export interface Read extends Call {
  readonly from: string
  /** Exclusive, absent for one key. */
  readonly to?: string
  readonly outcome: Outcome
  readonly revision?: bigint
  readonly found?: readonly Found[]
}

export interface Found {
  readonly key: string
  readonly value: string
  readonly createRevision: bigint
  readonly modRevision: bigint
  readonly version: bigint
}

/** What one watcher was told, in the order it was told. */
export interface Watched {
  readonly id: string
  readonly process: string
  readonly from: string
  readonly to?: string
  /** The first revision it asked for; everything from here on is owed. */
  readonly since: bigint
  /** Revisions up to and including this one have been told, by the watcher's own account at its end. */
  readonly toldUntil: bigint
  readonly told: readonly Told[]
}

export type Told =
  | { readonly kind: 'changes'; readonly revision: bigint; readonly changes: readonly Change[] }
  /** What was between is gone: it starts over from everything there is at this revision. */
  | { readonly kind: 'reset'; readonly revision: bigint; readonly found: readonly Found[] }

/** The process executed nothing from `from` to `until`: stopped, or its event loop was blocked. */
export interface Stall {
  readonly process: string
  readonly from: number
  readonly until: number
}

/** What an operator or a fault did to places and leases. `at` is the time it took effect at the server. */
export interface Intervention {
  readonly at: number
  readonly revision: bigint
  readonly kind: 'lease-revoked' | 'lease-expired-early' | 'key-deleted' | 'key-overwritten'
  /** The keys that went. */
  readonly keys: readonly string[]
}

/** What a checker found. An empty list means that the history keeps the promise. */
export interface Violation {
  /** The promise that was broken, in words that are the same each time: `token-repeated`. */
  readonly rule: string
  /** One sentence with the names, tokens, revisions and times that show it. */
  readonly message: string
  /** The entries it was seen in. */
  readonly involved: readonly string[]
}
