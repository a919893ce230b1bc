import { EtcdError, type Handle, op } from '../../../src/index.ts'
import { sharedNowMs } from '../clock.ts'
import type { Journal } from '../journal.ts'
import { codeOf, outcomeOf } from './what-went-wrong.ts'

/** Writes what only its owner may write, and writes down what was told of it. */
export async function guardedWrite(
  hold: Handle,
  acquisition: string,
  key: string,
  journal: Journal,
): Promise<void> {
  const value = journal.value()
  const id = journal.begin('guardedWrites', { acquisition, key, value, invokedAt: sharedNowMs() })
  try {
    const { revision } = await hold.txn({ then: [op.put(key, value)] })
    journal.more('guardedWrites', id, { settledAt: sharedNowMs(), outcome: 'ok', revision })
  } catch (error) {
    const outcome = EtcdError.is(error, 'LOCK_LOST') ? 'failed' : outcomeOf(error)
    journal.more('guardedWrites', id, { settledAt: sharedNowMs(), outcome, error: codeOf(error) })
  }
}
