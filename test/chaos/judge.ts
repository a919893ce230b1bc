import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Assumptions } from '../checkers/assumptions.ts'
import { checkHistory } from '../checkers/check.ts'
import type { History, Violation } from '../checkers/history.ts'
import { writeNdjson } from '../checkers/ndjson.ts'
import { renderTimeline } from '../checkers/timeline.ts'
import { ruleOfLine } from './work/lines.ts'

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
export function judge(history: History): Violation[] {
  const recorderLagMs = underFaults.recorderLagMs + longestSilence(history.log)
  return checkHistory(history, { ...underFaults, recorderLagMs, ruleOf: ruleOfLine })
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
