import { type Assumptions, exact } from './assumptions.ts'
import type { Acquisition, History, Violation } from './history.ts'
import type { LineTruth, PlaceLife, ServerTruth } from './server-truth.ts'
import { grantsByLine } from './tokens.ts'
import { truthOf } from './truth-of.ts'

/**
 * First come, first served: nobody is granted a place while one created earlier is there that it must wait for,
 * and of two that waited at the same time the earlier is granted first.
 */
export function checkFirstCome(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  const violations: Violation[] = []
  for (const [line, all] of grantsByLine(history)) {
    // What was left with a lease had its turn before.
    const granted = all.filter(({ resumes }) => resumes === undefined)
    const lineTruth = truth.line(line)!
    const lastGone = latestEnds(lineTruth)
    for (const acquisition of granted) {
      const earlier = outOfTurn(acquisition, lineTruth, lastGone, assumptions, truth)
      if (earlier === undefined) continue
      const { id, process, token, settledAt } = acquisition
      violations.push({
        rule: 'granted-out-of-turn',
        message: `${process} was granted ${line} with token ${token} by ${settledAt}, but ${earlier.place.key}, created at ${
          earlier.place.createRevision
        }, was before it until ${truth.at(earlier.gone)}.`,
        involved: [id, `revision ${earlier.place.createRevision}`],
      })
    }
    if (!assumptions.hostile) violations.push(...overtaken(history, granted, lineTruth, assumptions, truth))
  }
  return violations
}

/** For each place of a line, the latest end of those created before it. */
function latestEnds({ lives }: LineTruth): number[] {
  let latest = -1
  return lives.map(({ gone }) => {
    const before = latest
    if (gone > latest) latest = gone
    return before
  })
}

function outOfTurn(
  acquisition: Acquisition,
  { lives, rule }: LineTruth,
  lastGone: readonly number[],
  { recorderLagMs, lostEvents }: Assumptions,
  truth: ServerTruth,
): PlaceLife | undefined {
  const life = truth.lifeOf(acquisition)
  if (life === undefined) return undefined
  // It was gone already, and a server that withholds events need not have told.
  if (lostEvents === true && truth.at(life.gone) <= acquisition.settledAt) return undefined
  const turn = Math.min(truth.lastBy(acquisition.settledAt, recorderLagMs), life.gone - 1)
  const position = positionOf(lives, life)
  if (lastGone[position]! <= turn) return undefined
  for (let before = position - 1; before >= 0; before -= 1) {
    const earlier = lives[before]!
    if (earlier.gone > turn && rule.waitsFor(life.place, earlier.place)) return earlier
  }
  return undefined
}

function positionOf(lives: readonly PlaceLife[], life: PlaceLife): number {
  let low = 0
  let high = lives.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (lives[middle]!.created < life.created) low = middle + 1
    else high = middle
  }
  while (lives[low] !== life) low += 1
  return low
}

/** Granted later, with a smaller token, though both were waiting: unless the late one had been deprived meanwhile. */
function overtaken(
  history: History,
  granted: readonly Acquisition[],
  { rule }: LineTruth,
  { clockSlackMs }: Assumptions,
  truth: ServerTruth,
): Violation[] {
  const violations: Violation[] = []
  const settled = granted.toSorted((one, other) => one.settledAt - other.settledAt)
  let highest = 0n
  for (const [position, late] of settled.entries()) {
    const isBelow = late.token! < highest
    if (late.token! > highest) highest = late.token!
    const life = truth.lifeOf(late)
    // That it was deprived, its process could not know yet; a stopped one could not know anything.
    if (!isBelow || life === undefined || truth.endedBy(life) !== undefined || stood(history, late)) continue
    for (let before = position - 1; before >= 0; before -= 1) {
      const early = settled[before]!
      // What had ended before this one began is a matter of tokens.
      if (early.settledAt < late.invokedAt) break
      const other = truth.lifeOf(early)
      if (early.token! <= late.token! || other === undefined || !rule.waitsFor(other.place, life.place))
        continue
      if (early.settledAt + clockSlackMs >= late.settledAt) continue
      violations.push({
        rule: 'overtaken',
        message: `${early.process} was granted ${late.line} with token ${early.token} at ${early.settledAt}, before ${late.process} with token ${late.token} at ${late.settledAt}.`,
        involved: [early.id, late.id],
      })
      break
    }
  }
  return violations
}

function stood(history: History, { process, invokedAt, settledAt }: Acquisition): boolean {
  return history.stalls.some(
    stall => stall.process === process && stall.from <= settledAt && invokedAt <= stall.until,
  )
}
