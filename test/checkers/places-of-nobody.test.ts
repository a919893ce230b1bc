import test from 'ava'
import { exact } from './assumptions.ts'
import { acquisition, history, put } from './hand-written.ts'
import type { History } from './history.ts'
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
