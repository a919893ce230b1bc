/** What the one who runs the chaos and the processes it starts say to each other. */

/** A stretch of work with keys of its own, checked by itself when it is over. */
export interface Round {
  readonly prefix: string
  readonly folder: string
  /** The cluster's revision before anything of the round was written. */
  readonly since: bigint
}

export interface WorkerConfig {
  readonly name: string
  /** Where it works; whoever is started after it has another name. */
  readonly place: string
  readonly endpoints: readonly string[]
  readonly ttl: number
  readonly seed: number
}

export type ToWorker =
  | { readonly kind: 'work'; readonly round: Round }
  /** Finish what is under way and begin nothing. */
  | { readonly kind: 'rest' }
  /** Nothing of the round is written after this revision: watchers stop when they were told of it. */
  | { readonly kind: 'end'; readonly revision: bigint }
  | { readonly kind: 'leave' }

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'rested' }
  | { readonly kind: 'ended'; readonly footprint: Footprint }
  | { readonly kind: 'left' }
  | { readonly kind: 'trouble'; readonly what: string }

/** What a process takes up, right after a garbage collection. */
export interface Footprint {
  readonly heapBytes: number
  /** Sockets, timers and the like that the event loop knows of. */
  readonly handles: number
}

export interface RecorderConfig {
  readonly endpoints: readonly string[]
  readonly file: string
}

/** Commits up to this revision are in the file. */
export type FromRecorder =
  | { readonly kind: 'recorded'; readonly revision: bigint }
  | { readonly kind: 'trouble'; readonly what: string }

export type ToRecorder = { readonly kind: 'recorded?' } | { readonly kind: 'leave' }
