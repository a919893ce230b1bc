import test from 'ava'
import { exact } from './assumptions.ts'
import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { checkGrantsInTime } from './grants-in-time.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { Acquisition, Change, Commit, History } from './history.ts'
import { changingModes, type LineRule, oneAtATime, readersAndWriters } from './line-rule.ts'
import { truthOf } from './truth-of.ts'

const calm = { from: 1000, until: 9000, graceMs: 500, withinMs: 100 }
/** Created one after the other before all is calm; the first is deleted at 3000. */
const TURN_AT = 3000
const log: readonly (readonly Change[])[] = [
  [put('l/a', 2n, 'v', 1n)],
  [put('l/b', 3n, 'v', 2n)],
  [{ kind: 'delete', key: 'l/a' }],
]
const times = [20, 40, TURN_AT]

test('whoever is granted as soon as its turn has come is granted in time', t => {
  for (const settledAt of [TURN_AT, TURN_AT + 50, TURN_AT + 100])
    t.deepEqual(check({ acquisitions: [acquisition('l/b', 3n, { settledAt })] }), [], `${settledAt}`)
})

test('whoever finds nobody before it is granted in time or found as well', t => {
  const alone = { log: [[put('l/b', 2n, 'v', 2n)]], times: [4000] }
  t.deepEqual(check({ ...alone, acquisitions: [acquisition('l/b', 2n, { settledAt: 4100 })] }), [])
  t.deepEqual(check({ ...alone, acquisitions: [acquisition('l/b', 2n, { settledAt: 4101 })] }), [
    'granted-late',
  ])
})

test('what happens before all is calm, or at the end of it, may take longer', t => {
  const acquisitions = [acquisition('l/b', 3n, { settledAt: 9500 })]
  t.deepEqual(check({ acquisitions, times: [20, 40, 1499] }), [])
  t.deepEqual(check({ acquisitions, times: [20, 40, 8901] }), [])
})

test('whoever stood still while its turn came, or shortly before, may be late', t => {
  const acquisitions = [acquisition('l/b', 3n, { settledAt: TURN_AT + 2000 })]
  const stood = (from: number, until: number, process = 'p3') => [{ process, from, until }]
  t.deepEqual(check({ acquisitions, stalls: stood(TURN_AT + 10, TURN_AT + 20) }), [])
  t.deepEqual(check({ acquisitions, stalls: stood(0, TURN_AT - 499) }), [])
  t.deepEqual(check({ acquisitions, stalls: stood(0, TURN_AT - 500) }), ['granted-late'])
  t.deepEqual(check({ acquisitions, stalls: stood(TURN_AT + 2000, TURN_AT + 3000) }), ['granted-late'])
  t.deepEqual(check({ acquisitions, stalls: stood(0, 9000, 'p2') }), ['granted-late'], 'somebody else')
})

test('readers wait for writers before them, and for nobody else', t => {
  const read = JSON.stringify({ mode: 'read' })
  const mixed = (first: string) => ({
    log: [[put('l/a', 2n, first, 1n)], [put('l/b', 3n, read, 2n)], log[2]!],
    times: [2000, 2010, TURN_AT],
    acquisitions: [acquisition('l/b', 3n, { settledAt: TURN_AT + 50 })],
    rule: readersAndWriters,
  })
  t.deepEqual(check(mixed('write')), [])
  t.deepEqual(check(mixed(read)), ['granted-late'])
})

test('of several granted as one, the last turn counts', t => {
  const joint = {
    log: [
      [put('l/a', 2n, 'v', 1n), put('m/a', 2n, 'v', 1n)],
      [put('l/b', 3n, 'v', 2n), put('m/b', 3n, 'v', 2n)],
      [{ kind: 'delete', key: 'l/a' }],
      [{ kind: 'delete', key: 'm/a' }],
    ] as readonly (readonly Change[])[],
    times: [20, 40, TURN_AT, TURN_AT + 1000],
  }
  const granted = (settledAt: number) =>
    ['l', 'm'].map(line => acquisition(`${line}/b`, 3n, { id: line, line: `${line}/`, settledAt }))
  t.deepEqual(check({ ...joint, acquisitions: granted(TURN_AT + 1100) }), [])
  t.deepEqual(check({ ...joint, acquisitions: granted(TURN_AT + 1101) }), ['granted-late'])
})

test('who is made to wait after a loss is not judged, nor who stands where modes change', t => {
  const acquisitions = [acquisition('l/b', 3n, { settledAt: TURN_AT + 4000 })]
  t.deepEqual(check({ acquisitions, rule: changingModes }), [])
  const delayed = [...log.slice(0, 2), [...log[2]!, put('l.delay', 4n)]]
  t.deepEqual(check({ acquisitions, log: delayed }), [])
})

