import test from 'ava'
import { exact } from './assumptions.ts'
import { pick, rulesOf } from './bad-histories.ts'
import {
  type Corruption,
  type Draft,
  dropDelete,
  type Grant,
  goneAt,
  grantRules,
  grantsOf,
  lifeOf,
  moveDelete,
  released,
  tellsCorruptions,
} from './corrupt.ts'
import { acquisition, history, put } from './hand-written.ts'
import { checkReleases } from './releases.ts'

const logRules = ['log-wrong-version', 'log-delete-of-nothing']
const left = { rules: ['release-left-place'], also: [...grantRules, ...logRules] }
const superseded = { rules: ['release-of-superseded'], also: [...grantRules, ...logRules] }
const nothing = { rules: ['release-of-nothing'], also: grantRules }
const twice = { rules: ['released-twice'], also: grantRules }

type Release = Draft['releases'][number]

function change(
  of: (release: Release, draft: Draft, grant: Grant) => boolean | undefined,
): Corruption['corrupt'] {
  return (draft, random) => {
    const all = released(draft).filter(({ grant }) => goneAt(draft, grant) !== Infinity)
    const found = pick(all, random)
    return found !== undefined && of(found.release, draft, found.grant) !== false
  }
}

/** One that says it was held, of an acquisition whose place went otherwise. */
function invented(of: (draft: Draft) => Grant[]): Corruption['corrupt'] {
  return (draft, random) => {
    const grant = pick(of(draft), random)
    if (grant === undefined) return false
    const gone = goneAt(draft, grant)
    if (gone === Infinity) return false
    draft.releases.push({
      id: 'invented',
      process: grant.process,
      acquisition: grant.id,
      outcome: 'ok',
      wasHeld: true,
      invokedAt: gone + 100,
      settledAt: gone + 110,
    })
    return true
  }
}

const corruptions: readonly Corruption[] = [
  {
    title: 'the place stays for ever',
    ...left,
    corrupt: change((_, draft, grant) => {
      const { changes } = draft.log[lifeOf(draft, grant).gone]!
      const again = draft.log
        .slice(lifeOf(draft, grant).gone + 1)
        .some(commit => commit.changes.some(({ key }) => key === grant.key))
      return changes.length > 0 && !again && dropDelete(draft, grant)
    }),
  },
  {
    title: 'the answer comes before the place has gone',
    ...left,
    corrupt: change((release, draft, grant) => {
      release.settledAt = goneAt(draft, grant) - 0.01
      return release.settledAt >= release.invokedAt
    }),
  },
  {
    title: 'the answer comes at once',
    ...left,
    corrupt: change(release => {
      release.settledAt = release.invokedAt
    }),
  },
  {
    title: 'the place goes only later',
    ...left,
    corrupt: change((release, draft, grant) => moveDelete(draft, grant, at => at > release.settledAt)),
  },
  {
    title: 'one that nobody heard of is said to have been done at once',
    ...left,
    corrupt(draft, random) {
      const unheard = draft.releases.filter(({ outcome }) => outcome === 'unknown')
      const release = pick(unheard, random)
      if (release === undefined) return false
      Object.assign(release, { outcome: 'ok', wasHeld: true, settledAt: release.invokedAt + 0.1 })
      return true
    },
  },
  {
    title: 'the place had gone before the release began',
    ...superseded,
    corrupt: change((release, draft, grant) => {
      if (draft.interventions.some(({ keys }) => keys.includes(grant.key))) return false
      release.invokedAt = goneAt(draft, grant) + 0.01
      release.settledAt = Math.max(release.settledAt, release.invokedAt)
      return true
    }),
  },
  {
    title: 'the place had gone while it was believed in',
    ...superseded,
    corrupt: change((_, draft, grant) =>
      moveDelete(draft, grant, at => at > grant.settledAt && at < grant.believedUntil! - 0.1),
    ),
  },
  {
    title: 'the dead say that they released it',
    ...superseded,
    corrupt: invented(draft => grantsOf(draft).filter(({ diedAt }) => diedAt !== undefined)),
  },
  {
    title: 'one that was lost says it was held',
    ...superseded,
    corrupt: invented(draft => grantsOf(draft).filter(({ loss }) => loss !== undefined)),
  },
  {
    title: 'one that was told of its loss is told the contrary afterwards',
    ...superseded,
    corrupt(draft, random) {
      const lost = draft.releases.filter(({ wasHeld }) => wasHeld === false)
      const release = pick(lost, random)
      if (release === undefined) return false
      Object.assign(release, {
        wasHeld: true,
        invokedAt: release.invokedAt + 100,
        settledAt: release.settledAt + 100,
      })
      return true
    },
  },
  {
    title: 'what was released is not known',
    ...nothing,
    corrupt: change(release => {
      release.acquisition = 'nothing'
    }),
  },
  {
    title: 'what was released was never granted',
    ...nothing,
    corrupt: change((release, draft) => {
      const failed = draft.acquisitions.find(({ outcome }) => outcome === 'failed')
      if (failed === undefined) return false
      release.acquisition = failed.id
      return true
    }),
  },
  {
    title: 'what was released never had a place',
    ...nothing,
    corrupt: change((_, __, grant) => {
      grant.key += '0'
    }),
  },
  {
    title: 'it is released twice',
    ...twice,
    corrupt: change((release, draft) => {
      draft.releases.push({ ...release, id: 'again' })
    }),
  },
  {
    title: 'it is released again much later',
    ...twice,
    corrupt: change((release, draft) => {
      draft.releases.push({
        ...release,
        id: 'again',
        invokedAt: release.settledAt + 99,
        settledAt: release.settledAt + 100,
      })
    }),
  },
]

tellsCorruptions('the checker of releases', checkReleases, corruptions)

test('an operator may be faster than a release, for as long as the news takes', t => {
  const race = history({
    log: [[put('l/a', 2n)], [{ kind: 'delete', key: 'l/a' }]],
    acquisitions: [acquisition('l/a', 2n, { settledAt: 5, believedUntil: 14 })],
    releases: [
      {
        id: 'r',
        process: 'p2',
        acquisition: 'a2',
        outcome: 'ok',
        wasHeld: true,
        invokedAt: 14,
        settledAt: 15,
      },
    ],
    interventions: [{ at: 10, revision: 3n, kind: 'key-deleted', keys: ['l/a'] }],
  })
  t.deepEqual(checkReleases(race, { ...exact, noticeMs: 4 }), [])
  t.deepEqual(rulesOf(checkReleases(race, { ...exact, noticeMs: 3 })), ['release-of-superseded'])
})
