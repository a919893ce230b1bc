import test from 'ava'
import { exact } from './assumptions.ts'
import { type Deep, integer, type Kind, pick, tellsBadHistories } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { Change, Commit, History } from './history.ts'
import { checkPlacesOfNobody } from './places-of-nobody.ts'
import type { SessionLife } from './sessions.ts'
import { truthOf } from './truth-of.ts'

const KEY = 'l/7'
const session: SessionLife = { id: 's1', process: 'p1', lease: 7n, openedAt: 0, believedUntil: Infinity }
const calm = { from: 1000, until: 5000, graceMs: 500 }
const wanted = { process: 'p1', invokedAt: 0, settledAt: 10 }
const held = acquisition(KEY, 2n, wanted)
const released = {
  id: 'r1',
  process: 'p1',
  acquisition: held.id,
  invokedAt: 50,
  settledAt: 60,
  outcome: 'ok',
} as const
const failed = acquisition(KEY, 2n, { ...wanted, outcome: 'failed' })
const elsewhere = acquisition('m/7', 9n, { ...wanted, process: 'p2', line: 'l/' })
const created = [put(KEY, 2n, 'v', 7n)]
const deleted = [{ kind: 'delete', key: KEY }] as const

test('a place somebody holds to the end is no place of nobody', t => {
  t.deepEqual(check({ acquisitions: [held] }), [])
})

test('a place somebody waits in is no place of nobody', t => {
  const waiting = acquisition(KEY, 2n, { ...wanted, outcome: 'failed', settledAt: 4800 })
  t.deepEqual(check({ acquisitions: [waiting] }), [])
})

test('a place whose release is not known to have come about is still its holder’s', t => {
  const release = { ...released, outcome: 'unknown' } as const
  t.deepEqual(check({ acquisitions: [held], releases: [release] }), [])
})

test('a place that is removed within the grace is none', t => {
  t.deepEqual(check({ acquisitions: [failed], gone: 1500 }), [])
})

test('a place that is removed before all is calm is none', t => {
  t.deepEqual(check({ acquisitions: [failed], gone: 900 }), [])
})

test('a place of a process that crashed goes with its lease', t => {
  t.deepEqual(check({ acquisitions: [failed], session: { ...session, diedAt: 40 } }), [])
})

test('a place of a session that ends goes with it', t => {
  t.deepEqual(check({ acquisitions: [failed], session: { ...session, believedUntil: 1400 } }), [])
})

test('a place on a lease of nobody known is none of ours', t => {
  t.deepEqual(check({ acquisitions: [failed], session: { ...session, lease: 8n } }), [])
})

const left = { ...session, id: 's0', believedUntil: 600 }
const heir = { ...session, openedAt: 700 }

test('a place that appears on a lease after it was left is none of its heir’s', t => {
  t.deepEqual(check({ acquisitions: [failed], createdAt: 650, lives: [left, heir] }), [])
  t.deepEqual(check({ acquisitions: [failed], createdAt: 800, lives: [left, heir] }), [])
})

test('a place that appears on a lease after it was left is none of its heir’s, although he asked there as well', t => {
  const asked = { ...failed, id: 'asked', invokedAt: 750, settledAt: 760 }
  t.deepEqual(check({ acquisitions: [failed, asked], createdAt: 800, lives: [left, heir] }), [])
})

test('a place that appears on a lease that was left, and that nobody has ever asked for, is found', t => {
  t.deepEqual(check({ acquisitions: [elsewhere], createdAt: 800, lives: [left, heir] }), ['place-of-nobody'])
})

test('a place that appears on a lease that is left again and again is none of the last heir’s', t => {
  const between = { ...heir, id: 's00', believedUntil: 3500 }
  const last = { ...session, openedAt: 3600 }
  t.deepEqual(check({ acquisitions: [failed], createdAt: 650, lives: [left, between, last] }), [])
})

test('a place that was there when its lease was left is found', t => {
  t.deepEqual(check({ acquisitions: [failed], createdAt: 599, lives: [left, heir] }), ['place-of-nobody'])
})

test('a place that appears in a line its heir has asked for is found', t => {
  const asked = { ...failed, invokedAt: 750, settledAt: 760 }
  t.deepEqual(check({ acquisitions: [asked], createdAt: 800, lives: [left, heir] }), ['place-of-nobody'])
})

