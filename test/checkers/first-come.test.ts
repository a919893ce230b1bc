import test from 'ava'
import { exact } from './assumptions.ts'
import { pick, rulesOf } from './bad-histories.ts'
import {
  type Corruption,
  type Draft,
  dropDelete,
  type Grant,
  grantRules,
  grantsOf,
  lifeOf,
  lineOf,
  moveDelete,
  quiet,
  tellsCorruptions,
} from './corrupt.ts'
import { checkFirstCome } from './first-come.ts'
import { acquisition, history, put } from './hand-written.ts'

const early = { rules: ['granted-out-of-turn'], also: [...grantRules, 'log-wrong-version'] }
const overtaking = { rules: ['overtaken'], also: grantRules }

/** Neighbours in a line, of whom the second waited for the first. */
function waited(draft: Draft): { first: Grant; second: Grant }[] {
  return grantsOf(draft).flatMap(second => {
    const line = lineOf(draft, second.line)
    const first = line[line.indexOf(second) - 1]
    if (first === undefined) return []
    const { owned, created } = lifeOf(draft, second)
    const { gone } = lifeOf(draft, first)
    return owned[0]!.from === gone && draft.log[gone]!.at > draft.log[created]!.at + 4
      ? [{ first, second }]
      : []
  })
}

function grantSooner(time: (draft: Draft, first: Grant, second: Grant) => number): Corruption['corrupt'] {
  return (draft, random) => {
    const pair = pick(waited(draft), random)
    if (pair === undefined) return false
    const at = time(draft, pair.first, pair.second)
    // Sooner, but neither before it was created nor before the other was granted.
    if (at < pair.first.settledAt) return false
    pair.second.settledAt = at
    return true
  }
}

function overtake(change: (first: Grant, second: Grant) => void): Corruption['corrupt'] {
  return (draft, random) => {
    const pairs = waited(draft).filter(
      ({ first, second }) => second.invokedAt < first.settledAt && first.process !== second.process,
    )
    const calm = pairs.filter(
      ({ first }) =>
        !draft.stalls.some(({ process }) => process === first.process) &&
        !draft.interventions.some(({ keys }) => keys.includes(first.key)),
    )
    const pair = pick(calm, random)
    if (pair === undefined) return false
    change(pair.first, pair.second)
    return true
  }
}

const corruptions: readonly Corruption[] = [
  {
    title: 'one is granted just before the one ahead leaves',
    ...early,
    corrupt: grantSooner((draft, first) => draft.log[lifeOf(draft, first).gone]!.at - 0.01),
  },
  {
    title: 'one is granted together with the one ahead',
    ...early,
    corrupt: grantSooner((draft, first, second) =>
      Math.max(first.settledAt, draft.log[lifeOf(draft, second).created]!.at + 0.01),
    ),
  },
  {
    title: 'one is granted half-way',
    ...early,
    corrupt: grantSooner((draft, first) => (first.settledAt + draft.log[lifeOf(draft, first).gone]!.at) / 2),
  },
  {
    title: 'the one ahead never leaves',
    ...early,
    corrupt(draft, random) {
      const pair = pick(waited(draft), random)
      return pair !== undefined && dropDelete(draft, pair.first)
    },
  },
  {
    title: 'the one ahead leaves long after',
    ...early,
    corrupt(draft, random) {
      const pair = pick(waited(draft), random)
      return pair !== undefined && moveDelete(draft, pair.first, at => at > pair.second.settledAt + 10)
    },
  },
  {
    title: 'the one ahead leaves right after',
    ...early,
    corrupt(draft, random) {
      const pair = pick(waited(draft), random)
      return pair !== undefined && moveDelete(draft, pair.first, at => at > pair.second.settledAt)
    },
  },
  {
    title: 'a foreign key has always been ahead',
    ...early,
    corrupt(draft, random) {
      const { line } = pick(grantsOf(draft), random)!
      quiet(draft)
      const { revision, changes } = draft.log[0]!
      changes.push(put(`${line}0`, revision) as Draft['log'][number]['changes'][number])
      return true
    },
  },
  {
    title: 'a foreign key came in between',
    ...early,
    corrupt(draft, random) {
      const grant = pick(grantsOf(draft), random)!
      const { created } = lifeOf(draft, grant)
      if (created === 0) return false
      quiet(draft)
      const { revision, changes } = draft.log[created - 1]!
      changes.push(put(`${grant.line}zz`, revision) as Draft['log'][number]['changes'][number])
      return true
    },
  },
  {
    title: 'both leave at one revision, and the second says it was granted',
    ...early,
    corrupt(draft, random) {
      const pair = pick(waited(draft), random)
      if (pair === undefined) return false
      const { gone } = lifeOf(draft, pair.first)
      return moveDelete(draft, pair.second, at => at === draft.log[gone]!.at)
    },
  },
  {
    title: 'the later is granted just before the earlier',
    rules: ['granted-out-of-turn', 'overtaken'],
    also: grantRules,
    corrupt: overtake((first, second) => {
      second.settledAt = first.settledAt - 0.01
    }),
  },
  {
    title: 'the earlier is granted just after the later',
    ...overtaking,
    corrupt: overtake((first, second) => {
      first.settledAt = second.settledAt + 0.01
    }),
  },
  {
    title: 'the earlier is granted long after the later',
    ...overtaking,
    corrupt: overtake((first, second) => {
      first.settledAt = second.settledAt + 500
      first.believedUntil = second.settledAt + 501
    }),
  },
  {
    title: 'two exchange the times they were granted',
    rules: ['granted-out-of-turn', 'overtaken'],
    also: grantRules,
    corrupt: overtake((first, second) => {
      ;[first.settledAt, second.settledAt] = [second.settledAt, first.settledAt]
    }),
  },
]

tellsCorruptions('the checker of first come, first served', checkFirstCome, corruptions)

test('one that gave up is no longer ahead', t => {
  const gaveUp = history({
    log: [[put('l/a', 2n)], [put('l/b', 3n)], [{ kind: 'delete', key: 'l/a' }]],
    acquisitions: [acquisition('l/b', 3n)],
  })
  t.deepEqual(checkFirstCome(gaveUp), [])
})

test('where nobody waits for anybody, nobody is ahead', t => {
  const readers = history({
    log: [[put('l/a', 2n)], [put('l/b', 3n)]],
    acquisitions: [acquisition('l/a', 2n, { settledAt: 200 }), acquisition('l/b', 3n)],
  })
  t.deepEqual(rulesOf(checkFirstCome(readers)), ['granted-out-of-turn', 'overtaken'])
  const rule = { owners: <T>(places: readonly T[]) => places, together: () => true, waitsFor: () => false }
  t.deepEqual(checkFirstCome(readers, { ...exact, ruleOf: () => rule }), [])
})
