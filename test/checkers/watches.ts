import { type Assumptions, exact } from './assumptions.ts'
import type { Change, Found, History, Told, Violation, Watched } from './history.ts'
import type { KeySpan } from './key-span.ts'
import type { ServerTruth } from './server-truth.ts'
import { stateAt } from './state-at.ts'
import { truthOf } from './truth-of.ts'

/**
 * A watcher is told the log, cut to its range: from the first revision it asked for to the last it says it was
 * told, every revision whole, once and in order. Where the past was gone it is told everything there is at one
 * revision, exactly, and goes on from there.
 */
export function checkWatches(
  history: History,
  assumptions: Assumptions = exact,
  truth: ServerTruth = truthOf(history, assumptions),
): Violation[] {
  if (history.watches.length === 0) return []
  const violations: Violation[] = []
  const owed = new Map<string, Owed>()
  for (const watched of history.watches) {
    const span = `${watched.from}\0${watched.to ?? ''}\0${watched.to === undefined}`
    let log = owed.get(span)
    if (log === undefined) {
      log = owedFor(watched, truth)
      owed.set(span, log)
    }
    violations.push(...new Watcher(watched, log, assumptions, truth).check())
  }
  return violations
}

/** The log, cut to a range. */
interface Owed {
  readonly indexes: readonly number[]
  readonly changes: readonly (readonly Change[])[]
}

function owedFor(span: KeySpan, truth: ServerTruth): Owed {
  const all: { readonly index: number; readonly change: Change }[] = []
  for (const { indexes, changes } of truth.pasts(span)) {
    for (let each = 0; each < indexes.length; each += 1) {
      all.push({ index: indexes[each]!, change: changes[each]! })
    }
  }
  all.sort((one, other) => one.index - other.index)
  const indexes: number[] = []
  const changes: Change[][] = []
  for (const { index, change } of all) {
    if (indexes.at(-1) === index) changes.at(-1)!.push(change)
    else {
      indexes.push(index)
      changes.push([change])
    }
  }
  return { indexes, changes }
}

class Watcher {
  readonly #watched: Watched
  readonly #owed: Owed
  readonly #assumptions: Assumptions
  readonly #truth: ServerTruth
  readonly #violations: Violation[] = []
  /** Made only when something is wrong. */
  #firstTold: ReadonlyMap<bigint, number> | undefined

  constructor(watched: Watched, owed: Owed, assumptions: Assumptions, truth: ServerTruth) {
    this.#watched = watched
    this.#owed = owed
    this.#assumptions = assumptions
    this.#truth = truth
  }

  check(): Violation[] {
    const { since, toldUntil, told } = this.#watched
    const { indexes, changes } = this.#owed
    const begin = this.#truth.indexOf(since)
    let next = firstFrom(indexes, begin)
    let last = begin - 1
    const lastTold = this.#truth.indexOf(toldUntil)
    for (const [position, entry] of told.entries()) {
      const index = this.#truth.indexOf(entry.revision)
      if (entry.kind === 'reset') {
        if (index < last) this.#report('watch-disorder', entry.revision, 'starts over from the past')
        else {
          this.#checkReset(entry.revision, index, entry.found)
          last = index
          next = firstFrom(indexes, index + 1)
        }
        continue
      }
      if (entry.changes.length === 0) continue
      if (index <= last) {
        if (this.#isTold(entry.revision, position)) {
          this.#report('watch-duplicate', entry.revision, 'was told before')
        } else this.#report('watch-disorder', entry.revision, 'is told too late, or was not asked for')
        continue
      }
      if (index > lastTold) {
        this.#report('watch-beyond-told', entry.revision, `is after ${toldUntil}, where it says it ended`)
        continue
      }
      last = index
      for (; next < indexes.length && indexes[next]! < index; next += 1) {
        this.#missing(indexes[next]!)
      }
      if (indexes[next] !== index) {
        this.#report('watch-invented', entry.revision, 'changed nothing in the range')
        continue
      }
      this.#compare(entry.revision, entry.changes, changes[next]!)
      next += 1
    }
    for (; next < indexes.length && indexes[next]! <= lastTold; next += 1) {
      this.#missing(indexes[next]!)
    }
    if (lastTold >= this.#truth.log.length) {
      this.#report('watch-beyond-log', toldUntil, 'was not committed, but is said to have been told')
    }
    return this.#violations
  }

