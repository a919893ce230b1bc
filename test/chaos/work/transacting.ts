import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError } from '../../../src/index.ts'
import { Bank, balance, Poor } from '../../support/bank.ts'
import { ObservedRun, observed } from '../../support/observed-run.ts'
import { sharedNowMs } from '../clock.ts'
import type { Fields } from '../journal.ts'
import { EnoughWaited, Patience } from './patience.ts'
import { complain, type Post } from './post.ts'
import { codeOf, outcomeOf } from './what-went-wrong.ts'

type Body = (run: ObservedRun, unique: string) => Promise<unknown>

const PATIENCE_MS = 30_000

/** Everybody wants the first two. */
const HOT = ['a', 'b']
const COLD = ['c', 'd', 'e', 'f', 'g', 'h']

/** The bank of a round. */
export function bankOf(prefix: string): Bank {
  return new Bank(`${prefix}bank/`, [...HOT, ...COLD])
}

/** Moves money, looks at all of it, or waits until somebody has enough, in one transaction. */
export async function transact(post: Post): Promise<void> {
  const { etcd, chance, journal, resting } = post
  const body = someBody(bankOf(post.round.prefix), post)
  using patience = new Patience(chance.happens(0.2) ? chance.between(0, 300) : PATIENCE_MS, resting)
  const exactlyOnce = chance.happens(0.5)
  const isolation = chance.of(['serializable-snapshot', 'serializable'] as const)
  const id = journal.begin('transactions', { exactlyOnce, invokedAt: sharedNowMs() })
  const runs: ObservedRun[] = []
  let running = 0
  const once = async (run: ObservedRun) => {
    running += 1
    if (running > 1) complain(post, 'the function of a transaction ran twice at once')
    try {
      await body(run, journal.value())
    } finally {
      running -= 1
      // Before anything is sent: whoever is killed has told of all it may have done.
      journal.more('transactions', id, toldOf(runs))
    }
  }
  try {
    const { revision } = await etcd.stm(
      tx => {
        const run = new ObservedRun(tx)
        runs.push(run)
        return once(run)
      },
      { signal: patience.signal, exactlyOnce, isolation },
    )
    journal.more('transactions', id, { settledAt: sharedNowMs(), outcome: 'ok', revision })
  } catch (error) {
    const outcome = error instanceof Poor ? 'failed' : outcomeOf(error)
    journal.more('transactions', id, { settledAt: sharedNowMs(), outcome, error: codeOf(error) })
    if (!EtcdError.is(error) && !(error instanceof EnoughWaited) && !(error instanceof Poor))
      complain(post, `a transaction rejected with ${error}`)
  }
}

function someBody(bank: Bank, post: Post): Body {
  const { chance } = post
  const kind = chance.next()
  if (kind < 0.7) return transfer(bank, post)
  if (kind < 0.9) return look(bank, post)
  const account = chance.of(bank.accounts)
  const least = chance.between(50, 120)
  return async run => run.check(balance(await run.get(account)) >= least)
}

function transfer(bank: Bank, { chance }: Post): Body {
  const [hot, cold] = [bank.accounts.slice(0, HOT.length), bank.accounts.slice(HOT.length)]
  const from = chance.of(chance.happens(0.6) ? hot : cold)
  const to = chance.of((chance.happens(0.6) ? hot : cold).filter(account => account !== from))
  const amount = chance.between(1, 30)
  const idleMs = chance.happens(0.3) ? chance.between(0, 30) : 0
  const meanwhile = idleMs > 0 ? () => sleep(idleMs) : undefined
  return (run, unique) => bank.transfer(run, { from, to, amount, meanwhile }, unique)
}

function look(bank: Bank, post: Post): Body {
  return async run => {
    const sum = await bank.sum(run)
    if (sum !== bank.total) complain(post, `${sum} in the bank, not ${bank.total}`)
  }
}

/** Maps are no JSON. */
function toldOf(runs: readonly ObservedRun[]): Fields {
  const { seen, wrote, discarded } = observed(runs)
  return {
    seen: seen.map(({ span, values }) => ({ span, values: [...values] })),
    wrote: [...wrote],
    discarded,
  }
}
