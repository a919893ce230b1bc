import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { EnoughWaited, Patience } from './patience.ts'
import { complain, type Post } from './post.ts'
import { codeOf } from './what-went-wrong.ts'

/** One less than there are processes: rounds go on while one of them is stopped. */
export const PARTIES = 3

export function cyclicBarrierOf(prefix: string): string {
  return `${prefix}cyclic/a`
}

/**
 * Meets the others at a cyclic barrier, and resets it when it is broken. Whoever waits when all are to rest is not
 * called off but sent away by a reset: one who does not hear of that waits for ever, and is found.
 */
export async function meet(post: Post): Promise<void> {
  const { round, chance, journal, resting } = post
  const session = await post.session()
  const slow = chance.happens(0.3) ? { action: () => sleep(30) } : {}
  const barrier = session.cyclicBarrier(cyclicBarrierOf(round.prefix), PARTIES, slow)
  using patience = chance.happens(0.1) ? new Patience(chance.between(0, 500)) : undefined
  if (resting.aborted) return
  let isOver = false
  const sendAway = async () => {
    while (!isOver) {
      await barrier.reset().catch(() => {})
      await sleep(200)
    }
  }
  resting.addEventListener('abort', sendAway, { once: true })
  const id = journal.begin('meetings', { startedAt: sharedNowMs() })
  try {
    const passed = await barrier.await({ signal: patience?.signal })
    journal.more('meetings', id, { endedAt: sharedNowMs(), passed })
    return
  } catch (error) {
    const broken = EtcdError.is(error, 'BARRIER_BROKEN')
    journal.more('meetings', id, { endedAt: sharedNowMs(), broken, error: codeOf(error) })
    if (!EtcdError.is(error) && !(error instanceof EnoughWaited)) complain(post, `a wait ended with ${error}`)
  } finally {
    isOver = true
    resting.removeEventListener('abort', sendAway)
  }
  await sleep(chance.between(0, 200))
  if ((await barrier.status()).broken) await barrier.reset()
}
