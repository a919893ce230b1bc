import test from 'ava'
import { exact } from './assumptions.ts'
import { rulesOf } from './bad-histories.ts'
import { checkHistory } from './check.ts'
import { type Draft, type Grant, lifeOf } from './corrupt.ts'
import { goodHistory, NOTICE_MS, seeded } from './good-history.ts'

const assumptions = { ...exact, noticeMs: NOTICE_MS }

type Entry<K extends keyof Draft> = Draft[K][number]

/** What one careless hand does to one entry, and whether somebody must see it. */
interface Mutation {
  readonly title: string
  /** `true`: it must be flagged; `false`: nobody can tell, and nobody may; `undefined`: either may be. */
  readonly expects: (draft: Draft, position: number) => boolean | undefined
  readonly list: keyof Draft
  readonly mutate: (draft: Draft, position: number) => void
}

function drop(list: keyof Draft, expects: Mutation['expects']): Mutation {
  return {
    title: `left out of ${list}`,
    list,
    expects,
    mutate: (draft, position) => {
      ;(draft[list] as unknown[]).splice(position, 1)
    },
  }
}

function twice(list: keyof Draft, expects: Mutation['expects']): Mutation {
  return {
    title: `twice in ${list}`,
    list,
    expects,
    mutate: (draft, position) => {
      const entry = structuredClone(draft[list][position]) as { id?: string }
      if (entry.id !== undefined) entry.id += '-again'
      ;(draft[list] as unknown[]).splice(position, 0, entry)
    },
  }
}

/** Later by more than the whole history lasted. */
function late<K extends 'acquisitions' | 'releases' | 'guardedWrites' | 'writes'>(
  list: K,
  expects: Mutation['expects'],
): Mutation {
  return {
    title: `later in ${list}`,
    list,
    expects,
    mutate: (draft, position) => {
      const entry = draft[list][position] as Entry<K>
      entry.invokedAt += 1e6
      entry.settledAt += 1e6
    },
  }
}

function inLog(draft: Draft, value: string | undefined): boolean {
  return draft.log.some(({ changes }) =>
    changes.some(change => change.kind === 'put' && change.value === value),
  )
}

const mutations: readonly Mutation[] = [
  drop('log', ({ log }, position) => (position > 0 && position < log.length - 1 ? true : undefined)),
  twice('log', () => true),
  drop('acquisitions', ({ acquisitions, releases, guardedWrites, log }, position) => {
    const { id, outcome } = acquisitions[position]!
    if (outcome !== 'ok') return false
    const wrote = guardedWrites.some(
      ({ acquisition, value }) =>
        acquisition === id &&
        log.some(({ changes }) => changes.some(each => each.kind === 'put' && each.value === value)),
    )
    if (wrote || releases.some(({ acquisition, wasHeld }) => acquisition === id && wasHeld === true))
      return true
    return false
  }),
  twice('acquisitions', ({ acquisitions }, position) => acquisitions[position]!.outcome === 'ok'),
  late('acquisitions', (draft, position) => {
    const acquisition = draft.acquisitions[position]!
    if (acquisition.outcome !== 'ok') return false
    return lifeOf(draft, acquisition as Grant).gone === Infinity ? undefined : true
  }),
  // Its belief had ended anyway.
  drop('releases', () => false),
  twice('releases', ({ releases }, position) => releases[position]!.wasHeld === true),
  late('releases', (draft, position) => {
    const { wasHeld, acquisition } = draft.releases[position]!
    if (wasHeld !== true) return false
    const taken = draft.interventions.length > 0
    return taken || acquisition === '' ? undefined : true
  }),
  drop('guardedWrites', () => false),
  twice('guardedWrites', () => true),
  late('guardedWrites', () => undefined),
  drop('writes', () => false),
  twice('writes', ({ writes }, position) => (writes[position]!.value === undefined ? undefined : true)),
  late('writes', (draft, position) => {
    const { value, outcome } = draft.writes[position]!
    if (value === undefined) return undefined
    return outcome !== 'failed' && inLog(draft, value)
  }),
  drop('reads', () => false),
  twice('reads', () => false),
  drop('watches', () => false),
  twice('watches', () => false),
]

for (const mutation of mutations) {
  test(`an entry that is ${mutation.title} is flagged, or does no harm`, t => {
    const random = seeded(mutation.title.length)
    let flagged = 0
    let harmless = 0
    for (let seed = 0; seed < 40; seed += 1) {
      const draft = structuredClone(goodHistory(seed)) as Draft
      draft.watches = structuredClone(draft.watches)
      const { length } = draft[mutation.list]
      if (length === 0) continue
      const position = Math.floor(random() * length)
      const expected = mutation.expects(draft, position)
      mutation.mutate(draft, position)
      const rules = rulesOf(checkHistory(draft, assumptions))
      if (rules.length > 0) flagged += 1
      else harmless += 1
      if (expected !== undefined) {
        t.is(rules.length > 0, expected, `seed ${seed}, entry ${position}: ${rules.join(', ')}`)
      }
    }
    t.true(flagged + harmless > 20)
  })
}

for (const how of ['left out', 'twice', 'one revision later'] as const) {
  test(`what a watcher is told is flagged when any of it is ${how}`, t => {
    const random = seeded(how.length)
    for (let seed = 0; seed < 40; seed += 1) {
      const draft = structuredClone(goodHistory(seed)) as Draft
      draft.watches = structuredClone(draft.watches)
      const { told } = draft.watches[seed % draft.watches.length]!
      const position = Math.floor(random() * told.length)
      const entry = told[position]
      if (entry?.kind !== 'changes') continue
      if (how === 'left out') told.splice(position, 1)
      else if (how === 'twice') told.splice(position, 0, entry)
      else entry.revision += 1n
      t.not(checkHistory(draft, assumptions).length, 0, `seed ${seed}`)
    }
  })
}
