import type { Etcd, Session } from '../../../src/index.ts'
import type { Chance } from '../chance.ts'
import type { Journal } from '../journal.ts'
import type { Round } from '../messages.ts'
import type { StallWatch } from './stall-watch.ts'

/** What somebody at work has at hand. */
export interface Post {
  /** Where the process works; whoever takes its place has the same. */
  readonly place: string
  readonly etcd: Etcd
  readonly round: Round
  readonly chance: Chance
  readonly journal: Journal
  readonly stalls: StallWatch
  /** Aborts when everybody is to finish what is under way. */
  readonly resting: AbortSignal
  /** The one all tasks of this process share; a new one once it is lost. */
  session(): Promise<Session>
}

/** Writes down what a promise of the library rules out. */
export function complain({ journal }: Post, what: string): void {
  journal.begin('complaints', { what })
}