test('a place that was given up and stays is found', t => {
  t.deepEqual(check({ acquisitions: [failed] }), ['place-of-nobody'])
})

test('a place that is left a while after all is calm is found although it goes in the end', t => {
  t.deepEqual(check({ acquisitions: [failed], gone: 1501 }), ['place-of-nobody'])
})

test('a place that was released and created again by nobody’s wish is found', t => {
  t.deepEqual(check({ acquisitions: [held], releases: [released] }), ['place-of-nobody'])
})

test('a place that appears when all is calm is found', t => {
  t.deepEqual(check({ acquisitions: [failed], createdAt: 3000 }), ['place-of-nobody'])
})

test('that an earlier session lost what it held in the same line excuses no place of a later one', t => {
  const before = acquisition('l/6', 1n, { ...wanted, settledAt: 5 })
  for (const outcome of ['unknown', 'failed'] as const) {
    const release = { ...released, acquisition: before.id, outcome }
    t.deepEqual(check({ acquisitions: [before, failed], releases: [release] }), ['place-of-nobody'], outcome)
  }
  t.deepEqual(check({ acquisitions: [before, failed] }), ['place-of-nobody'])
})

test('that another process waits in the same line excuses no place', t => {
  const another = { ...elsewhere, settledAt: 5000, outcome: 'failed' } as const
  t.deepEqual(check({ acquisitions: [failed, another] }), ['place-of-nobody'])
})

test('that the same process waits in another line excuses no place', t => {
  const another = { ...held, id: 'other', line: 'm/', key: 'm/7' }
  t.deepEqual(check({ acquisitions: [failed, another] }), ['place-of-nobody'])
})

interface Facts {
  readonly history: History
  readonly sessions: readonly SessionLife[]
}

type Acquired = Deep<History['acquisitions'][number]>

/** What became of a place of one session, by the letter with which its line begins. */
const FATES = [
  'held to the end',
  'held and released',
  'waited in to the end',
  'given up and gone',
  'left by a crash',
  'released without an answer',
  'left with its lease and had again',
  'on a lease that ends',
] as const

type Fate = (typeof FATES)[number]

