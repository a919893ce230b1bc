import { count } from './counting.ts'
import { countDown, waitAtLatch } from './latching.ts'
import { leadForAWhile } from './leading.ts'
import { lockForAWhile } from './locking.ts'
import { meet } from './meeting.ts'
import type { Post } from './post.ts'
import { readSomething, writeSomething } from './reading-and-writing.ts'
import { stayAmongOthers } from './staying.ts'
import { transact } from './transacting.ts'

export interface Work {
  once(post: Post): Promise<void>
  /** How many of a process do it at once. */
  readonly hands: number
  /** How long each rests in between, in milliseconds. */
  readonly restMs: readonly [number, number]
}

/** All that a process does, over and over. */
export const everything: readonly Work[] = [
  { once: lockForAWhile, hands: 2, restMs: [20, 150] },
  { once: writeSomething, hands: 1, restMs: [30, 120] },
  { once: readSomething, hands: 1, restMs: [30, 120] },
  { once: transact, hands: 2, restMs: [20, 200] },
  { once: count, hands: 2, restMs: [10, 100] },
  { once: leadForAWhile, hands: 1, restMs: [50, 500] },
  { once: meet, hands: 1, restMs: [50, 400] },
  { once: stayAmongOthers, hands: 1, restMs: [50, 400] },
  { once: countDown, hands: 1, restMs: [100, 500] },
  { once: waitAtLatch, hands: 1, restMs: [100, 500] },
]
