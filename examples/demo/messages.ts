/** What the demo and its workers tell each other. Tokens travel as decimal strings: messages are JSON. */

/** From the demo to a worker. */
export type ToWorker =
  | { readonly kind: 'go'; readonly endpoint: string; readonly name: string }
  /** The ledger's answer to the write with that number. */
  | { readonly kind: 'answer'; readonly number: number; readonly accepted: boolean }
  /** No further job; the one under way is finished. */
  | { readonly kind: 'rest' }
  /** Leave. */
  | { readonly kind: 'finish' }

/** From a worker to the demo. */
export type FromWorker =
  | { readonly kind: 'ready' }
  /** No job is under way, and none follows. */
  | { readonly kind: 'rests' }
  | { readonly kind: 'write'; readonly number: number; readonly entry: Entry }
  /** What became of a job: of its line in the ledger, and of its guarded transaction in etcd. */
  | {
      readonly kind: 'job'
      readonly token: string
      readonly ledger: 'accepted' | 'refused'
      readonly etcd: 'applied' | 'refused'
      readonly believed: 'held' | 'lost'
    }

/** One line of the ledger. */
export interface Entry {
  readonly what: 'begin' | 'end'
  readonly token: string
  readonly worker: string
}

export const lockName = '/demo/ledger'
/** Who leads the crew. */
export const electionName = '/demo/foreman'
export const counterKey = '/demo/jobs-done'
