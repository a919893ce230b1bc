import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Assumptions } from '../checkers/assumptions.ts'
import { checkBank } from '../checkers/bank.ts'
import { checkHistory } from '../checkers/check.ts'
import { checkCounting } from '../checkers/counting.ts'
import { checkCyclicBarrier } from '../checkers/cyclic-barrier.ts'
import { checkDoubleBarrier } from '../checkers/double-barrier.ts'
import type { History, Violation } from '../checkers/history.ts'
import { checkLatch } from '../checkers/latch.ts'
import { writeNdjson } from '../checkers/ndjson.ts'
import { checkSessions } from '../checkers/sessions.ts'
import { renderTimeline } from '../checkers/timeline.ts'
import { checkTransactions } from '../checkers/transactions.ts'
import type { Account } from './account-of.ts'
import { livesOf } from './session-marks.ts'
import { type CountingKind, countedIn, countingKinds } from './work/counting.ts'
import { latchOf } from './work/latching.ts'
import { ruleOfLine } from './work/lines.ts'
import { cyclicBarrierOf, PARTIES } from './work/meeting.ts'
import { doubleBarrierOf } from './work/staying.ts'
import { bankOf } from './work/transacting.ts'

/** What may be blamed on a machine where servers, networks and processes stop for seconds. */
export const underFaults: Assumptions = {
  // Whose network is a black hole is told at its own deadline only, which is a TTL away at most.
  noticeMs: 12_000,
  clockSlackMs: 50,
  // A member may apply, answer, and be stopped before a watch tells the recorder: then it comes when it goes on.
  recorderLagMs: 6000,
  hostile: false,
}

/**
 * Whoever is always at work leaves no silence in the log but that of an outage: so late may what ended it have been
 * recorded. A round with a long one is judged as much more leniently, and no other.
 */
export function judge(
  prefix: string,
  history: History,
  account: Account,
  deaths: ReadonlyMap<string, number>,
): Violation[] {
  const { log } = history
  const recorderLagMs = underFaults.recorderLagMs + longestSilence(log)
  const assumptions = { ...underFaults, recorderLagMs, ruleOf: ruleOfLine }
  const { meetings, stays, latchWaits } = account
  const parties = PARTIES
  const cyclic = { name: cyclicBarrierOf(prefix), parties, waits: meetings, indexesAreKnown: false }
  return [
    ...checkHistory(history, assumptions),
    ...checkSessions(livesOf(prefix, account.sessions, history, deaths), history.stalls, {
      ...assumptions,
      toldWithinMs: assumptions.noticeMs,
    }),
    ...checkTransactions(history, account.transactions, assumptions),
    ...checkBank(log, bankOf(prefix)),
    ...countingKinds.flatMap(kind => counting(log, countedIn(prefix, kind), kind, account)),
    ...checkCyclicBarrier(log, { ...cyclic, recorderLagMs }),
    ...checkDoubleBarrier(log, { name: doubleBarrierOf(prefix), parties, stays, recorderLagMs }),
    ...checkLatch(log, { name: latchOf(prefix), waits: latchWaits, recorderLagMs }),
    ...account.doubts,
    ...account.complaints.map(message => ({ rule: 'seen-at-work', message, involved: [] })),
  ]
}

/** A sequence counts the writes of its key, a counter writes the number into it. */
function counting(log: History['log'], key: string, kind: CountingKind, { counted }: Account): Violation[] {
  const puts = log.flatMap(({ changes }) =>
    changes.filter(change => change.kind === 'put').filter(change => change.key === key),
  )
  const last = puts.at(-1)
  const number = kind === 'sequence' ? last?.version : BigInt(last?.value ?? 0)
  return checkCounting(
    key,
    number ?? 0n,
    counted.filter(one => one.key === key),
  )
}

function longestSilence(log: History['log']): number {
  let longest = 0
  for (const [index, { at }] of log.entries()) {
    const before = log[index - 1]
    if (before !== undefined) longest = Math.max(longest, at - before.at)
  }
  return longest
}

/** Writes down all it takes to look into a broken promise. */
export async function keepHistory(
  folder: string,
  history: History,
  violations: readonly Violation[],
  troubles: readonly string[],
): Promise<void> {
  const told = [...violations.map(({ rule, message }) => `${rule}: ${message}`), ...troubles]
  await writeFile(path.join(folder, 'broken.txt'), `${told.join('\n')}\n`)
  await writeFile(path.join(folder, 'history.ndjson.txt'), writeNdjson(history))
  const [around] = violations
  if (around !== undefined)
    await writeFile(path.join(folder, 'timeline.txt'), renderTimeline(history, { around }))
}
