import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError, type Term } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import { placeNames } from '../places.ts'
import { Belief } from './belief.ts'
import { guardedWrite } from './guarded-write.ts'
import { EnoughWaited, Patience } from './patience.ts'
import { complain, type Post } from './post.ts'

const TTL = 5

/** The line of those who lead in a round. */
export function leadLine(prefix: string): string {
  return `${prefix}lead/a/`
}

/** Leads whenever it can, for some seconds, well or not, and makes room for others. */
export async function leadForAWhile(post: Post): Promise<void> {
  const { etcd, place, round, chance, journal, resting } = post
  const line = leadLine(round.prefix)
  using patience = new Patience(chance.between(1000, 12_000), resting)
  /** From when it stands for election until it leads. */
  let standing: string | undefined
  let running = 0
  let isWell = true
  try {
    await etcd.lead(
      line.slice(0, -1),
      async term => {
        running += 1
        if (running > 1) complain(post, 'two terms of one process at once')
        const id = standing
        standing = undefined
        isWell = !chance.happens(0.1)
        try {
          if (id === undefined) complain(post, 'it leads and did not stand for it')
          else await reign(term, id, post)
        } finally {
          running -= 1
        }
      },
      {
        signal: patience.signal,
        ttl: TTL,
        owner: place,
        priority: chance.between(0, 2),
        preempt: chance.of(['gracefully', 'never'] as const),
        stabilizationMs: 500,
        gracePeriodMs: chance.of([0, 50, 1000]),
        backoff: { initialMs: 50, maxMs: 1000 },
        healthy: () => {
          const was = isWell
          isWell = true
          return was
        },
        healthyEveryMs: 400,
        onState: ({ kind }) => {
          if (kind === 'campaigning')
            standing ??= journal.begin('acquisitions', { line, invokedAt: sharedNowMs() })
        },
      },
    )
    if (running > 0) complain(post, 'lead() resolved before its function had settled')
  } finally {
    // Whether a place was its own for a while, nobody said.
    if (standing !== undefined)
      journal.more('acquisitions', standing, { settledAt: sharedNowMs(), outcome: 'unknown' })
  }
}

/** One term: works for a while, or until it is told to stop, and then still takes its time. */
async function reign(term: Term, acquisition: string, post: Post): Promise<void> {
  const { chance, journal } = post
  journal.more('acquisitions', acquisition, {
    settledAt: sharedNowMs(),
    outcome: 'ok',
    key: Buffer.from(term.key).toString('latin1'),
    token: term.fencingToken,
  })
  const belief = new Belief(term, [acquisition], post)
  try {
    for (let part = chance.between(1, 5); part > 0 && belief.holds; part--) {
      const untilMs = sharedNowMs() + chance.between(0, 250)
      while (sharedNowMs() < untilMs && belief.holds) await sleep(5)
      const act = chance.next()
      if (act < 0.3) await guardedWrite(term, acquisition, `${term.name}-guarded`, journal)
      else if (act < 0.5) await term.proclaim(journal.value()).catch(expected)
      else if (act < 0.6) await term.transfer({ owner: chance.of(placeNames) }).catch(expected)
    }
    if (chance.happens(0.05)) throw new EnoughWaited()
  } finally {
    belief.end()
  }
}

/** Under faults a call may fail with an error of the library, and with nothing else. */
function expected(error: unknown): void {
  if (!EtcdError.is(error)) throw error
}
