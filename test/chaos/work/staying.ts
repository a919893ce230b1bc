import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { PARTIES } from './meeting.ts'
import { EnoughWaited, Patience } from './patience.ts'
import { complain, type Post } from './post.ts'
import { codeOf } from './what-went-wrong.ts'

const PATIENCE_MS = 30_000

export function doubleBarrierOf(prefix: string): string {
  return `${prefix}double/a`
}

/** Enters a double barrier with others, stays for a moment, and leaves it with them. */
export async function stayAmongOthers(post: Post): Promise<void> {
  const { round, chance, journal, resting } = post
  const session = await post.session()
  // All participants must choose the same; so it is another in each round.
  const onLoss = round.since % 2n === 0n ? 'break' : 'wait'
  const barrier = session.doubleBarrier(doubleBarrierOf(round.prefix), PARTIES, { onLoss })
  using entering = new Patience(chance.happens(0.1) ? chance.between(0, 500) : PATIENCE_MS, resting)
  const id = journal.begin('stays', { startedAt: sharedNowMs() })
  try {
    const entry = await barrier.enter({ signal: entering.signal })
    journal.more('stays', id, { entered: { generation: entry.generation, at: sharedNowMs() } })
    await sleep(chance.between(0, 100))
    using leaving = new Patience(PATIENCE_MS)
    await entry.leave({ signal: leaving.signal })
    journal.more('stays', id, { leftAt: sharedNowMs() })
  } catch (error) {
    journal.more('stays', id, { error: codeOf(error) })
    if (!EtcdError.is(error) && !(error instanceof EnoughWaited)) complain(post, `a stay ended with ${error}`)
  }
}
