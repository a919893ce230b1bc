import test from 'ava'
import { type Deep, integer, type Kind, pick, tellsBadHistories, toOne } from './bad-histories.ts'
import { type Random, seeded } from './good-history.ts'
import type { Stall } from './history.ts'
import { checkSessions, type SessionLife } from './sessions.ts'

const sound = { clockSlackMs: 0, hostile: false, toldWithinMs: 100 }
const open: SessionLife = { id: 's1', process: 'p1', lease: 7n, openedAt: 0, believedUntil: Infinity }

const good: readonly { readonly title: string; readonly session: SessionLife; readonly stalls?: Stall[] }[] =
  [
    { title: 'its lease lives on', session: open },
    { title: 'it is given up before its lease runs out', session: lived({ believedUntil: 999 }) },
    { title: 'it is given up in the very instant', session: lived({ believedUntil: 1000 }) },
    { title: 'its process is gone before its lease', session: lived({ diedAt: 900 }) },
    { title: 'an operator takes it, and it is told in time', session: taken({ believedUntil: 1100 }) },
    {
      title: 'its process stands still until it gives it up',
      session: lived({ believedUntil: 5000 }),
      stalls: [stall(900, 5000)],
    },
    {
      title: 'its process stands still twice, in stalls that overlap',
      session: lived({ believedUntil: 5000 }),
      stalls: [stall(2000, 5000), stall(900, 3000)],
    },
    {
      title: 'an operator takes it while its process stands still',
      session: taken({ believedUntil: 5050 }),
      stalls: [stall(900, 5000)],
    },
    {
      title: 'it is closed in good order',
      session: { ...open, believedUntil: 500, closed: { at: 520, leaseWasThere: false } },
    },
    {
      title: 'it is opened when its lease has run out, and not relied on',
      session: lived({ openedAt: 2000, believedUntil: 2000 }),
    },
  ]

for (const { title, session, stalls = [] } of good)
  test(`a session is as promised when ${title}`, t => {
    t.deepEqual(checkSessions([session], stalls, sound), [])
  })

interface Facts {
  readonly sessions: readonly SessionLife[]
  readonly stalls: readonly Stall[]
}

/** Sessions of every kind, each in order, one for each process. */
function drawn(seed: number): Facts {
  const random = seeded(seed)
  const sessions: SessionLife[] = []
  const stalls: Stall[] = []
  for (let index = 0; index < 12; index += 1) {
    const process = `p${index}`
    const openedAt = integer(random, 0, 500)
    const session = { ...open, id: `s${index}`, process, lease: BigInt(index), openedAt }
    const at = openedAt + integer(random, 500, 2000)
    const early = openedAt + integer(random, 10, 480)
    const ended = { ...session, leaseEnded: { at, by: 'time' } as const }
    const taken = { ...session, leaseEnded: { at, by: 'operator' } as const }
    const until = at + integer(random, 500, 3000)
    const lives: readonly (() => SessionLife)[] = [
      () => session,
      () => ({ ...ended, believedUntil: at - integer(random, 0, 300) }),
      () => ({ ...ended, diedAt: at - integer(random, 0, 300) }),
      () => ({ ...taken, believedUntil: at + integer(random, 0, 100) }),
      () => ({ ...session, believedUntil: early, closed: { at: early + 20, leaseWasThere: false } }),
      () => {
        stalls.push({ process, from: at - integer(random, 0, 100), until })
        return { ...ended, believedUntil: until }
      },
      () => {
        const middle = integer(random, at + 50, until - 50)
        stalls.push({ process, from: middle - 50, until }, { process, from: at - 20, until: middle })
        return { ...ended, believedUntil: until }
      },
      () => {
        stalls.push({ process, from: at - integer(random, 0, 100), until })
        return { ...taken, believedUntil: until + integer(random, 0, 100) }
      },
    ]
    sessions.push((index < lives.length ? lives[index]! : pick(lives, random)!)())
  }
  return { sessions, stalls }
}

type Life = Deep<SessionLife>
type Change = (life: Life, draft: Deep<Facts>, random: Random) => void

const isOf = (by: 'time' | 'operator', stands: boolean) => (life: Life, draft: Deep<Facts>) =>
  life.leaseEnded?.by === by &&
  life.diedAt === undefined &&
  draft.stalls.some(({ process }) => process === life.process) === stands

function one(fits: (life: Life, draft: Deep<Facts>) => boolean, change: Change): Kind<Facts>['corrupt'] {
  return (draft, random) =>
    toOne(
      draft.sessions,
      random,
      life => fits(life, draft),
      life => change(life, draft, random),
    )
}

const beyond = ['session-beyond-lease']
const notTold = ['session-not-told']