/** One process for each fate, in each of two lines; each has had a session before, which it lost under a lock. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const events: { readonly at: number; readonly change: (revision: bigint) => Change }[] = []
  const sessions: Deep<SessionLife>[] = []
  const acquisitions: Acquired[] = []
  const releases: Deep<History['releases']> = []
  let lease = 0x10n
  for (const line of ['l/', 'm/'])
    for (const fate of FATES) {
      const process = `${fate} in ${line}`
      const open = (openedAt: number, believedUntil: number): Deep<SessionLife> => {
        lease += 1n
        const one = { id: `s${lease}`, process, lease, openedAt, believedUntil }
        sessions.push(one)
        return one
      }
      const place = (one: Deep<SessionLife>, from: number, until = Infinity) => {
        const key = `${line}${one.lease.toString(16)}`
        const at = { key, token: 0n }
        events.push({
          at: from,
          change: revision => {
            at.token = revision
            for (const acquired of acquisitions) if (acquired.key === key) acquired.token = revision
            return put(key, revision, 'v', one.lease)
          },
        })
        if (until < Infinity) events.push({ at: until, change: () => ({ kind: 'delete', key }) })
        return key
      }
      const ask = (key: string | undefined, invokedAt: number, settledAt: number): Acquired => {
        const outcome = key === undefined ? 'failed' : 'ok'
        const id = `a${acquisitions.length}`
        const one: Acquired = { id, process, line, invokedAt, settledAt, outcome }
        if (key !== undefined) one.key = key
        acquisitions.push(one)
        return one
      }
      const release = (of: Acquired, at: number, outcome: 'ok' | 'unknown' = 'ok') => {
        const id = `r${releases.length}`
        releases.push({ id, process, acquisition: of.id, invokedAt: at - 5, settledAt: at, outcome })
      }
      const before = open(0, 150)
      release(ask(place(before, 20, 200), 10, 30), 160, 'unknown')
      const one = open(300, Infinity)
      const from = integer(random, 320, 400)
      const late = integer(random, 1600, 2600)
      if (fate === 'held to the end') ask(place(one, from), from - 5, from + 5)
      else if (fate === 'held and released')
        release(ask(place(one, from, late), from - 5, from + 5), late + 2)
      else if (fate === 'waited in to the end') {
        place(one, from)
        ask(undefined, from - 5, calm.until - integer(random, 0, 300))
      } else if (fate === 'given up and gone') {
        place(one, from, late + integer(random, 0, 400))
        ask(undefined, from - 5, late)
      } else if (fate === 'left by a crash') {
        one.diedAt = from + 10
        place(one, from)
        ask(undefined, from - 5, from + 5)
      } else if (fate === 'released without an answer')
        release(ask(place(one, from), from - 5, from + 5), late, 'unknown')
      else if (fate === 'on a lease that ends') {
        one.believedUntil = calm.from + integer(random, 0, calm.graceMs)
        place(one, from)
        ask(undefined, from - 5, from + 5)
      } else {
        one.believedUntil = 600
        const key = place(one, from)
        ask(key, from - 5, from + 5)
        const heir = { ...one, id: `${one.id}-heir`, openedAt: 700, believedUntil: Infinity }
        sessions.push(heir)
        ask(key, 710, 720).resumes = 'before'
      }
    }
  const log = events
    .toSorted((one, other) => one.at - other.at)
    .map(({ at, change }, index) => ({
      revision: BigInt(index + 2),
      at,
      changes: [change(BigInt(index + 2))],
    }))
  return { history: { ...history(), log, acquisitions, releases }, sessions }
}

type Draft = Deep<Facts>

/** One of those with such a fate: its session, its place, and what it asked for through that session. */
function toOneOf(
  fate: Fate,
  change: (found: Found, draft: Draft, random: Random) => void,
): Kind<Facts>['corrupt'] {
  return (draft, random) => {
    const line = pick(['l/', 'm/'], random)!
    const process = `${fate} in ${line}`
    const life = draft.sessions.findLast(one => one.process === process)!
    const key = `${line}${life.lease.toString(16)}`
    const asked = draft.history.acquisitions.filter(one => one.process === process && one.invokedAt > 250)
    const gone = draft.history.log.find(({ changes: [one] }) => one?.kind === 'delete' && one.key === key)
    change({ life, key, line, process, gone, asked }, draft, random)
    return true
  }
}

interface Found {
  readonly life: Deep<SessionLife>
  readonly key: string
  readonly line: string
  readonly process: string
  readonly asked: Acquired[]
  readonly gone: Deep<Commit> | undefined
}

/** Somewhere after all is calm and there was time to put things in order. */
function appear(draft: Draft, key: string, lease: bigint, random: Random): void {
  const { log } = draft.history
  const at = integer(random, 3000, 4000)
  const revision = BigInt(log.length + 2)
  log.push({ revision, at, changes: [put(key, revision, 'v', lease) as Deep<Change>] })
}

