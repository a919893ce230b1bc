/** What a side is asked to do and what it answers: one line of JSON each, the same for every language. */

export type Job = HandOffJob | LockJob | StmJob

export interface Conditions {
  readonly endpoint: string
  /** Of the lock, or what the names of the locks begin with. No two jobs share one. */
  readonly name: string
  /** Measured time, after the warm-up. */
  readonly seconds: number
  /** In seconds. */
  readonly warmUp: number
}

/** Every session takes one name in a loop, as a lock or whatever it is, and leaves it, holding it for no time. */
export interface HandOffWork {
  readonly cmd: 'hand-off' | 'election' | 'write-lock' | 'semaphore' | 'lock-all'
  readonly sessions: number
  readonly clients: 'one' | 'each'
}

/** So many workers lock and unlock, to write or to read, each a name of its own, with one session. */
export interface LockWork {
  readonly cmd: 'lock' | 'read-lock'
  readonly inFlight: number
}

/** So many workers read a number and write the next one, in transactions: all of one key, or each of its own. */
export interface StmWork {
  readonly cmd: 'stm'
  readonly inFlight: number
  readonly keys: 'one' | 'each'
}

export type Work = HandOffWork | LockWork | StmWork
export type HandOffJob = HandOffWork & Conditions
export type LockJob = LockWork & Conditions
export type StmJob = StmWork & Conditions

interface Times {
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export type Result = (
  | { readonly handOffs: number }
  | { readonly locks: number }
  | { readonly transactions: number }
) &
  Times

export type Answer = Result | { readonly error: string }

/** Who does the same work, to be compared. */
export type Side = 'quorate' | 'go' | 'bare' | 'etcd3'

/** What answers jobs in the process of a side. */
export interface Worker {
  run(job: Job): Promise<Result>
  close(): void
}
