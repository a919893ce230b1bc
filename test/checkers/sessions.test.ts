import test from 'ava'
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

const bad: readonly {
  readonly title: string
  readonly rule: string
  readonly session: SessionLife
  readonly stalls?: Stall[]
}[] = [
  {
    title: 'is relied on after its lease has run out',
    rule: 'session-beyond-lease',
    session: lived({ believedUntil: 1000.01 }),
  },
  { title: 'is relied on for ever', rule: 'session-beyond-lease', session: lived({}) },
  {
    title: 'is relied on until its process dies',
    rule: 'session-beyond-lease',
    session: lived({ diedAt: 1500 }),
  },
  {
    title: 'is relied on between two stalls',
    rule: 'session-beyond-lease',
    session: lived({ believedUntil: 5000 }),
    stalls: [stall(900, 2000), stall(2001, 5000)],
  },
  {
    title: 'is relied on while another process stands still',
    rule: 'session-beyond-lease',
    session: lived({ believedUntil: 5000 }),
    stalls: [{ ...stall(900, 5000), process: 'p2' }],
  },
  {
    title: 'is opened when its lease has run out, and relied on',
    rule: 'session-beyond-lease',
    session: lived({ openedAt: 2000, believedUntil: 2001 }),
  },
  {
    title: 'is told too late that an operator took its lease',
    rule: 'session-not-told',
    session: taken({ believedUntil: 1101 }),
  },
  {
    title: 'is never told that an operator took its lease',
    rule: 'session-not-told',
    session: taken({}),
  },
  {
    title: 'is told too late by a process that ran for long enough',
    rule: 'session-not-told',
    session: taken({ believedUntil: 5101 }),
    stalls: [stall(900, 5000)],
  },
  {
    title: 'is closed, and its lease is there',
    rule: 'lease-left-by-close',
    session: { ...open, believedUntil: 500, closed: { at: 520, leaseWasThere: true } },
  },
]

for (const { title, rule, session, stalls = [] } of bad)
  test(`a session is found out that ${title}`, t => {
    const violations = checkSessions([{ ...open, id: 's0' }, session], stalls, sound)
    t.deepEqual(
      violations.map(violation => [violation.rule, violation.involved]),
      [[rule, ['s1']]],
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
