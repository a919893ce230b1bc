import test from 'ava'
import { checkSessions } from '../checkers/sessions.ts'
import { type JournaledSession, livesOf, markOf } from './session-marks.ts'

const prefix = '/round-1/'
const session: JournaledSession = { id: 'ann.1-1', process: 'ann.1', lease: 7n, openedAt: 0 }
const mark = markOf(prefix, session.id)

test('a session whose mark is there lives', t => {
  t.deepEqual(rules({}), [])
})

test('a session that is relied on after its mark has gone is told', t => {
  t.deepEqual(rules({ goneAt: 1000 }), ['session-beyond-lease'])
  t.deepEqual(rules({ goneAt: 1000, believedUntil: 1051 }), ['session-beyond-lease'])
  t.deepEqual(rules({ goneAt: 1000, believedUntil: 1050 }), [])
})

test('who lost it to an operator has some time to hear of it', t => {
  const taken = { goneAt: 1000, byOperator: true }
  t.deepEqual(rules({ ...taken, believedUntil: 13_000 }), [])
  t.deepEqual(rules({ ...taken, believedUntil: 13_001 }), ['session-not-told'])
})

test('a process that died relies on nothing', t => {
  t.deepEqual(rules({ goneAt: 9000, diedAt: 5000 }), [])
})

function rules({
  goneAt,
  byOperator = false,
  believedUntil,
  diedAt,
}: {
  readonly goneAt?: number
  readonly byOperator?: boolean
  readonly believedUntil?: number
  readonly diedAt?: number
}): string[] {
  const revision = 9n
  const log =
    goneAt === undefined ? [] : [{ revision, at: goneAt, changes: [{ kind: 'delete', key: mark } as const] }]
  const interventions = byOperator
    ? [{ at: goneAt ?? 0, revision, kind: 'lease-revoked' as const, keys: [mark] }]
    : []
  const told = believedUntil === undefined ? session : { ...session, believedUntil }
  const deaths = new Map(diedAt === undefined ? [] : [[session.process, diedAt]])
  const lives = livesOf(prefix, [told], { log, interventions }, deaths)
  const limits = { clockSlackMs: 50, hostile: false, toldWithinMs: 12_000 }
  return checkSessions(lives, [], limits).map(({ rule }) => rule)
}
