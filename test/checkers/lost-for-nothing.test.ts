import test from 'ava'
import { exact } from './assumptions.ts'
import { pick } from './bad-histories.ts'
import {
  type Corruption,
  type Draft,
  type Grant,
  goneAt,
  grantRules,
  grantsOf,
  tellsCorruptions,
} from './corrupt.ts'
import type { Random } from './good-history.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { Acquisition, Change } from './history.ts'
import { checkLosses } from './lost-for-nothing.ts'

const lost = { rules: ['lost-for-nothing'], also: grantRules }
const safe = { ...lost, assumptions: { leasesAreSafe: true } }

/** A grant whose place was there for a while after it was told. */
function someHeld(
  draft: Draft,
  random: Random,
  isFit: (grant: Grant) => boolean = () => true,
): Grant | undefined {
  return pick(
    grantsOf(draft).filter(grant => goneAt(draft, grant) > grant.settledAt + 2 && isFit(grant)),
    random,
  )
}

/** Nobody of these ever stood still. */
function neverStood(draft: Draft): (grant: Grant) => boolean {
  return ({ process }) => draft.stalls.every(stall => stall.process !== process)
}

function told(
  loss: string,
  when: (grant: Grant, goneAt: number) => number,
  isFit: (draft: Draft) => (grant: Grant) => boolean = () => () => true,
): Corruption['corrupt'] {
  return (draft, random) => {
    const grant = someHeld(draft, random, isFit(draft))
    if (grant === undefined) return false
    const gone = goneAt(draft, grant)
    grant.loss = loss
    grant.believedUntil = when(grant, gone === Infinity ? grant.settledAt + 50 : gone)
    // Whoever has died is told nothing.
    if (grant.diedAt !== undefined && grant.diedAt <= grant.believedUntil) delete grant.diedAt
    return true
  }
}

/** Later places of the deprived are not there yet, and those before it are gone. */
const corruptions: readonly Corruption[] = [
  {
    title: 'a place is said to be lost as soon as it is granted',
    ...lost,
    corrupt: told('LOCK_LOST', grant => grant.settledAt),
  },
  {
    title: 'a place is said to be lost half-way',
    ...lost,
    corrupt: told('LOCK_LOST', (grant, gone) => (grant.settledAt + gone) / 2),
  },
  {
    title: 'a place is said to be lost a moment before it is',
    ...lost,
    corrupt: told('LOCK_LOST', (_, gone) => gone - 0.5),
  },
  {
    title: 'a place is said to be lost a millisecond after it was granted',
    ...lost,
    corrupt: told('LOCK_LOST', grant => grant.settledAt + 1),
  },
  {
    title: 'a place is said to be lost, and its owner dies much later',
    ...lost,
    corrupt(draft, random) {
      const isDone = told('LOCK_LOST', grant => grant.settledAt + 1)(draft, random)
      for (const one of grantsOf(draft)) if (one.loss === 'LOCK_LOST') one.diedAt = 1e6
      return isDone
    },
  },
  {
    title: 'a place is said to be lost that had been written over with its lease',
    ...lost,
    corrupt(draft, random) {
      const grant = someHeld(draft, random, ({ key }) =>
        draft.interventions.some(({ kind, keys }) => kind === 'key-overwritten' && keys.includes(key)),
      )
      if (grant === undefined) return false
      grant.loss = 'LOCK_LOST'
      grant.believedUntil = goneAt(draft, grant) === Infinity ? 1e6 : goneAt(draft, grant) - 0.5
      return true
    },
  },
  {
    title: 'a session is said to be lost at once where leases are safe',
    ...safe,
    corrupt: told('SESSION_LOST', grant => grant.settledAt, neverStood),
  },
  {
    title: 'a session is said to be lost half-way where leases are safe',
    ...safe,
    corrupt: told('SESSION_LOST', (grant, gone) => (grant.settledAt + gone) / 2, neverStood),
  },
  {
    title: 'a session is said to be lost a moment before it is, where leases are safe',
    ...safe,
    corrupt: told('SESSION_LOST', (_, gone) => gone - 0.5, neverStood),
  },
  {
    title: 'a session is said to be lost by somebody who stands still only later',
    ...safe,
    corrupt(draft, random) {
      const isDone = told('SESSION_LOST', grant => grant.settledAt + 1, neverStood)(draft, random)
      const grant = grantsOf(draft).find(
        one => one.loss === 'SESSION_LOST' && one.believedUntil === one.settledAt + 1,
      )
      if (!isDone || grant === undefined) return false
      draft.stalls.push({ process: grant.process, from: 1e6, until: 1e6 + 1 })
      return true
    },
  },
]