interface Facts {
  readonly history: History
  /** Lines of readers and writers. */
  readonly shared: readonly string[]
}

/** Lines in which one follows the other while all is calm, each as soon as its turn has come; two of them at once. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const changes: { readonly at: number; readonly change: (revision: bigint) => Change }[] = []
  const told: { readonly key: string; readonly line: string; readonly turnAt: number; late: number }[] = []
  const add = (line: string, index: number, [from, until]: readonly [number, number], value = 'v') => {
    const key = `${line}${index}`
    changes.push(
      { at: from, change: revision => put(key, revision, value, 7n) },
      { at: until, change: () => ({ kind: 'delete', key }) },
    )
    return key
  }
  for (const line of ['l/', 'm/', 'r/']) {
    const startAt = integer(random, 20, 200)
    let turnAt = integer(random, 1600, 2000)
    for (let index = 0; index < 8; index += 1) {
      const until = turnAt + integer(random, 200, 700)
      const value = line === 'r/' && index % 2 === 0 ? JSON.stringify({ mode: 'read' }) : 'v'
      // Who comes after all the others have gone waits for nobody.
      const from = index < 6 ? startAt + index : turnAt
      const key = add(line, index, [from, until], value)
      told.push({ key, line, turnAt, late: integer(random, 0, calm.withinMs) })
      turnAt = until + (index < 5 ? 0 : 10)
    }
  }
  const log: Commit[] = []
  const created = new Map<string, bigint>()
  for (const { at, change } of changes.toSorted((one, other) => one.at - other.at)) {
    const revision = BigInt(log.length + 2)
    const made = change(revision)
    if (made.kind === 'put') created.set(made.key, revision)
    log.push({ revision, at, changes: [made] })
  }
  const acquisitions = told.map(({ key, line, turnAt, late }) =>
    acquisition(key, created.get(key)!, { id: key, process: `of ${key}`, line, settledAt: turnAt + late }),
  )
  return { history: { ...history(), log, acquisitions }, shared: ['r/'] }
}

type Draft = Deep<Facts>
type Grant = Deep<Acquisition>

/** Somebody who had to wait for another, and when his turn came. */
function waitersIn({
  history: { log, acquisitions },
}: Draft): { readonly grant: Grant; readonly turnAt: number }[] {
  return acquisitions.flatMap(grant => {
    const index = Number(grant.key!.slice(2))
    const before = `${grant.line}${index - 1}`
    const gone = log.find(({ changes: [change] }) => change?.kind === 'delete' && change.key === before)
    return index === 0 || index > 5 || gone === undefined ? [] : [{ grant, turnAt: gone.at }]
  })
}

function toWaiter(
  change: (one: { readonly grant: Grant; readonly turnAt: number }, draft: Draft, random: Random) => void,
  fits: (grant: Grant) => boolean = () => true,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      waitersIn(draft),
      random,
      ({ grant }) => fits(grant),
      one => change(one, draft, random),
    )
}

