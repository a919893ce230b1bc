import { type Assumptions, exact } from './assumptions.ts'
import { type Deep, type Kind, rulesOf, tellsBadHistories } from './bad-histories.ts'
import { type Checker, checkHistory } from './check.ts'
import { goodHistory, NOTICE_MS } from './good-history.ts'
import type { History } from './history.ts'
import type { PlaceLife } from './server-truth.ts'
import { renderTimeline } from './timeline.ts'
import { truthOf } from './truth-of.ts'

export type Draft = Deep<History>
export type Grant = Draft['acquisitions'][number] & { key: string; token: bigint }

/** One way in which a history of everything can be made a bad one. */
export interface Corruption extends Kind<History> {
  /** What other checkers may say of the same. */
  readonly also?: readonly string[]
  readonly assumptions?: Partial<Assumptions>
}

/** What checkers may say when places, releases and beliefs no longer fit the log. */
export const grantRules: readonly string[] = [
  'grant-without-place',
  'grant-without-ownership',
  'belief-overlap',
  'belief-before-ownership',
  'belief-beyond-ownership',
  'belief-not-linearizable',
  'token-repeated',
  'token-not-rising',
  'granted-out-of-turn',
  'overtaken',
  'guarded-write-unguarded',
  'release-of-nothing',
  'release-left-place',
  'release-of-superseded',
  'released-twice',
  'foreign-delete',
]

/** Tries one of the checkers that are asked of every history; whatever the others tell must come of the same. */
export function tellsCorruptions(name: string, check: Checker, corruptions: readonly Corruption[]): void {
  tellsBadHistories<History, Corruption>({
    name,
    good: seed => goodHistory(seed, { trouble: 0.35 }),
    check: (history, kind) => check(history, assumptionsOf(kind)),
    kinds: corruptions,
    besides: (t, bad, kind, seed) => {
      const allowed = [...kind.rules, ...(kind.also ?? [])]
      const others = rulesOf(checkHistory(bad, assumptionsOf(kind))).filter(rule => !allowed.includes(rule))
      t.deepEqual(others, [], `seed ${seed}`)
    },
    show: (bad, [around]) => renderTimeline(bad, around === undefined ? {} : { around }),
  })
}

function assumptionsOf(kind: Corruption | undefined): Assumptions {
  return { ...exact, noticeMs: NOTICE_MS, ...kind?.assumptions }
}

export function grantsOf(draft: Draft): Grant[] {
  return draft.acquisitions.filter((each): each is Grant => each.outcome === 'ok')
}

export function lifeOf(draft: Draft, grant: Grant): PlaceLife {
  return truthOf(draft, exact).lifeOf(grant)!
}

export function goneAt(draft: Draft, grant: Grant): number {
  return draft.log[lifeOf(draft, grant).gone]?.at ?? Infinity
}

/** Grants of one line, in the order of their tokens. */
export function lineOf(draft: Draft, line: string): Grant[] {
  return grantsOf(draft)
    .filter(grant => grant.line === line)
    .sort((one, other) => Number(one.token - other.token))
}

/** Grants that were released while held, with their release, and with the one that was granted next. */
export function released(draft: Draft): {
  grant: Grant
  release: Draft['releases'][number]
  next: Grant | undefined
}[] {
  return grantsOf(draft).flatMap(grant => {
    const release = draft.releases.find(
      ({ acquisition, wasHeld }) => acquisition === grant.id && wasHeld === true,
    )
    if (release === undefined) return []
    const line = lineOf(draft, grant.line)
    return [{ grant, release, next: line[line.indexOf(grant) + 1] }]
  })
}

/** Takes a change out of the log. What watchers and readers were told would tell of it: they are left out. */
export function dropDelete(draft: Draft, grant: Grant): boolean {
  const commit = draft.log[lifeOf(draft, grant).gone]
  if (commit === undefined) return false
  quiet(draft)
  commit.changes = commit.changes.filter(({ key }) => key !== grant.key)
  return true
}

/** Moves the deletion of a place to another commit, of the first one that fits. */
export function moveDelete(draft: Draft, grant: Grant, fits: (at: number) => boolean): boolean {
  const life = lifeOf(draft, grant)
  const again = draft.log.findIndex(
    ({ changes }, index) => index > life.created && changes.some(({ key }) => key === grant.key),
  )
  const end = draft.log.findIndex(
    ({ changes }, index) => index > life.gone && changes.some(({ key }) => key === grant.key),
  )
  const target = draft.log.findIndex(
    ({ at }, index) => index > life.created && index !== life.gone && (end === -1 || index < end) && fits(at),
  )
  if (target === -1 || (again !== life.gone && again < target)) return false
  if (!dropDelete(draft, grant)) return false
  draft.log[target]!.changes.push({ kind: 'delete', key: grant.key })
  return true
}

export function quiet(draft: Draft): void {
  draft.watches = []
  draft.reads = []
}
