import { type Deep, integer, type Kind, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { history, put } from './hand-written.ts'
import type { Commit, History } from './history.ts'
import { checkRevocations, type Revocation, type RevocationUse } from './revocations.ts'

const SOON_MS = 100
const HELD_UP_MS = 1000

interface Facts {
  readonly history: History
  readonly use: RevocationUse
}

/**
 * Holders that were asked to unlock, one by one: in time, before they were asked, late since somebody stood still,
 * on leases that were left, and on keys that were written over.
 */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const log: Commit[] = []
  const stalls: History['stalls'][number][] = []
  const interventions: History['interventions'][number][] = []
  const revocations: Revocation[] = []
  const left: bigint[] = []
  let at = 0
  const commit = (...changes: Commit['changes']) => {
    log.push({ revision: BigInt(log.length + 2), at, changes })
    return BigInt(log.length + 1)
  }
  for (let index = 0; index < 12; index += 1) {
    const lease = BigInt(0x7000 + index)
    const key = `locks/0/${lease.toString(16)}`
    at += integer(random, 10, 50)
    const token = commit(put(key, BigInt(log.length + 2), 'v', lease))
    const askedAt = at + integer(random, 20, 60)
    at = askedAt
    revocations.push({ key, token, askedAt })
    const fate = index < 6 ? index : integer(random, 0, 5)
    if (fate === 1) at = askedAt - integer(random, 1, 10)
    else if (fate === 2) {
      const from = askedAt + integer(random, -40, 90)
      const until = Math.max(from, askedAt) + integer(random, 100, 400)
      stalls.push({ process: `p${index}`, from, until })
      at = askedAt + SOON_MS + integer(random, 1, HELD_UP_MS)
    } else if (fate === 3) {
      left.push(lease)
      at = askedAt + integer(random, 200, 3000)
    } else if (fate === 4) {
      at += integer(random, 1, SOON_MS)
      const revision = commit({ ...put(key, token, 'spoilt', 0n) })
      interventions.push({ at, revision, kind: 'key-overwritten', keys: [key] })
      at += integer(random, 200, 3000)
    } else at += integer(random, 1, SOON_MS)
    commit({ kind: 'delete', key })
    // Far from each other, so that no stall is that of two.
    at = Math.max(at, askedAt) + 1000
  }
  const use = { revocations, soonMs: SOON_MS, heldUpMs: HELD_UP_MS, isAnyoneStruck: false, left }
  return { history: { ...history(), log, stalls, interventions }, use }
}

type Draft = Deep<Facts>
type Asked = Deep<Revocation>

function deletion({ history: { log } }: Draft, { key }: Asked): Deep<Commit> {
  return log.find(({ changes: [change] }) => change?.kind === 'delete' && change.key === key)!
}

function goneAfterMs(draft: Draft, one: Asked): number {
  return deletion(draft, one).at - one.askedAt
}

function stallOf(
  { history: { stalls } }: Draft,
  { askedAt }: Asked,
): Deep<History['stalls'][number]> | undefined {
  return stalls.find(({ from, until }) => from < askedAt + SOON_MS && until > askedAt)
}

function isLeft({ use }: Draft, { key }: Asked): boolean {
  return use.left.some(lease => key.endsWith(lease.toString(16)))
}

function isOverwritten({ history: { interventions } }: Draft, { key }: Asked): boolean {
  return interventions.some(({ keys }) => keys.includes(key))
}

const isPlain = (draft: Draft, one: Asked) =>
  !isLeft(draft, one) && !isOverwritten(draft, one) && stallOf(draft, one) === undefined

/** Later, and everything that follows, too. */
function putOff(draft: Draft, one: Asked, ms: number): void {
  const gone = deletion(draft, one)
  const by = one.askedAt + ms - gone.at
  const from = gone.at
  const index = draft.history.log.indexOf(gone)
  for (const commit of draft.history.log.slice(index)) commit.at += by
  for (const stall of draft.history.stalls)
    if (stall.from > from) Object.assign(stall, { from: stall.from + by, until: stall.until + by })
  for (const intervention of draft.history.interventions) if (intervention.at > from) intervention.at += by
  for (const other of draft.use.revocations) if (other !== one && other.askedAt > from) other.askedAt += by
}

function toAsked(
  fits: (draft: Draft, one: Asked) => boolean,
  change: (one: Asked, draft: Draft, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.use.revocations,
      random,
      one => fits(draft, one),
      one => change(one, draft, random),
    )
}