const kinds: readonly Kind<Facts>[] = [
  {
    title: 'a session is relied on after its lease has run out',
    rules: beyond,
    corrupt: one(isOf('time', false), (life, _, random) => {
      life.believedUntil = life.leaseEnded!.at + (random() < 0.5 ? 0.01 : integer(random, 1, 900))
    }),
  },
  {
    title: 'a session is relied on for ever',
    rules: beyond,
    corrupt: one(isOf('time', false), life => {
      life.believedUntil = Infinity
    }),
  },
  {
    title: 'a session is relied on until its process dies, and its lease had run out before',
    rules: beyond,
    corrupt: one(
      ({ diedAt }) => diedAt !== undefined,
      (life, _, random) => {
        life.diedAt = life.leaseEnded!.at + integer(random, 1, 500)
      },
    ),
  },
  {
    title: 'the lease of a session runs out sooner than its process thinks',
    rules: beyond,
    corrupt: one(isOf('time', false), (life, _, random) => {
      life.leaseEnded!.at = life.believedUntil - integer(random, 1, 5)
    }),
  },
  {
    title: 'a session is relied on before its process stands still',
    rules: beyond,
    corrupt: one(isOf('time', true), (life, draft, random) => {
      const ms = integer(random, 1, 40)
      for (const stall of draft.stalls)
        if (stall.process === life.process) stall.from = Math.max(stall.from, life.leaseEnded!.at + ms)
    }),
  },
  {
    title: 'a session is relied on after its process stood still',
    rules: beyond,
    corrupt: one(isOf('time', true), (life, _, random) => {
      life.believedUntil += integer(random, 1, 500)
    }),
  },
  {
    title: 'a session is relied on between two stalls',
    rules: beyond,
    corrupt: one(
      (life, draft) =>
        isOf('time', true)(life, draft) &&
        draft.stalls.filter(({ process }) => process === life.process).length === 2,
      (life, draft, random) => {
        const [later, sooner] = draft.stalls.filter(({ process }) => process === life.process)
        sooner!.until = later!.from - integer(random, 1, 5)
      },
    ),
  },
  {
    title: 'a session is relied on while another process stands still',
    rules: beyond,
    corrupt: one(isOf('time', true), (life, draft) => {
      for (const stall of draft.stalls) if (stall.process === life.process) stall.process = 'another'
    }),
  },
  {
    title: 'a session is relied on that was opened when its lease had run out',
    rules: beyond,
    corrupt: one(isOf('time', false), (life, _, random) => {
      life.openedAt = life.leaseEnded!.at + integer(random, 1, 900)
      life.believedUntil = life.openedAt + integer(random, 1, 9)
    }),
  },
  {
    title: 'a lease that was to live has run out, and its session is relied on',
    rules: beyond,
    corrupt: one(
      ({ leaseEnded, closed }) => leaseEnded === undefined && closed === undefined,
      (life, _, random) => {
        life.leaseEnded = { at: life.openedAt + integer(random, 1, 900), by: 'time' }
      },
    ),
  },
  {
    title: 'a process is told too late that an operator took its lease',
    rules: notTold,
    corrupt: one(isOf('operator', false), (life, _, random) => {
      life.believedUntil = life.leaseEnded!.at + integer(random, 101, 500)
    }),
  },
  {
    title: 'a process is never told that an operator took its lease',
    rules: notTold,
    corrupt: one(isOf('operator', false), life => {
      life.believedUntil = Infinity
    }),
  },
  {
    title: 'a process that stood still is told too late that an operator took its lease',
    rules: notTold,
    corrupt: one(isOf('operator', true), (life, draft, random) => {
      const { until } = draft.stalls.find(({ process }) => process === life.process)!
      life.believedUntil = until + integer(random, 101, 500)
    }),
  },
  {
    title: 'a session was closed, and its lease was there',
    rules: ['lease-left-by-close'],
    corrupt: one(
      ({ closed }) => closed !== undefined,
      life => {
        life.closed!.leaseWasThere = true
      },
    ),
  },
  {
    title: 'a session was closed after its lease had run out, relied on, and its lease was there',
    rules: [...beyond, 'lease-left-by-close'],
    corrupt: one(isOf('time', false), (life, _, random) => {
      const at = life.leaseEnded!.at + integer(random, 2, 90)
      Object.assign(life, { believedUntil: at - 1, closed: { at, leaseWasThere: true } })
    }),
  },
]

tellsBadHistories<Facts, Kind<Facts>>({
  name: 'the checker of sessions',
  good: drawn,
  check: ({ sessions, stalls }) => checkSessions(sessions, stalls, sound),
  kinds,
})

test('only the session that is not as promised is told of', t => {
  const violations = checkSessions([open, { ...lived({}), id: 's2' }], [], sound)
  t.deepEqual(
    violations.map(({ rule, involved }) => [rule, involved]),
    [['session-beyond-lease', ['s2']]],
  )
})

test('of a hostile server only what close left is asked', t => {
  const hostile = { ...sound, hostile: true }
  t.deepEqual(checkSessions([lived({}), taken({})], [], hostile), [])
  const [violation] = checkSessions([{ ...lived({}), closed: { at: 1, leaseWasThere: true } }], [], hostile)
  t.is(violation?.rule, 'lease-left-by-close')
})

test('clocks that may run apart are given their slack', t => {
  const slack = { ...sound, clockSlackMs: 50 }
  t.deepEqual(checkSessions([lived({ believedUntil: 1050 })], [], slack), [])
  t.is(checkSessions([lived({ believedUntil: 1051 })], [], slack)[0]?.rule, 'session-beyond-lease')
})

/** Its lease runs out at 1000. */
function lived(rest: Partial<SessionLife>): SessionLife {
  return { ...open, leaseEnded: { at: 1000, by: 'time' }, ...rest }
}

/** An operator ends its lease at 1000. */
function taken(rest: Partial<SessionLife>): SessionLife {
  return { ...open, leaseEnded: { at: 1000, by: 'operator' }, ...rest }
}

function stall(from: number, until: number): Stall {
  return { process: 'p1', from, until }
}
