import { EtcdError } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { EnoughWaited, Patience } from './patience.ts'
import { complain, type Post } from './post.ts'
import { codeOf } from './what-went-wrong.ts'

const PATIENCE_MS = 20_000

export function latchOf(prefix: string): string {
  return `${prefix}latch/a`
}

/** Counts a latch down, under a name of its own or not, and now and then sets it anew. */
export async function countDown({ etcd, place, round, chance }: Post): Promise<void> {
  const latch = etcd.latch(latchOf(round.prefix))
  using patience = new Patience(chance.happens(0.1) ? chance.between(0, 50) : PATIENCE_MS)
  const { signal } = patience
  try {
    if (chance.happens(0.3)) await latch.trySetCount(chance.between(1, 5), { signal })
    await latch.countDown(chance.happens(0.5) ? place : undefined, { signal })
  } catch (error) {
    if (!(error instanceof EnoughWaited)) throw error
  }
}

/** Waits until it is open. */
export async function waitAtLatch(post: Post): Promise<void> {
  const { etcd, round, chance, journal, resting } = post
  const latch = etcd.latch(latchOf(round.prefix))
  using patience = new Patience(chance.happens(0.1) ? chance.between(0, 500) : PATIENCE_MS, resting)
  const id = journal.begin('latchWaits', { startedAt: sharedNowMs() })
  try {
    await latch.wait({ signal: patience.signal })
    journal.more('latchWaits', id, { endedAt: sharedNowMs() })
  } catch (error) {
    journal.more('latchWaits', id, { error: codeOf(error) })
    if (!EtcdError.is(error) && !(error instanceof EnoughWaited)) complain(post, `a wait ended with ${error}`)
  }
}
