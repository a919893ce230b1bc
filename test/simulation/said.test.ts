import test from 'ava'
import { type ErrorCode, EtcdError, type Outcome } from '../../src/index.ts'
import { type Plan, planOf } from './plan.ts'
import { maySay, type Saying } from './workloads/said.ts'

const calm: Plan = { ...planOf(1, 'mutex'), faults: [], hostile: false, spikeChance: 0, tokenTtl: 0 }
const cut: Plan = { ...calm, faults: ['cut'] }

test('whatever is no error of ours is unexpected, wherever', t => {
  t.false(maySay(cut, 'lock', new Error('what')))
  t.false(maySay(cut, 'lock', undefined))
})

test('each call says what it documents, and nothing that is said of others', t => {
  t.true(may(calm, 'lock', 'SESSION_LOST'))
  t.true(may(calm, 'lock', 'LOCK_LOST'))
  t.false(may(calm, 'lock', 'ALREADY_EXISTS'))
  t.true(may(calm, 'close barrier', 'ALREADY_EXISTS'))
  t.false(may(calm, 'put', 'SESSION_LOST'))
  t.false(may(calm, 'close', 'SESSION_LOST'))
  t.true(may(calm, 'session that goes on', 'LEASE_NOT_FOUND'))
  t.false(may(calm, 'session', 'LEASE_NOT_FOUND'))
})

test('what the cluster and the network say is expected only where they are made to', t => {
  for (const code of ['UNAVAILABLE', 'TIMEOUT', 'NO_LEADER'] as const) {
    t.false(may(calm, 'lock', code), code)
    t.true(may(cut, 'lock', code), code)
    t.true(may({ ...calm, spikeChance: 0.01 }, 'lock', code), code)
    t.true(may({ ...calm, faults: ['process-stopped'] }, 'lock', code), code)
  }
  t.false(may(cut, 'put', 'NO_SPACE'))
  t.true(may({ ...calm, faults: ['no-space'] }, 'put', 'NO_SPACE'))
  t.false(may(cut, 'put', 'PROTOCOL'))
  t.true(may({ ...calm, faults: ['answer-garbled'] }, 'put', 'PROTOCOL'))
  t.false(may(cut, 'put', 'UNAUTHENTICATED'))
  t.true(may({ ...calm, tokenTtl: 1 }, 'put', 'UNAUTHENTICATED'))
})

test('what goes on until it is done says nothing of what passes', t => {
  for (const saying of ['unlock', 'release', 'resign', 'leave', 'reset', 'observe', 'lead'] as const)
    t.false(may(cut, saying, 'UNAVAILABLE'), saying)
  t.false(may(cut, 'unlock', 'UNAUTHENTICATED'))
  t.true(may({ ...cut, tokenTtl: 1 }, 'unlock', 'UNAUTHENTICATED'))
})

test('a watch ends with COMPACTED where something is compacted, and with nothing else', t => {
  const compacted: Plan = { ...cut, faults: ['cut', 'compaction'] }
  t.false(may(cut, 'watch', 'COMPACTED'))
  t.true(may(compacted, 'watch', 'COMPACTED'))
  t.false(may(compacted, 'watch', 'UNAVAILABLE'))
  t.false(may(compacted, 'observe', 'COMPACTED'), 'it goes on by itself')
})

test('whoever cannot know whether it counted has lost an answer', t => {
  t.true(may(cut, 'count down', 'UNKNOWN'))
  t.false(may(calm, 'count down', 'UNKNOWN'))
  t.false(may(cut, 'count down', 'UNKNOWN', 'rejected'))
  t.false(may(cut, 'put', 'UNKNOWN'))
})

function may(plan: Plan, saying: Saying, code: ErrorCode, outcome: Outcome = 'unknown'): boolean {
  return maySay(plan, saying, new EtcdError(code, code, { outcome }))
}
