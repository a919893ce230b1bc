import { type Assumptions, exact } from './assumptions.ts'
import type { Acquisition, GuardedWrite, History, Violation } from './history.ts'
import { Occurrences } from './occurrences.ts'
import { ownedBefore, type ServerTruth } from './server-truth.ts'
import { truthOf } from './truth-of.ts'

/**
 * What is written under a lock is written only while it is owned, whatever anybody believes: an `ok` write once,
 * at its revision, with its place an owner in the state that revision found; a `failed` one never; an `unknown`
 * one at most once, and then as an `ok` one.
 */
export function checkGuardedWrites(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  if (history.guardedWrites.length === 0) return []
  const violations: Violation[] = []
  const occurrences = new Occurrences(truth)
  const acquisitions = new Map(history.acquisitions.map(acquisition => [acquisition.id, acquisition]))
  const values = new Map<string, GuardedWrite>()
  for (const write of history.guardedWrites) {
    const { id, value, acquisition } = write
    const same = values.get(value)
    if (same !== undefined) {
      violations.push({
        rule: 'guarded-value-not-unique',
        message: `${same.id} and ${id} both write ${value}: nobody can tell them apart.`,
        involved: [same.id, id],
      })
      continue
    }
    values.set(value, write)
    const indexes = occurrences.of(write.key, value)
    violations.push(...miscounted(write, indexes, truth))
    for (const index of indexes) {
      const violation = unguarded(write, acquisitions.get(acquisition), index, truth)
      if (violation !== undefined) violations.push(violation)
    }
  }
  return violations
}

function miscounted(write: GuardedWrite, indexes: readonly number[], truth: ServerTruth): Violation[] {
  const { id, process, key, value, outcome, revision } = write
  const where = indexes.map(index => `revision ${truth.revision(index)}`)
  const involved = [id, ...where]
  const subject = `The guarded write of ${value} to ${key} by ${process}`
  if (indexes.length > 1) {
    return [
      {
        rule: 'guarded-write-twice',
        message: `${subject} is in the log at ${where.join(' and ')}.`,
        involved,
      },
    ]
  }
  switch (outcome) {
    case 'ok':
      if (indexes.length === 0) {
        return [
          {
            rule: 'guarded-write-lost',
            message: `${subject} was said to be done, but is not in the log.`,
            involved,
          },
        ]
      }
      if (revision === undefined || truth.indexOf(revision) === indexes[0]) return []
      return [
        {
          rule: 'guarded-write-misplaced',
          message: `${subject} was said to be at revision ${revision}, but is at ${where[0]}.`,
          involved,
        },
      ]
    case 'failed':
      if (indexes.length === 0) return []
      return [
        {
          rule: 'guarded-write-phantom',
          message: `${subject} was said not to be done, but is at ${where[0]}.`,
          involved,
        },
      ]
    case 'unknown':
      return []
  }
}

function unguarded(
  { id, process, key, value }: GuardedWrite,
  acquisition: Acquisition | undefined,
  index: number,
  truth: ServerTruth,
): Violation | undefined {
  const life = acquisition && truth.lifeOf(acquisition)
  if (life !== undefined && ownedBefore(life, index)) return undefined
  const revision = `revision ${truth.revision(index)}`
  return {
    rule: 'guarded-write-unguarded',
    message: `${process} wrote ${value} to ${key} at ${revision}, when ${
      acquisition === undefined
        ? 'nobody had been granted anything for it'
        : `the place with token ${acquisition.token} did not own ${acquisition.line}`
    }.`,
    involved: acquisition === undefined ? [id, revision] : [id, acquisition.id, revision],
  }
}
