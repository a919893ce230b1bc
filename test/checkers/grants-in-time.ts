import type { Acquisition, History, Violation } from './history.ts'
import { oneAtATime, readersAndWriters } from './line-rule.ts'
import type { LineTruth, PlaceLife, ServerTruth } from './server-truth.ts'
import { grantsByLine } from './tokens.ts'
import { checkTurns, type Promptness } from './turns.ts'

/**
 * Whoever waits is granted its place as soon as the last of those before it is gone, and not only when it looks
 * again for fear that it was not told: a lost wake-up that is made good some seconds later breaks no other promise.
 */
export function checkGrantsInTime(history: History, promptness: Promptness, truth: ServerTruth): Violation[] {
  const turns = together(history, truth).map(granted => {
    const { id, process, line, token, settledAt } = granted[0]!
    const turnAt = Math.max(...granted.map(one => turnOf(one, truth)))
    return { id, process, turnAt, toldAt: settledAt, what: `granted ${line} with token ${token}` }
  })
  return checkTurns(turns, history.stalls, promptness)
}

/** Those that were granted as one, by what they have in common. */
function together(history: History, truth: ServerTruth): readonly Acquisition[][] {
  const sets = new Map<string, Acquisition[]>()
  for (const [line, granted] of grantsByLine(history)) {
    const { rule } = truth.line(line)!
    const isInOrder = rule === oneAtATime || rule === readersAndWriters
    // After a loss somebody may be made to wait although nobody is there.
    const isDelayed = truth.past(`${line.slice(0, -1)}.delay`) !== undefined
    for (const one of granted) {
      const name = `${one.process} ${one.token}`
      const set = sets.get(name) ?? []
      sets.set(name, set)
      if (isInOrder && !isDelayed && one.resumes === undefined) set.push(one)
    }
  }
  return [...sets.values()].filter(set => set.length > 0)
}

/** When its place was there and nobody was left before it that it has to wait for. */
function turnOf(acquisition: Acquisition, truth: ServerTruth): number {
  const life = truth.lifeOf(acquisition)
  if (life === undefined) return Number.NEGATIVE_INFINITY
  const last = lastBefore(life, truth.line(acquisition.line)!)
  return truth.at(Math.max(life.created, last))
}

function lastBefore(life: PlaceLife, { lives, rule }: LineTruth): number {
  let last = -1
  for (const earlier of lives) {
    if (earlier.created >= life.created) break
    if (earlier.gone > last && rule.waitsFor(life.place, earlier.place)) last = earlier.gone
  }
  return last
}
