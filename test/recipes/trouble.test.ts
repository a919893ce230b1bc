import test from 'ava'
import { isFinal } from '../../recipes/internal/trouble.ts'
import { EtcdError } from '../../src/wire/errors.ts'

test('who waits goes on through what passes', t => {
  for (const code of ['UNAVAILABLE', 'TIMEOUT', 'NO_LEADER', 'TOO_MANY_REQUESTS'] as const) {
    for (const outcome of ['not-sent', 'rejected', 'unknown'] as const) {
      t.false(isFinal(new EtcdError(code, code, { outcome })), `${code} ${outcome}`)
    }
  }
})

test('who waits ends where asking again would not help', t => {
  t.true(isFinal(new EtcdError('CLIENT_CLOSED', 'closed', { outcome: 'not-sent' })))
  t.true(isFinal(new EtcdError('PERMISSION_DENIED', 'denied', { outcome: 'rejected' })))
  t.true(isFinal(new EtcdError('LOCK_LOST', 'gone', { outcome: 'rejected' })))
})
