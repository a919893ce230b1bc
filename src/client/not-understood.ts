import type { Endpoint } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'

/** The error of an answer that came and cannot be used: what was asked for may have been done all the same. */
export function notUnderstood(call: string, endpoint: Endpoint, cause: unknown): EtcdError {
  if (EtcdError.is(cause) && cause.code !== 'PROTOCOL') return cause
  const why = cause instanceof Error ? cause.message.replace('[PROTOCOL] ', '') : String(cause)
  return new EtcdError('PROTOCOL', `[PROTOCOL] ${call} on ${endpoint.url}: ${why}`, {
    outcome: 'unknown',
    endpoint: endpoint.url,
    cause,
  })
}