  #checkReset(revision: bigint, index: number, found: readonly Found[]): void {
    if (index >= this.#truth.log.length) return
    if (!isSameState(found, stateAt(this.#truth, this.#watched, index))) {
      this.#report('watch-reset-wrong', revision, 'is told as a state the store never had then')
    }
  }

  #compare(revision: bigint, told: readonly Change[], owed: readonly Change[]): void {
    let each = 0
    while (each < told.length && each < owed.length && isSameChange(told[each]!, owed[each]!)) each += 1
    if (each === owed.length && each === told.length) return
    // All of one revision happens at once: its order means nothing.
    const unmatched = [...owed]
    for (const change of told) {
      const match = unmatched.findIndex(other => isSameChange(change, other))
      if (match === -1) {
        return this.#report(
          'watch-wrong',
          revision,
          `is told with ${change.kind} ${change.key}, which it was not`,
        )
      }
      unmatched.splice(match, 1)
    }
    if (unmatched.length === 0) return
    this.#report('watch-torn', revision, `is told without ${unmatched[0]!.kind} ${unmatched[0]!.key}`)
  }

  /** Are changes of this revision among what was told before a position? */
  #isTold(revision: bigint, before: number): boolean {
    this.#firstTold ??= firstPositions(this.#watched.told)
    const position = this.#firstTold.get(revision)
    return position !== undefined && position < before
  }

  #missing(index: number): void {
    const revision = this.#truth.revision(index)
    // What is told elsewhere is out of order, not left out.
    if (this.#assumptions.lostEvents === true || this.#isTold(revision, Infinity)) return
    this.#report('watch-gap', revision, 'is not told')
  }

  #report(rule: string, revision: bigint, what: string): void {
    const { id, process } = this.#watched
    this.#violations.push({
      rule,
      message: `To the watcher ${id} of ${process}, revision ${revision} ${what}.`,
      involved: [id, `revision ${revision}`],
    })
  }
}

function firstPositions(told: readonly Told[]): ReadonlyMap<bigint, number> {
  const positions = new Map<bigint, number>()
  told.forEach((entry, position) => {
    if (entry.kind === 'changes' && !positions.has(entry.revision)) positions.set(entry.revision, position)
  })
  return positions
}

function firstFrom(indexes: readonly number[], index: number): number {
  let low = 0
  let high = indexes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (indexes[middle]! < index) low = middle + 1
    else high = middle
  }
  return low
}

function isSameChange(one: Change, other: Change): boolean {
  if (one === other) return true
  if (one.kind === 'delete' || other.kind === 'delete')
    return one.kind === other.kind && one.key === other.key
  return (
    one.key === other.key &&
    one.value === other.value &&
    one.createRevision === other.createRevision &&
    one.version === other.version &&
    one.lease === other.lease
  )
}

/** The same keys, whatever their order. */
export function isSameState(found: readonly Found[], state: readonly Found[]): boolean {
  if (found.length !== state.length) return false
  return inOrder(found).every((one, each) => isSameFound(one, state[each]!))
}

function inOrder(found: readonly Found[]): readonly Found[] {
  for (let each = 1; each < found.length; each += 1) {
    if (found[each - 1]!.key > found[each]!.key) {
      return found.toSorted((one, other) => (one.key < other.key ? -1 : 1))
    }
  }
  return found
}

function isSameFound(one: Found, other: Found): boolean {
  return (
    one.key === other.key &&
    one.value === other.value &&
    one.createRevision === other.createRevision &&
    one.modRevision === other.modRevision &&
    one.version === other.version
  )
}
