import test from 'ava'
import { exact } from './assumptions.ts'
import { pick, rulesOf } from './bad-histories.ts'
import { checkBelief } from './belief-exclusion.ts'
import {
  type Corruption,
  type Draft,
  type Grant,
  goneAt,
  grantRules,
  grantsOf,
  lifeOf,
  moveDelete,
  released,
  tellsCorruptions,
} from './corrupt.ts'
import { NOTICE_MS } from './good-history.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { History } from './history.ts'

const beyond = { rules: ['belief-beyond-ownership'], also: grantRules }
const overlapping = { rules: ['belief-beyond-ownership', 'belief-overlap'], also: grantRules }

/** Released, and followed by another while nobody stood still. */
function followed(draft: Draft): { grant: Grant; next: Grant }[] {
  return released(draft).flatMap(({ grant, next }) =>
    next !== undefined &&
    (next.believedUntil ?? 0) > next.settledAt + 3 &&
    !draft.stalls.some(({ process }) => process === grant.process || process === next.process) &&
    !draft.interventions.some(({ keys }) => keys.includes(grant.key) || keys.includes(next.key))
      ? [{ grant, next }]
      : [],
  )
}

function goesOn(until: (grant: Grant, next: Grant) => number | undefined): Corruption['corrupt'] {
  return (draft, random) => {
    const pair = pick(followed(draft), random)
    if (pair === undefined) return false
    const time = until(pair.grant, pair.next)
    if (time === undefined) delete pair.grant.believedUntil
    else pair.grant.believedUntil = time
    return true
  }
}

/** Those who believed while they stood still, and whose place went meanwhile. */
function stalledOver(draft: Draft): { grant: Grant; stall: Draft['stalls'][number] }[] {
  return grantsOf(draft).flatMap(grant => {
    const gone = goneAt(draft, grant)
    const stall = draft.stalls.find(
      ({ process, from, until }) =>
        process === grant.process && from > grant.settledAt && from < gone - 1 && gone < until - 1,
    )
    return stall !== undefined && grant.believedUntil === stall.until ? [{ grant, stall }] : []
  })
}

function withStall(
  change: (draft: Draft, stall: Draft['stalls'][number], grant: Grant) => void,
): Corruption['corrupt'] {
  return (draft, random) => {
    const found = pick(stalledOver(draft), random)
    if (found === undefined) return false
    change(draft, found.stall, found.grant)
    return true
  }
}

/** Those who were deprived by an operator and believed a little longer. */
function withIntervention(
  change: (draft: Draft, intervention: Draft['interventions'][number], grant: Grant) => void,
): Corruption['corrupt'] {
  return (draft, random) => {
    const deprived = grantsOf(draft).flatMap(grant => {
      const { gone } = lifeOf(draft, grant)
      const intervention = draft.interventions.find(
        ({ revision, keys }) => revision === draft.log[gone]?.revision && keys.includes(grant.key),
      )
      const isLate = intervention !== undefined && (grant.believedUntil ?? 0) > intervention.at + 1
      const ran = !draft.stalls.some(({ process }) => process === grant.process)
      return isLate && ran && grant.settledAt < intervention.at ? [{ grant, intervention }] : []
    })
    const found = pick(deprived, random)
    if (found === undefined) return false
    change(draft, found.intervention, found.grant)
    return true
  }
}

