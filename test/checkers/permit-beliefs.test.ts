import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { history } from './hand-written.ts'
import type { Change, Commit, History } from './history.ts'
import { checkPermitBeliefs, type PermitGrant } from './permit-beliefs.ts'

const LINE = 'jobs/'

interface Facts {
  readonly history: History
  readonly grants: readonly PermitGrant[]
}

/** Permits that are had, one or several at once, and given back, lost, left and had again, or taken by an operator. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const events: { readonly at: number; readonly apply: (revision: bigint) => readonly Change[] }[] = []
  const grants: Deep<PermitGrant>[] = []
  const stalls: History['stalls'][number][] = []
  const interventions: Deep<History['interventions']> = []
  for (let index = 0; index < 14; index += 1) {
    const process = `p${index}`
    const count = random() < 0.6 ? 1 : integer(random, 2, 3)
    const keys = Array.from({ length: count }, (_, each) => `${LINE}s/${index}-${each}`)
    const createdAt = 100 * index + integer(random, 10, 60)
    const settledAt = createdAt + integer(random, 1, 5)
    const goneAt = createdAt + integer(random, 200, 900)
    const grant: Deep<PermitGrant> = {
      id: `a${index}`,
      process,
      line: LINE,
      invokedAt: createdAt - integer(random, 1, 5),
      settledAt,
      keys,
      token: 0n,
      believedUntil: goneAt - integer(random, 0, 100),
    }
    grants.push(grant)
    events.push({
      at: createdAt,
      apply: revision => {
        grant.token = revision
        return keys.map(key => put(key, revision))
      },
    })
    const fate = index < 7 ? index : integer(random, 0, 6)
    const gone = () => events.push({ at: goneAt, apply: () => keys.map(key => ({ kind: 'delete', key })) })
    if (fate === 0) grant.believedUntil = Infinity
    else if (fate === 1) {
      gone()
      Object.assign(grant, { believedUntil: Infinity, diedAt: goneAt - integer(random, 0, 100) })
    } else if (fate === 2) {
      gone()
      stalls.push({ process, from: goneAt - 50, until: goneAt + 500 })
      grant.believedUntil = goneAt + 500
    } else if (fate === 3) {
      // The last of them alone.
      const key = keys.at(-1)!
      events.push({
        at: goneAt,
        apply: revision => {
          interventions.push({ at: goneAt, revision, kind: 'key-deleted', keys: [key] })
          return [{ kind: 'delete', key }]
        },
      })
      grant.believedUntil = goneAt + integer(random, 1, 50)
    } else gone()
    if (fate !== 4) continue
    // It is had again in the middle.
    const again = { ...grant, id: `b${index}`, invokedAt: settledAt + 100, settledAt: settledAt + 110 }
    grant.believedUntil = settledAt + 90
    Object.defineProperty(again, 'token', { get: () => grant.token, enumerable: true })
    grants.push(Object.assign(again, { resumes: grant.id }))
  }
  const log: Commit[] = []
  for (const { at, apply } of events.toSorted((one, other) => one.at - other.at)) {
    const revision = BigInt(log.length + 2)
    log.push({ revision, at, changes: apply(revision) })
  }
  const bare = { ...history(), log, stalls, interventions }
  return { history: bare, grants: grants.map(grant => ({ ...grant })) }
}

function put(key: string, createRevision: bigint): Change {
  return { kind: 'put', key, value: 'v', createRevision, version: 1n, lease: 7n }
}

type Grant = Deep<PermitGrant>

function goneAt({ history: { log } }: Deep<Facts>, { keys, token }: Grant): number {
  const gone = log.find(
    ({ revision, changes }) =>
      revision > token && changes.some(change => change.kind === 'delete' && keys.includes(change.key)),
  )
  return gone?.at ?? Infinity
}

function creation({ history: { log } }: Deep<Facts>, { token }: Grant): Deep<Commit> {
  return log.find(({ revision }) => revision === token)!
}

/** Nothing but its end ends it. */
function isPlain({ history: { stalls, interventions } }: Deep<Facts>, { process, keys }: Grant): boolean {
  return (
    stalls.every(stall => stall.process !== process) &&
    interventions.every(({ keys: [key] }) => !keys.includes(key!))
  )
}

function toGrant(
  fits: (grant: Grant, draft: Deep<Facts>) => boolean,
  change: (grant: Grant, draft: Deep<Facts>, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.grants,
      random,
      grant => fits(grant, draft),
      grant => change(grant, draft, random),
    )
}

const ends = (grant: Grant, draft: Deep<Facts>) =>
  isPlain(draft, grant) && goneAt(draft, grant) < Infinity && grant.diedAt === undefined
