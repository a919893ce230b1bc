import { type Assumptions, exact } from './assumptions.ts'
import type { GuardedWrite, History, Read, Violation, Write } from './history.ts'
import { Occurrences } from './occurrences.ts'
import { changeAt, type ServerTruth } from './server-truth.ts'
import { stateAt } from './state-at.ts'
import { truthOf } from './truth-of.ts'
import { isSameState } from './watches.ts'

/**
 * Reads and writes are strictly serializable. The store orders them itself, by revision, so nothing has to be
 * searched: a write is in the log once, where its answer said and while its call was under way; a read found
 * what there was at its revision; and nobody is answered from before what had been answered when they asked.
 */
export function checkKeyValue(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  return [
    ...checkWrites(history, assumptions, truth),
    ...checkReads(history, truth),
    ...checkRealTime(history, assumptions),
  ]
}

function checkWrites(history: History, assumptions: Assumptions, truth: ServerTruth): Violation[] {
  if (history.writes.length === 0) return []
  const violations: Violation[] = []
  const occurrences = new Occurrences(truth)
  const values = new Map<string, Write>()
  for (const write of history.writes) {
    const { value } = write
    if (value === undefined) {
      violations.push(...misplacedDelete(write, truth))
      continue
    }
    const same = values.get(value)
    if (same !== undefined) {
      violations.push({
        rule: 'value-not-unique',
        message: `${same.id} and ${write.id} both write ${value}: nobody can tell them apart.`,
        involved: [same.id, write.id],
      })
      continue
    }
    values.set(value, write)
    violations.push(...misplaced(write, occurrences.of(write.key, value), assumptions, truth))
  }
  return violations
}

function misplaced(
  { id, process, key, value, outcome, revision, invokedAt, settledAt }: Write,
  indexes: readonly number[],
  { recorderLagMs }: Assumptions,
  truth: ServerTruth,
): Violation[] {
  const where = indexes.map(index => `revision ${truth.revision(index)}`)
  const report = (rule: string, what: string): Violation[] => [
    {
      rule,
      message: `The write of ${value} to ${key} by ${process} ${what}.`,
      involved: [id, ...where],
    },
  ]
  if (indexes.length > 1) return report('write-twice', `is in the log at ${where.join(' and ')}`)
  const index = indexes[0]
  if (index === undefined) {
    return outcome === 'ok' ? report('write-lost', 'was said to be done, but is not in the log') : []
  }
  if (outcome === 'failed') return report('write-phantom', `was said not to be done, but is at ${where[0]}`)
  const at = truth.at(index)
  if (outcome === 'ok' && revision !== undefined && truth.indexOf(revision) !== index) {
    return report('write-misplaced', `was said to be at revision ${revision}, but is at ${where[0]}`)
  }
  if (at < invokedAt || (outcome === 'ok' && at - recorderLagMs > settledAt)) {
    return report(
      'write-outside-call',
      `was applied at ${at}, but its call went from ${invokedAt} to ${settledAt}`,
    )
  }
  return []
}

function misplacedDelete({ id, process, key, outcome, revision }: Write, truth: ServerTruth): Violation[] {
  if (outcome !== 'ok' || revision === undefined) return []
  const past = truth.past(key)
  const last = past && changeAt(past, truth.indexOf(revision))
  // Deleted there, or nothing was there to delete.
  if (last === undefined || last.change.kind === 'delete') return []
  return [
    {
      rule: 'delete-lost',
      message: `${process} was told that ${key} was deleted at revision ${revision}, but it was there, put at ${truth.revision(last.index)}.`,
      involved: [id, `revision ${revision}`],
    },
  ]
}

function checkReads({ reads }: History, truth: ServerTruth): Violation[] {
  const violations: Violation[] = []
  for (const read of reads) {
    const { id, process, from, outcome, revision, found } = read
    if (outcome !== 'ok' || revision === undefined) continue
    const index = truth.indexOf(revision)
    const beyond = index >= truth.log.length
    if (!beyond && (found === undefined || isSameState(found, stateAt(truth, read, index)))) continue
    violations.push({
      rule: beyond ? 'read-beyond-log' : 'read-wrong',
      message: `${process} read from ${from} ${
        beyond ? 'what was never committed' : 'what was not there'
      } at revision ${revision}: ${told(found)}.`,
      involved: [id, `revision ${revision}`],
    })
  }
  return violations
}

function told(found: Read['found']): string {
  if (found === undefined) return 'it does not say what'
  if (found.length === 0) return 'nothing'
  return found.map(({ key, value, modRevision }) => `${key}=${value} of ${modRevision}`).join(', ')
}

interface Answered {
  readonly call: Write | GuardedWrite | Read
  readonly revision: bigint
  /** `above`: it made a revision of its own. */
  readonly must: 'reach' | 'above'
}

/** Everyone sees what had been answered, to anyone, before they asked. */
function checkRealTime(history: History, assumptions: Assumptions): Violation[] {
  const violations: Violation[] = []
  const answered = answeredCalls(history)
  const settled = answered.toSorted((one, other) => one.call.settledAt - other.call.settledAt)
  answered.sort((one, other) => one.call.invokedAt - other.call.invokedAt)
  let newest: Answered | undefined
  const newestOf = new Map<string, Answered>()
  let ended = 0
  for (const next of answered) {
    const { call, revision, must } = next
    for (; ended < settled.length && settled[ended]!.call.settledAt < call.invokedAt; ended += 1) {
      const end = settled[ended]!
      if (newest === undefined || end.revision > newest.revision) newest = end
      const own = newestOf.get(end.call.process)
      if (own === undefined || end.revision > own.revision) newestOf.set(end.call.process, end)
    }
    if (newest === undefined || isAfter(next, newest)) continue
    const own = newestOf.get(call.process)
    const regressed = own !== undefined && !isAfter(next, own)
    // Whatever servers do, nobody is answered from before what he has been told himself.
    if (assumptions.staleReads === true && must === 'reach' && !regressed) continue
    const earlier = regressed ? own : newest
    violations.push({
      rule: regressed ? 'revision-regressed' : must === 'reach' ? 'stale-read' : 'stale-write',
      message: `${call.process} asked at ${call.invokedAt} and was answered at revision ${revision}, after ${earlier.call.process} had been answered at ${earlier.revision}.`,
      involved: [earlier.call.id, call.id],
    })
  }
  return violations
}

function isAfter({ revision, must }: Answered, earlier: Answered): boolean {
  return must === 'reach' ? revision >= earlier.revision : revision > earlier.revision
}

function answeredCalls({ writes, guardedWrites, reads }: History): Answered[] {
  const answered: Answered[] = []
  const add = (call: Answered['call'], must: Answered['must']) => {
    if (call.outcome === 'ok' && call.revision !== undefined) {
      answered.push({ call, revision: call.revision, must })
    }
  }
  // Deleting what is not there makes no revision.
  for (const write of writes) add(write, write.value === undefined ? 'reach' : 'above')
  for (const write of guardedWrites) add(write, 'above')
  for (const read of reads) add(read, 'reach')
  return answered
}