const rules = ['revocation-unheard']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'whoever was asked lets go a little too late',
    rules,
    corrupt: toAsked(isPlain, (one, draft) => putOff(draft, one, SOON_MS + 0.5)),
  },
  {
    title: 'whoever was asked lets go far too late',
    rules,
    corrupt: toAsked(isPlain, (one, draft, random) => putOff(draft, one, integer(random, 200, 900))),
  },
  {
    title: 'whoever was asked never lets go',
    rules,
    corrupt: toAsked(isPlain, (one, draft) => {
      deletion(draft, one).changes = []
    }),
  },
  {
    title: 'whoever was asked lets go of another key',
    rules,
    corrupt: toAsked(isPlain, (one, draft, random) => {
      deletion(draft, one).changes = [{ kind: 'delete', key: `locks/${integer(random, 1, 99)}/7000` }]
    }),
  },
  {
    title: 'the place that was asked for went before, and that of whoever stands there now does not',
    rules,
    corrupt: toAsked(isPlain, (one, draft, random) => {
      one.token = deletion(draft, one).revision + BigInt(integer(random, 0, 1))
    }),
  },
  {
    title: 'whoever stood still lets go later than that explains',
    rules,
    corrupt: toAsked(
      (draft, one) => stallOf(draft, one) !== undefined && !isLeft(draft, one),
      (one, draft, random) => {
        const stoodMs = draft.history.stalls.reduce((sum, { from, until }) => sum + until - from, 0)
        putOff(draft, one, SOON_MS + HELD_UP_MS + stoodMs + integer(random, 1, 500))
      },
    ),
  },
  {
    title: 'whoever is late stood still before he was asked',
    rules,
    corrupt: toAsked(
      (draft, one) =>
        stallOf(draft, one) !== undefined && !isLeft(draft, one) && goneAfterMs(draft, one) > SOON_MS,
      (one, draft, random) => {
        const stall = stallOf(draft, one)!
        stall.from = one.askedAt - 45
        stall.until = one.askedAt - integer(random, 0, 40)
      },
    ),
  },
  {
    title: 'whoever is late stood still when he was to have let go',
    rules,
    corrupt: toAsked(
      (draft, one) =>
        stallOf(draft, one) !== undefined && !isLeft(draft, one) && goneAfterMs(draft, one) > SOON_MS,
      (one, draft, random) => {
        const stall = stallOf(draft, one)!
        stall.from = one.askedAt + SOON_MS + integer(random, 0, 40)
        stall.until = stall.from + 50
      },
    ),
  },
  {
    title: 'whoever is late stood still according to nobody',
    rules,
    corrupt: toAsked(
      (draft, one) => stallOf(draft, one) !== undefined && goneAfterMs(draft, one) > SOON_MS,
      (one, draft) => {
        const stall = stallOf(draft, one)
        draft.history.stalls = draft.history.stalls.filter(other => other !== stall)
      },
    ),
  },
  {
    title: 'whoever is late has not left his lease to anybody',
    rules,
    corrupt: toAsked(isLeft, (one, { use }) => {
      use.left = use.left.filter(lease => !one.key.endsWith(lease.toString(16)))
    }),
  },
  {
    title: 'whoever is late has left another lease',
    rules,
    corrupt: toAsked(isLeft, (one, { use }, random) => {
      const index = use.left.findIndex(lease => one.key.endsWith(lease.toString(16)))
      use.left[index] = BigInt(integer(random, 0x8000, 0x8fff))
    }),
  },
  {
    title: 'nobody wrote over the key that stays',
    rules,
    corrupt: toAsked(isOverwritten, (one, { history: told }) => {
      told.interventions = told.interventions.filter(({ keys }) => !keys.includes(one.key))
    }),
  },
  {
    title: 'an operator did something else to the key that stays than to write over it',
    rules,
    corrupt: toAsked(isOverwritten, (one, { history: told }, random) => {
      const intervention = told.interventions.find(({ keys }) => keys.includes(one.key))!
      intervention.kind = random() < 0.5 ? 'lease-revoked' : 'lease-expired-early'
    }),
  },
  {
    title: 'somebody wrote over the key only when it should have been gone',
    rules,
    corrupt: toAsked(isOverwritten, (one, { history: told }, random) => {
      const intervention = told.interventions.find(({ keys }) => keys.includes(one.key))!
      intervention.at = one.askedAt + SOON_MS + integer(random, 1, 90)
    }),
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of requests to unlock',
  good: drawn,
  check: ({ history: told, use }) => checkRevocations(told, use),
  kinds,
})