/** What one who is told so late by far says. */
const late = (random: Random) => calm.withinMs + integer(random, 500, 3000)
const rules = ['granted-late']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'whoever waits hears of it a moment too late',
    rules,
    corrupt: toWaiter(({ grant, turnAt }) => {
      grant.settledAt = turnAt + calm.withinMs + 0.5
    }),
  },
  {
    title: 'whoever waits hears of it only when he looks again',
    rules,
    corrupt: toWaiter(({ grant, turnAt }, _, random) => {
      grant.settledAt = turnAt + late(random)
    }),
  },
  {
    title: 'whoever waits hears of it after all is over',
    rules,
    corrupt: toWaiter(({ grant }, _, random) => {
      grant.settledAt = calm.until + integer(random, 1, 9000)
    }),
  },
  {
    title: 'several hear of it too late',
    rules,
    corrupt: (draft, random) => {
      for (const { grant, turnAt } of waitersIn(draft)) grant.settledAt = turnAt + late(random)
      return true
    },
  },
  {
    title: 'whoever finds nobody before him hears of it too late',
    rules,
    corrupt: (draft, random) =>
      toOne(
        draft.history.acquisitions,
        random,
        ({ key }) => key!.endsWith('7'),
        grant => {
          grant.settledAt += late(random)
        },
      ),
  },
  {
    title: 'a reader hears late that the writer before it has gone',
    rules,
    corrupt: toWaiter(
      ({ grant, turnAt }, _, random) => {
        grant.settledAt = turnAt + late(random)
      },
      ({ key }) => key === 'r/2' || key === 'r/4',
    ),
  },
  {
    title: 'a reader waits for a reader',
    rules,
    corrupt: (draft, random) => {
      // Of four in a row, which were every second one, the two in the middle read.
      for (const { changes } of draft.history.log)
        for (const change of changes)
          if (change.kind === 'put' && change.key === 'r/3') change.value = JSON.stringify({ mode: 'read' })
      const { turnAt } = waitersIn(draft).find(({ grant }) => grant.key === 'r/2')!
      const third = draft.history.acquisitions.find(({ key }) => key === 'r/3')!
      const fourth = draft.history.acquisitions.find(({ key }) => key === 'r/4')!
      third.settledAt = turnAt + integer(random, 0, 90)
      fourth.settledAt = turnAt + late(random)
      return true
    },
  },
  {
    title: 'whoever is late stood still long before',
    rules,
    corrupt: toWaiter(({ grant, turnAt }, { history: { stalls } }, random) => {
      grant.settledAt = turnAt + late(random)
      stalls.push({ process: grant.process, from: 0, until: turnAt - calm.graceMs - integer(random, 0, 90) })
    }),
  },
  {
    title: 'whoever is late stood still only afterwards',
    rules,
    corrupt: toWaiter(({ grant, turnAt }, { history: { stalls } }, random) => {
      grant.settledAt = turnAt + late(random)
      stalls.push({ process: grant.process, from: grant.settledAt + integer(random, 0, 90), until: 20_000 })
    }),
  },
  {
    title: 'whoever is late did not stand still, and another did',
    rules,
    corrupt: toWaiter(({ grant, turnAt }, { history: { stalls } }, random) => {
      grant.settledAt = turnAt + late(random)
      stalls.push({ process: `${grant.process}0`, from: 0, until: 20_000 })
    }),
  },
  {
    title: 'the place before went sooner than was thought',
    rules,
    corrupt: toWaiter(({ grant, turnAt }, { history: { log, acquisitions } }, random) => {
      const gone = log.findLast(({ at }) => at === turnAt)!
      const before = log[log.indexOf(gone) - 1]!
      const by = gone.at - before.at
      gone.at = before.at
      grant.settledAt = gone.at + by + calm.withinMs + integer(random, 1, 900)
      // Whoever had it is told no later than that it went.
      const had = acquisitions.find(({ key }) => gone.changes.some(change => change.key === key))
      if (had !== undefined) had.settledAt = Math.min(had.settledAt, before.at)
    }),
  },
  {
    title: 'two that are granted as one hear of it when the turn of both came long ago',
    rules,
    corrupt: (draft, random) => {
      const { acquisitions } = draft.history
      const waiters = waitersIn(draft).filter(({ grant }) => grant.line !== 'r/')
      const one = pick(
        waiters.filter(({ grant }) => grant.line === 'l/'),
        random,
      )!
      const other = waiters.find(({ grant }) => grant.key === `m/${one.grant.key!.slice(2)}`)!
      const settledAt = Math.max(one.turnAt, other.turnAt) + late(random)
      for (const { grant } of [one, other]) Object.assign(grant, { process: 'of both', settledAt })
      // As it is with sets of locks: one commit makes both places.
      const { log } = draft.history
      const created = (key: string) =>
        log.find(({ changes: [change] }) => change?.kind === 'put' && change.key === key)!
      const [first, second] = [created(one.grant.key!), created(other.grant.key!)]
      second.changes = []
      first.changes.push(put(other.grant.key!, first.revision, 'v', 7n) as Deep<Change>)
      other.grant.token = first.revision
      return acquisitions.length > 0
    },
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of grants in time',
  good: drawn,
  check: ({ history: told, shared }) => {
    const ruleOf = (line: string) => (shared.includes(line) ? readersAndWriters : oneAtATime)
    return checkGrantsInTime(told, calm, truthOf(told, { ...exact, ruleOf }))
  },
  kinds,
})

function check({
  rule,
  ...rest
}: Partial<Omit<History, 'log'>> & {
  readonly log?: readonly (readonly Change[])[]
  readonly times?: readonly number[]
  readonly rule?: LineRule
}): readonly string[] {
  const told = history({ log, times, ...rest })
  const assumptions = rule === undefined ? exact : { ...exact, ruleOf: () => rule }
  return checkGrantsInTime(told, calm, truthOf(told, assumptions)).map(({ rule }) => rule)
}
