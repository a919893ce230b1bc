import { EtcdError } from '../../../src/wire/errors.ts'

/** What failed came before a commit, or there was nothing to commit: whatever became of it, nothing was written. */
export function notSent(error: unknown): unknown {
  if (!EtcdError.is(error) || error.outcome !== 'unknown') return error
  return new EtcdError(error.code, `${error.message}; the commit was not sent`, {
    outcome: 'not-sent',
    cause: error,
    endpoint: error.endpoint,
  })
}