const corruptions: readonly Corruption[] = [
  {
    title: 'belief goes on after the next was granted',
    ...overlapping,
    corrupt: goesOn((_, next) => next.settledAt + 1),
  },
  { title: 'belief never ends', ...overlapping, corrupt: goesOn(() => undefined) },
  {
    title: 'belief goes on half a second longer',
    ...overlapping,
    corrupt: goesOn((_, next) => next.settledAt + 500),
  },
  {
    title: 'belief ends just after the place has gone',
    ...beyond,
    corrupt(draft, random) {
      const pair = pick(followed(draft), random)
      if (pair === undefined) return false
      pair.grant.believedUntil = goneAt(draft, pair.grant) + 0.01
      return true
    },
  },
  {
    title: 'belief begins before the one ahead has left',
    rules: ['belief-before-ownership'],
    also: grantRules,
    corrupt(draft, random) {
      const waited = grantsOf(draft).filter(grant => {
        const { owned, created } = lifeOf(draft, grant)
        return draft.log[owned[0]!.from]!.at > draft.log[created]!.at + 2
      })
      const grant = pick(waited, random)
      if (grant === undefined) return false
      const { owned } = lifeOf(draft, grant)
      const { at } = draft.log[owned[0]!.from]!
      grant.settledAt = at - 0.01
      // Whoever is ahead may have ceased to believe before.
      for (const other of grantsOf(draft)) {
        if (other !== grant && other.line === grant.line && other.believedUntil === undefined) return false
        if (
          other !== grant &&
          other.line === grant.line &&
          other.settledAt < at &&
          other.believedUntil! > at - 0.01
        )
          return false
      }
      return true
    },
  },
  {
    title: 'the dead go on believing',
    ...beyond,
    corrupt(draft, random) {
      const dead = grantsOf(draft).filter(
        grant => grant.diedAt !== undefined && lifeOf(draft, grant).gone !== Infinity,
      )
      const grant = pick(dead, random)
      if (grant === undefined) return false
      grant.believedUntil = goneAt(draft, grant) + 0.5
      delete grant.diedAt
      return true
    },
  },
  {
    title: 'a process that believed had not stood still',
    ...beyond,
    also: ['belief-overlap', ...grantRules],
    corrupt: withStall((draft, stall, grant) => {
      draft.stalls = draft.stalls.filter(other => other !== stall)
      // Before anybody else could come.
      grant.believedUntil = goneAt(draft, grant) + 0.5
    }),
  },
  {
    title: 'another process stood still',
    ...beyond,
    also: grantRules,
    corrupt: withStall((draft, stall, grant) => {
      stall.process = 'somebody'
      grant.believedUntil = goneAt(draft, grant) + 0.5
    }),
  },
  {
    title: 'it stood still for a shorter time',
    ...beyond,
    also: grantRules,
    corrupt: withStall((draft, stall, grant) => {
      stall.until = goneAt(draft, grant)
      grant.believedUntil = stall.until + 0.5
    }),
  },
  {
    title: 'no operator took the place',
    ...beyond,
    also: grantRules,
    corrupt: withIntervention((draft, intervention) => {
      draft.interventions = draft.interventions.filter(other => other !== intervention)
    }),
  },
  {
    title: 'an operator took another place',
    ...beyond,
    also: grantRules,
    corrupt: withIntervention((_, intervention) => {
      intervention.keys = intervention.keys.map(key => `${key}0`)
    }),
  },
  {
    title: 'an operator only wrote to the place',
    ...beyond,
    also: grantRules,
    corrupt: withIntervention((_, intervention) => {
      intervention.kind = 'key-overwritten'
    }),
  },
  {
    title: 'the news of an operator takes too long',
    ...beyond,
    also: ['belief-overlap', ...grantRules],
    corrupt: withIntervention((draft, intervention, grant) => {
      draft.acquisitions = draft.acquisitions.filter(
        other => other === grant || other.settledAt < grant.settledAt,
      )
      draft.releases = []
      draft.guardedWrites = []
      grant.believedUntil = intervention.at + NOTICE_MS + 1
    }),
  },
  {
    title: 'the place goes while it is believed in',
    ...beyond,
    also: [...grantRules, 'log-wrong-version'],
    corrupt(draft, random) {
      const { grant } = pick(released(draft), random) ?? {}
      if (grant === undefined) return false
      if (draft.stalls.some(({ process }) => process === grant.process)) return false
      return moveDelete(draft, grant, at => at > grant.settledAt && at < grant.believedUntil! - 0.1)
    },
  },
]

tellsCorruptions('the checker of belief', checkBelief, corruptions)

const taken: readonly History['log'][number]['changes'][number][][] = [
  [put('l/a', 2n)],
  [put('l/b', 3n)],
  [{ kind: 'delete', key: 'l/a' }],
]

test('a belief that ends when its place goes, at the very time, is right', t => {
  const good = history({
    log: taken,
    acquisitions: [
      acquisition('l/a', 2n, { settledAt: 5, believedUntil: 20 }),
      acquisition('l/b', 3n, { settledAt: 20 }),
    ],
  })
  t.deepEqual(checkBelief(good), [])
  const [first, second] = good.acquisitions
  const late = { ...good, acquisitions: [{ ...first!, believedUntil: 20.5 }, second!] }
  t.deepEqual(rulesOf(checkBelief(late)), ['belief-beyond-ownership', 'belief-overlap'])
  t.deepEqual(checkBelief(late, { ...exact, clockSlackMs: 1 }), [])
  t.deepEqual(checkBelief(late, { ...exact, hostile: true }), [])
})

test('a process that stands still again while the news is on its way has that much longer', t => {
  const slow = history({
    log: taken,
    acquisitions: [acquisition('l/a', 2n, { settledAt: 5, believedUntil: 64 })],
    stalls: [{ process: 'p2', from: 22, until: 62 }],
    interventions: [{ at: 20, revision: 4n, kind: 'key-deleted', keys: ['l/a'] }],
  })
  t.deepEqual(checkBelief(slow, { ...exact, noticeMs: 5 }), [])
  t.deepEqual(rulesOf(checkBelief(slow, { ...exact, noticeMs: 3 })), ['belief-beyond-ownership'])
})

test('three who believe at once are told as such', t => {
  const three = history({
    acquisitions: [acquisition('l/a', 2n), acquisition('l/b', 3n), acquisition('l/c', 4n)],
  })
  const violations = checkBelief(three)
  t.deepEqual(rulesOf(violations), ['belief-overlap'])
  t.deepEqual(violations.at(-1)!.involved, ['a2', 'a3', 'a4'])
})
