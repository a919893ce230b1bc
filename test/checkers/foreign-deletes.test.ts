import test from 'ava'
import { pick } from './bad-histories.ts'
import {
  type Corruption,
  type Draft,
  type Grant,
  goneAt,
  grantRules,
  grantsOf,
  lifeOf,
  moveDelete,
  quiet,
  released,
  tellsCorruptions,
} from './corrupt.ts'
import { checkForeignDeletes } from './foreign-deletes.ts'
import { acquisition, history, put } from './hand-written.ts'

const foreign = {
  rules: ['foreign-delete'],
  also: [...grantRules, 'log-wrong-version', 'log-delete-of-nothing'],
}

type Release = Draft['releases'][number]

/** Its process goes on believing, and the release is changed. */
function believing(change: (release: Release, draft: Draft, grant: Grant) => void): Corruption['corrupt'] {
  return (draft, random) => {
    const found = pick(released(draft), random)
    if (found === undefined) return false
    const gone = goneAt(draft, found.grant)
    if (gone === Infinity || lifeOf(draft, found.grant).leaseEnded) return false
    found.grant.believedUntil = gone + 1
    change(found.release, draft, found.grant)
    return true
  }
}

function earlier(part: number): Corruption['corrupt'] {
  return (draft, random) => {
    const { grant } = pick(released(draft), random) ?? {}
    if (grant === undefined) return false
    const { settledAt, believedUntil } = grant
    const from = settledAt + (believedUntil! - settledAt) * part
    return moveDelete(draft, grant, at => at > from && at < believedUntil! - 0.01)
  }
}

function deprived(
  change: (intervention: Draft['interventions'][number], draft: Draft) => void,
): Corruption['corrupt'] {
  return (draft, random) => {
    const all = grantsOf(draft).flatMap(grant => {
      const { gone, leaseEnded } = lifeOf(draft, grant)
      const commit = draft.log[gone]
      const intervention = draft.interventions.find(
        ({ revision, kind }) => kind === 'key-deleted' && revision === commit?.revision,
      )
      const until = grant.believedUntil ?? Infinity
      return intervention !== undefined && !leaseEnded && grant.settledAt < commit!.at && commit!.at < until
        ? [intervention]
        : []
    })
    const intervention = pick(all, random)
    if (intervention === undefined) return false
    change(intervention, draft)
    return true
  }
}

const corruptions: readonly Corruption[] = [
  {
    title: 'nobody had released the place',
    ...foreign,
    corrupt: believing((release, draft) => {
      draft.releases = draft.releases.filter(other => other !== release)
    }),
  },
  {
    title: 'the release had done nothing',
    ...foreign,
    corrupt: believing(release => {
      release.outcome = 'failed'
    }),
  },
  {
    title: 'the release was that of another acquisition',
    ...foreign,
    corrupt: believing(release => {
      release.acquisition = 'another'
    }),
  },
  {
    title: 'the release was that of the one before',
    ...foreign,
    corrupt: believing((release, draft, grant) => {
      release.acquisition = draft.acquisitions.find(({ id }) => id !== grant.id)!.id
    }),
  },
  {
    title: 'the release began only afterwards',
    ...foreign,
    corrupt: believing((release, draft, grant) => {
      release.invokedAt = goneAt(draft, grant) + 0.5
    }),
  },
  { title: 'the place goes in the middle of a belief', ...foreign, corrupt: earlier(0.3) },
  { title: 'the place goes late in a belief', ...foreign, corrupt: earlier(0.6) },
  { title: 'the place goes as soon as it is believed in', ...foreign, corrupt: earlier(0) },
  {
    title: 'an operator is not known to have taken it',
    ...foreign,
    corrupt: deprived((intervention, draft) => {
      draft.interventions = draft.interventions.filter(other => other !== intervention)
    }),
  },
  {
    title: 'an operator took it at another revision',
    ...foreign,
    corrupt: deprived(intervention => {
      intervention.revision -= 1n
    }),
  },
  {
    title: 'an operator took another key',
    ...foreign,
    corrupt: deprived(intervention => {
      intervention.keys = ['locks/0/other']
    }),
  },
  {
    title: 'an operator only wrote to it',
    ...foreign,
    corrupt: deprived(intervention => {
      intervention.kind = 'key-overwritten'
    }),
  },
  {
    title: 'a lease is said to have ended, but another key of it stays',
    ...foreign,
    corrupt(draft, random) {
      const ended = grantsOf(draft).filter(
        grant =>
          lifeOf(draft, grant).leaseEnded &&
          !draft.releases.some(release => release.acquisition === grant.id),
      )
      const grant = pick(
        ended.filter(each => draft.log[lifeOf(draft, each).gone]!.changes.length > 1),
        random,
      )
      if (grant === undefined) return false
      const commit = draft.log[lifeOf(draft, grant).gone]!
      quiet(draft)
      draft.interventions = []
      commit.changes = commit.changes.filter(({ key }) => key === grant.key)
      delete grant.diedAt
      grant.believedUntil = commit.at + 1
      return grant.settledAt < commit.at
    },
  },
]

tellsCorruptions('the checker of foreign deletes', checkForeignDeletes, corruptions)

test('a lease that is used again had not ended', t => {
  const place = put('l/a', 2n, 'v', 7n)
  const log = [[place], [{ kind: 'delete' as const, key: 'l/a' }]]
  const acquisitions = [acquisition('l/a', 2n, { settledAt: 5, believedUntil: 99 })]
  t.deepEqual(checkForeignDeletes(history({ log, acquisitions })), [])
  const used = history({ log: [...log, [put('l/b', 4n, 'v', 7n)]], acquisitions })
  t.deepEqual(
    checkForeignDeletes(used).map(({ rule, involved }) => ({ rule, involved })),
    [{ rule: 'foreign-delete', involved: ['a2', 'revision 3'] }],
  )
})

test('a place whose process does not believe any more may go any way', t => {
  const lost = history({
    log: [[put('l/a', 2n)], [{ kind: 'delete', key: 'l/a' }]],
    acquisitions: [acquisition('l/a', 2n, { settledAt: 5, believedUntil: 9, loss: 'SESSION_LOST' })],
  })
  t.deepEqual(checkForeignDeletes(lost), [])
})
