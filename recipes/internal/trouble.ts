import type { ErrorCode, EtcdError } from '../../src/wire/errors.ts'

/** What a cluster says while it is busy, or between two leaders. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'TIMEOUT', 'NO_LEADER', 'TOO_MANY_REQUESTS'])

/** Would asking again be refused again? If not, whoever waits goes on: a session ends when trouble lasts. */
export function isFinal({ outcome, code }: EtcdError): boolean {
  return code === 'CLIENT_CLOSED' || (outcome === 'rejected' && !PASSING.has(code))
}