tellsCorruptions('the checker of losses', checkLosses, corruptions)

const log: readonly (readonly Change[])[] = [[put('l/a', 2n, 'v', 7n)], [{ kind: 'delete', key: 'l/a' }]]

test('a loss is one when the place is gone, or off its lease, by the time it is told', t => {
  t.deepEqual(rules({ loss: 'LOCK_LOST', believedUntil: 200 }), [])
  t.deepEqual(rules({ loss: 'LOCK_LOST', believedUntil: 199 }), ['lost-for-nothing'])
  const off = [
    log[0]!,
    [{ kind: 'put', key: 'l/a', value: 'w', createRevision: 2n, version: 2n, lease: 0n } as const],
  ]
  t.deepEqual(rules({ loss: 'LOCK_LOST', believedUntil: 200 }, off), [])
  t.deepEqual(rules({ loss: 'LOCK_LOST', believedUntil: 199 }, off), ['lost-for-nothing'])
})

test('whoever may hold for so long only loses it by that alone', t => {
  const holds = (ms: number) => rules({ loss: 'LOCK_LOST', believedUntil: 150 }, log, { maxHoldMs: () => ms })
  t.deepEqual(holds(50), [])
  t.deepEqual(holds(51), ['lost-for-nothing'])
})

test('where leases may end unseen, and of whoever stood still, a lost session is not asked about', t => {
  const lost = { loss: 'SESSION_LOST', believedUntil: 150 }
  t.deepEqual(rules(lost), [])
  t.deepEqual(rules(lost, log, { leasesAreSafe: true }), ['lost-for-nothing'])
  const stalls = [{ process: 'p2', from: 120, until: 140 }]
  const stood = history({ log, times: [10, 200], acquisitions: [acquisition('l/a', 2n, lost)], stalls })
  t.deepEqual(checkLosses(stood, { ...exact, leasesAreSafe: true }), [])
})

test('what a process hears after it died is nobody’s loss', t => {
  const lost = { loss: 'LOCK_LOST', believedUntil: 150 }
  t.deepEqual(rules({ ...lost, diedAt: 120 }), [])
  t.deepEqual(rules({ ...lost, diedAt: 160 }), ['lost-for-nothing'])
})

test('of several places granted as one it is enough that one is gone', t => {
  const lost = { loss: 'LOCK_LOST', believedUntil: 300 }
  const both = [put('l/a', 2n, 'v', 7n), put('m/a', 2n, 'v', 7n)]
  const joint = (gone: readonly Change[]) => {
    const acquisitions = ['l', 'm'].map(line =>
      acquisition(`${line}/a`, 2n, { id: line, line: `${line}/`, ...lost }),
    )
    const told = history({ log: [both, gone], times: [10, 200], acquisitions })
    return checkLosses(told).map(({ involved }) => involved)
  }
  t.deepEqual(joint([{ kind: 'delete', key: 'm/a' }]), [])
  t.deepEqual(joint([put('n/a', 3n)]), [['l', 'm']])
})

test('servers that lie deprive by that', t => {
  const lost = { loss: 'LOCK_LOST', believedUntil: 150 }
  t.deepEqual(rules(lost, log, { hostile: true }), [])
})

function rules(
  rest: Partial<Acquisition>,
  log_: readonly (readonly Change[])[] = log,
  assumptions: Partial<typeof exact> = {},
): readonly string[] {
  const told = history({ log: log_, times: [10, 200], acquisitions: [acquisition('l/a', 2n, rest)] })
  return checkLosses(told, { ...exact, ...assumptions }).map(({ rule }) => rule)
}