const rules = ['place-of-nobody']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'a place that was given up stays',
    rules,
    corrupt: toOneOf('given up and gone', ({ gone }) => {
      gone!.changes = []
    }),
  },
  {
    title: 'a place that was given up stays for longer than it may',
    rules,
    corrupt: toOneOf('given up and gone', ({ gone, asked }, { history: { log } }, random) => {
      // Deletions of others are in no order with it.
      gone!.at = asked[0]!.settledAt + calm.graceMs + integer(random, 1, 900)
      log.sort((one, other) => one.at - other.at)
      for (const [index, commit] of log.entries()) commit.revision = BigInt(index + 2)
      rename(log)
    }),
  },
  {
    title: 'a place that was given up was given up sooner',
    rules,
    corrupt: toOneOf('given up and gone', ({ asked }, _, random) => {
      asked[0]!.settledAt = integer(random, 400, 900)
    }),
  },
  {
    title: 'a place that was released stays',
    rules,
    corrupt: toOneOf('held and released', ({ gone }) => {
      gone!.changes = []
    }),
  },
  {
    title: 'a place that was released is created once more',
    rules,
    corrupt: toOneOf('held and released', ({ key, life }, draft, random) =>
      appear(draft, key, life.lease, random),
    ),
  },
  {
    title: 'a place was released long before it goes',
    rules,
    corrupt: toOneOf('held and released', ({ asked }, { history: { releases } }, random) => {
      releases.find(({ acquisition: of }) => of === asked[0]!.id)!.settledAt = integer(random, 410, 900)
    }),
  },
  {
    title: 'a place is there that nobody has asked for',
    rules,
    corrupt: toOneOf('waited in to the end', ({ asked }, { history: told }) => {
      told.acquisitions = told.acquisitions.filter(one => !asked.includes(one))
    }),
  },
  {
    title: 'whoever waits in a place waits no longer',
    rules,
    corrupt: toOneOf('waited in to the end', ({ asked }, _, random) => {
      asked[0]!.settledAt = integer(random, 500, 4000)
    }),
  },
  {
    title: 'whoever waits in a place is another process',
    rules,
    corrupt: toOneOf('waited in to the end', ({ asked }, _, random) => {
      asked[0]!.process = `another ${integer(random, 1, 9)}`
    }),
  },
  {
    title: 'whoever waits in a place waits in another line',
    rules,
    corrupt: toOneOf('waited in to the end', ({ asked }, _, random) => {
      asked[0]!.line = `other ${integer(random, 1, 9)}/`
    }),
  },
  {
    title: 'what is held is held by an earlier session, which lost it',
    rules,
    corrupt: toOneOf('held to the end', ({ asked, life, line }) => {
      asked[0]!.key = `${line}${(life.lease - 1n).toString(16)}`
    }),
  },
  {
    title: 'what is held was never granted',
    rules,
    corrupt: toOneOf('held to the end', ({ asked }) => {
      asked[0]!.outcome = 'failed'
      delete asked[0]!.key
    }),
  },
  {
    title: 'what was released without an answer was released in good order, and stays',
    rules,
    corrupt: toOneOf('released without an answer', ({ asked }, { history: { releases } }) => {
      releases.find(({ acquisition: of }) => of === asked[0]!.id)!.outcome = 'ok'
    }),
  },
  {
    title: 'whoever had crashed lives, and its place stays',
    rules,
    corrupt: toOneOf('left by a crash', ({ life }) => {
      delete life.diedAt
    }),
  },
  {
    title: 'a lease that was to end goes on, with a place that was given up',
    rules,
    corrupt: toOneOf('on a lease that ends', ({ life }, _, random) => {
      life.believedUntil = calm.from + calm.graceMs + integer(random, 1, 2000)
    }),
  },
  {
    title: 'whoever goes on with a lease does not ask for what was left with it',
    rules,
    corrupt: toOneOf('left with its lease and had again', ({ asked }, { history: told }) => {
      told.acquisitions = told.acquisitions.filter(one => !asked.includes(one))
    }),
  },
  {
    title: 'whoever goes on with a lease asks for another place, gives up, and that stays',
    rules,
    corrupt: toOneOf('left with its lease and had again', ({ life, process }, draft, random) => {
      const asked = { id: 'other', process, line: 'n/', invokedAt: 900, settledAt: 910 } as const
      draft.history.acquisitions.push({ ...asked, outcome: 'failed' })
      appear(draft, `n/${life.lease.toString(16)}`, life.lease, random)
    }),
  },
]

/** Creations are of the revision of their commits. */
function rename(log: Deep<readonly Commit[]>): void {
  for (const { revision, changes } of log)
    for (const change of changes) if (change.kind === 'put') change.createRevision = revision
}

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of places of nobody',
  good: drawn,
  check: ({ history: told, sessions }) => checkPlacesOfNobody(told, sessions, calm, truthOf(told, exact)),
  kinds,
})

function check({
  createdAt = 20,
  gone,
  session: one = session,
  lives = [one],
  ...rest
}: Partial<Pick<History, 'acquisitions' | 'releases'>> & {
  readonly createdAt?: number
  readonly gone?: number
  readonly session?: SessionLife
  readonly lives?: readonly SessionLife[]
}): readonly string[] {
  const told = history({
    log: gone === undefined ? [created] : [created, deleted],
    times: gone === undefined ? [createdAt] : [createdAt, gone],
    ...rest,
  })
  return checkPlacesOfNobody(told, lives, calm, truthOf(told, exact)).map(({ rule }) => rule)
}
