import { EtcdError } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { Patience } from './patience.ts'
import type { Post } from './post.ts'
import { codeOf, outcomeOf } from './what-went-wrong.ts'

const PATIENCE_MS = 30_000

/** A counter, one that counts each exactly once whatever happens to answers, and a sequence. */
export const countingKinds = ['counter', 'once', 'sequence'] as const

export type CountingKind = (typeof countingKinds)[number]

/** Counts one further, and writes down the number that was told. */
export async function count({ etcd, round, chance, journal }: Post): Promise<void> {
  // Seldom is an answer lost to what was done: so there is much of what has to be found out then.
  const kind = chance.happens(0.5) ? 'once' : chance.of(countingKinds)
  const key = countedIn(round.prefix, kind)
  using patience = new Patience(kind !== 'once' && chance.happens(0.1) ? chance.between(0, 100) : PATIENCE_MS)
  const { signal } = patience
  const id = journal.begin('counted', { key, invokedAt: sharedNowMs() })
  try {
    const number =
      kind === 'sequence'
        ? await etcd.sequence(key).next({ signal })
        : await etcd.counter(key).add(1, { exactlyOnce: kind === 'once', signal })
    journal.more('counted', id, { settledAt: sharedNowMs(), outcome: 'ok', number })
  } catch (error) {
    const told = { settledAt: sharedNowMs(), outcome: outcomeOf(error), error: codeOf(error) }
    // Nobody gave up: it was to be found out.
    const isInDoubt = kind === 'once' && EtcdError.is(error) && error.outcome === 'unknown'
    journal.more('counted', id, { ...told, isInDoubt })
  }
}

export function countedIn(prefix: string, kind: CountingKind): string {
  return `${prefix}count/${kind}`
}
