import test from 'ava'
import { exact } from './assumptions.ts'
import { pick, rulesOf } from './bad-histories.ts'
import {
  type Corruption,
  type Draft,
  type Grant,
  goneAt,
  grantRules,
  grantsOf,
  released,
  tellsCorruptions,
} from './corrupt.ts'
import { acquisition, history } from './hand-written.ts'
import { checkLinearizableBelief } from './linearizable-belief.ts'

const bad = {
  rules: ['belief-not-linearizable'],
  also: grantRules,
}

function pairs(draft: Draft): { grant: Grant; next: Grant }[] {
  return released(draft).flatMap(({ grant, next }) =>
    next !== undefined &&
    grant.believedUntil! > grant.settledAt + 2 &&
    (next.believedUntil ?? 0) > next.settledAt + 6 &&
    !draft.stalls.some(({ process }) => process === grant.process || process === next.process) &&
    !draft.interventions.some(({ keys }) => keys.includes(grant.key) || keys.includes(next.key))
      ? [{ grant, next }]
      : [],
  )
}

function both(change: (grant: Grant, next: Grant, draft: Draft) => void): Corruption['corrupt'] {
  return (draft, random) => {
    const pair = pick(pairs(draft), random)
    if (pair === undefined) return false
    change(pair.grant, pair.next, draft)
    return true
  }
}

const corruptions: readonly Corruption[] = [
  {
    title: 'a belief outlasts the next grant a little',
    ...bad,
    corrupt: both((grant, next) => {
      grant.believedUntil = next.settledAt + 0.5
    }),
  },
  {
    title: 'a belief outlasts the next belief',
    ...bad,
    corrupt: both((grant, next) => {
      grant.believedUntil = next.believedUntil! + 5
    }),
  },
  {
    title: 'a belief outlasts all others by far',
    ...bad,
    corrupt: both(grant => {
      grant.believedUntil = 1e6
    }),
  },
  {
    title: 'a belief never ends',
    ...bad,
    corrupt: both(grant => {
      delete grant.believedUntil
    }),
  },
  {
    title: 'the next is granted before a belief ends',
    ...bad,
    corrupt: both((grant, next) => {
      next.settledAt = grant.believedUntil! - 0.5
    }),
  },
  {
    title: 'two are granted at one instant',
    ...bad,
    corrupt: both((grant, next) => {
      next.settledAt = grant.settledAt
    }),
  },
  {
    title: 'the next is granted before the one ahead',
    ...bad,
    corrupt: both((grant, next) => {
      next.settledAt = grant.settledAt - 0.5
    }),
  },
  {
    title: 'one grant is believed by two',
    ...bad,
    corrupt: both((grant, _, draft) => {
      draft.acquisitions.push({ ...grant, id: 'double', process: 'double' })
    }),
  },
  {
    title: 'somebody with no place believes in between',
    ...bad,
    corrupt: both((grant, _, draft) => {
      draft.acquisitions.push({
        ...grant,
        id: 'stranger',
        key: 'stranger',
        process: 'stranger',
        settledAt: grant.settledAt + 0.5,
      })
    }),
  },
  {
    title: 'a belief covers those before it',
    ...bad,
    corrupt: both((grant, next) => {
      next.invokedAt = grant.invokedAt
      next.settledAt = grant.settledAt + 0.1
    }),
  },
  {
    title: 'one that stood still believed as if it had not',
    ...bad,
    corrupt(draft) {
      for (const grant of grantsOf(draft)) {
        const gone = goneAt(draft, grant)
        const next = grantsOf(draft).find(
          ({ line, settledAt, believedUntil, process }) =>
            line === grant.line &&
            settledAt > gone &&
            settledAt < grant.believedUntil! - 1 &&
            believedUntil! > settledAt &&
            !draft.stalls.some(stall => stall.process === process),
        )
        const stall = draft.stalls.find(
          ({ process, until }) => process === grant.process && until === grant.believedUntil,
        )
        if (next === undefined || stall === undefined) continue
        draft.stalls = draft.stalls.filter(other => other !== stall)
        return true
      }
      return false
    },
  },
  {
    title: 'the search is not given the steps it needs',
    rules: ['undecided'],
    assumptions: { maxSteps: 3 },
    corrupt: draft => grantsOf(draft).length > 8,
  },
]

tellsCorruptions('the search for an order of beliefs', checkLinearizableBelief, corruptions)

test('a hostile server makes nobody answer for what was believed', t => {
  const two = history({ acquisitions: [acquisition('l/a', 2n), acquisition('l/b', 3n)] })
  t.deepEqual(rulesOf(checkLinearizableBelief(two)), ['belief-not-linearizable'])
  t.deepEqual(checkLinearizableBelief(two)[0]!.involved.toSorted(), ['a2', 'a3'])
  t.deepEqual(checkLinearizableBelief(two, { ...exact, hostile: true }), [])
})