const isFirst = ({ resumes }: Grant) => resumes === undefined
const beyond = ['permit-believed-beyond']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'somebody believes in a permit after it has gone',
    rules: beyond,
    corrupt: toGrant(ends, (grant, draft, random) => {
      grant.believedUntil = goneAt(draft, grant) + integer(random, 1, 500)
    }),
  },
  {
    title: 'somebody believes in a permit for a moment after it has gone',
    rules: beyond,
    corrupt: toGrant(ends, (grant, draft) => {
      grant.believedUntil = goneAt(draft, grant) + 0.01
    }),
  },
  {
    title: 'somebody believes in a permit for ever',
    rules: beyond,
    corrupt: toGrant(ends, grant => {
      grant.believedUntil = Infinity
    }),
  },
  {
    title: 'somebody believes in a permit until he dies, long after it has gone',
    rules: beyond,
    corrupt: toGrant(
      ({ diedAt }) => diedAt !== undefined,
      (grant, draft, random) => {
        grant.diedAt = goneAt(draft, grant) + integer(random, 1, 300)
      },
    ),
  },
  {
    title: 'one of several permits goes before the others',
    rules: beyond,
    corrupt: toGrant(
      (grant, draft) => ends(grant, draft) && grant.keys.length > 1,
      (grant, { history: { log } }, random) => {
        const key = pick(grant.keys, random)!
        const early = log.find(({ at }) => at > grant.settledAt && at < grant.believedUntil)!
        early.changes.push({ kind: 'delete', key })
      },
    ),
  },
  {
    title: 'a permit goes early, and nobody took it',
    rules: beyond,
    corrupt: toGrant(
      (grant, draft) => goneAt(draft, grant) === Infinity && isPlain(draft, grant),
      (grant, { history: { log } }) => {
        const early = log.find(({ at }) => at > grant.settledAt)!
        early.changes.push(...grant.keys.map(key => ({ kind: 'delete' as const, key })))
      },
    ),
  },
  {
    title: 'somebody believes before he stands still in a permit that has gone',
    rules: beyond,
    corrupt: toGrant(
      (grant, draft) => !isPlain(draft, grant) && grant.believedUntil - goneAt(draft, grant) === 500,
      (grant, draft) => {
        const stall = draft.history.stalls.find(({ process }) => process === grant.process)!
        stall.from = goneAt(draft, grant) + 501
        stall.until = stall.from + 100
      },
    ),
  },
  {
    title: 'somebody believes while another stands still in a permit that has gone',
    rules: beyond,
    corrupt: toGrant(
      (grant, draft) => !isPlain(draft, grant) && grant.believedUntil - goneAt(draft, grant) === 500,
      (grant, draft, random) => {
        const stall = draft.history.stalls.find(({ process }) => process === grant.process)!
        stall.process = `another ${integer(random, 1, 9)}`
      },
    ),
  },
  {
    title: 'somebody believes in a permit that is gone, and an operator took another',
    rules: beyond,
    corrupt: (draft, random) =>
      toOne(
        draft.history.interventions,
        random,
        () => true,
        intervention => {
          intervention.keys = [`${LINE}s/another`]
        },
      ),
  },
  {
    title: 'somebody believes in a permit that is gone, and an operator took it only later',
    rules: beyond,
    corrupt: (draft, random) =>
      toOne(
        draft.history.interventions,
        random,
        () => true,
        intervention => {
          intervention.at += integer(random, 100, 500)
        },
      ),
  },
  {
    title: 'a permit is given that the server did not write',
    rules: ['permit-never-given'],
    corrupt: toGrant(isHadOnce, (grant, draft, random) => {
      const { changes } = creation(draft, grant)
      const key = pick(grant.keys, random)
      changes.splice(
        changes.findIndex(change => change.key === key),
        1,
      )
    }),
  },
  {
    title: 'another permit is given than the server wrote',
    rules: ['permit-never-given'],
    corrupt: toGrant(isHadOnce, (grant, _, random) => {
      grant.keys[integer(random, 0, grant.keys.length - 1)] = `${LINE}s/other`
    }),
  },
  {
    title: 'two are given one permit with one token',
    rules: ['token-repeated'],
    corrupt: toGrant(
      grant => isFirst(grant),
      (grant, draft) => {
        draft.grants.push({ ...grant, keys: [...grant.keys], id: 'double', process: 'double', invokedAt: 0 })
        // Nobody stands still or is taken from but whom the history says.
        draft.grants.at(-1)!.believedUntil = grant.settledAt
      },
    ),
  },
  {
    title: 'a token comes that is below one given before',
    rules: ['token-not-rising'],
    corrupt: toGrant(
      (grant, draft) =>
        isFirst(grant) && draft.grants.some(({ invokedAt }) => invokedAt > grant.settledAt + 200),
      (grant, draft) => {
        const { at } = draft.history.log.at(-1)!
        const last = Math.max(at, ...draft.grants.map(({ settledAt }) => settledAt))
        Object.assign(grant, { invokedAt: last + 1, settledAt: last + 2 })
        grant.believedUntil = Math.min(grant.believedUntil, at)
      },
    ),
  },
  {
    title: 'a permit is had again that another had before',
    rules: ['token-resumed-wrongly'],
    corrupt: toGrant(
      grant => !isFirst(grant),
      grant => {
        grant.process = 'another'
      },
    ),
  },
]

function isHadOnce(grant: Grant, { grants }: Deep<Facts>): boolean {
  return isFirst(grant) && grants.every(({ resumes }) => resumes !== grant.id)
}

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of beliefs in permits',
  good: drawn,
  check: ({ history: told, grants }) => checkPermitBeliefs(told, grants),
  kinds,
})
