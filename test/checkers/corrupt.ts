import test from 'ava'
import { type Assumptions, exact } from './assumptions.ts'
import { type Checker, checkHistory } from './check.ts'
import { goodHistory, NOTICE_MS, type Random, seeded } from './good-history.ts'
import type { History, Violation } from './history.ts'
import type { PlaceLife } from './server-truth.ts'
import { renderTimeline } from './timeline.ts'
import { truthOf } from './truth-of.ts'

type Deep<T> = T extends bigint | string | number | boolean | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? Deep<Item>[]
    : { -readonly [Name in keyof T]: Deep<T[Name]> }

export type Draft = Deep<History>
export type Grant = Draft['acquisitions'][number] & { key: string; token: bigint }

/** One way in which a good history can be made a bad one. */
export interface Corruption {
  /** Continues "... is told when": a sentence. */
  readonly title: string
  /** What the checker must say, and nothing else. */
  readonly rules: readonly string[]
  /** What other checkers may say of the same. */
  readonly also?: readonly string[]
  readonly assumptions?: Partial<Assumptions>
  /** `false`: this history has nothing to do it to. */
  corrupt(draft: Draft, random: Random): boolean
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

const EACH = 4
const SEEDS = 200

/** One test for each corruption, tried on several histories; and that there were enough of them. */
export function tellsCorruptions(name: string, check: Checker, corruptions: readonly Corruption[]): void {
  let histories = 0
  for (const corruption of corruptions) {
    test.serial(`${name} tells when ${corruption.title}`, t => {
      let applied = 0
      for (let seed = 0; seed < SEEDS && applied < EACH; seed += 1) {
        const draft = structuredClone(goodHistory(seed, { trouble: 0.35 })) as Draft
        // What watchers were told is their own: not the very objects of the log.
        draft.watches = structuredClone(draft.watches)
        if (!corruption.corrupt(draft, seeded(seed + 1000))) continue
        applied += 1
        const assumptions = { ...exact, noticeMs: NOTICE_MS, ...corruption.assumptions }
        const own = check(draft, assumptions)
        const all = checkHistory(draft, assumptions)
        if (!t.deepEqual(rulesOf(own), corruption.rules.toSorted(), `seed ${seed}`)) {
          t.log(renderTimeline(draft, own[0] === undefined ? {} : { around: own[0] }).slice(0, 4000))
          return
        }
        const allowed = [...corruption.rules, ...(corruption.also ?? [])]
        t.deepEqual(
          rulesOf(all).filter(rule => !allowed.includes(rule)),
          [],
          `seed ${seed}`,
        )
        // Whoever reads of it must be able to find it.
        t.true(own.every(({ message }) => message.length > 20 && !message.includes('undefined.')))
      }
      histories += applied
      t.true(applied >= EACH, `only ${applied} histories had anything to corrupt`)
    })
  }
  test.serial(`${name} was tried on at least 40 bad histories of at least 10 kinds`, t => {
    t.true(corruptions.length >= 10)
    t.true(histories >= 40)
    t.is(new Set(corruptions.map(({ title }) => title)).size, corruptions.length)
  })
}

export function rulesOf(violations: readonly Violation[]): readonly string[] {
  return [...new Set(violations.map(({ rule }) => rule))].sort()
}

export function pick<Item>(items: readonly Item[], random: Random): Item | undefined {
  return items[Math.floor(random() * items.length)]
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
