import { roundsOf } from '../checkers/barrier-rounds.ts'
import type { History } from '../checkers/history.ts'
import { openingsOf } from '../checkers/latch.ts'
import type { Account } from './account-of.ts'
import { Tally } from './tally.ts'
import { latchOf } from './work/latching.ts'
import { leadLine } from './work/leading.ts'
import { cyclicBarrierOf } from './work/meeting.ts'
import { doubleBarrierOf } from './work/staying.ts'

/** What was achieved in a round below this prefix. */
export function deedsIn(prefix: string, history: History, account: Account): Tally {
  const tally = new Tally()
  const { log, acquisitions } = history
  const terms = leadLine(prefix)
  for (const { outcome, line } of acquisitions)
    if (outcome === 'ok') tally.add(line === terms ? 'terms led' : 'locks granted')
  tally.add('transactions done', account.transactions.filter(({ outcome }) => outcome === 'ok').length)
  tally.add('numbers counted', account.counted.filter(({ outcome }) => outcome === 'ok').length)
  const passed = (name: string) => roundsOf(log, name).filter(({ how }) => how === 'passed').length
  tally.add('rounds of the cyclic barrier', passed(cyclicBarrierOf(prefix)))
  tally.add('rounds of the double barrier', passed(doubleBarrierOf(prefix)))
  tally.add('openings of the latch', openingsOf(log, latchOf(prefix)).open.length)
  return tally
}
