import { EtcdError } from '../../../src/index.ts'
import type { Outcome } from '../../checkers/history.ts'

/** What a call that failed says became of its request. */
export function outcomeOf(error: unknown): Outcome {
  return EtcdError.is(error) && error.outcome !== 'unknown' ? 'failed' : 'unknown'
}
