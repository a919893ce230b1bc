import type { SessionContext } from '../../../src/session/session-context.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { type Candidate, type LeadKeys, ranked } from './candidate-entry.ts'
import { readCandidates, transfer } from './candidate-wire.ts'

/** So many candidates are tried: whoever comes after them claims what is given up plainly. */
const TRIES = 3
/** A cluster that does not answer by then is asked to delete our key, for as long as it takes. */
const TIMEOUT_MS = 2000

/**
 * Makes the best candidate the leader in our place, the chosen one first if there is one. Resolves whether we are
 * known not to lead any more; never rejects. Two round trips where there is a candidate, else one.
 */
export async function handOver(
  session: SessionContext,
  keys: LeadKeys,
  mine: { readonly key: Uint8Array; readonly createRevision: bigint },
  chosen: () => bigint | undefined,
): Promise<boolean> {
  const refused = new Set<bigint>([session.leaseId])
  try {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      if (session.signal.aborted) return false
      const kvs = await readCandidates(session, keys, { timeoutMs: TIMEOUT_MS })
      const candidates = ranked(kvs, keys).filter(({ leaseId }) => !refused.has(leaseId))
      const successor = candidates.find(({ leaseId }) => leaseId === chosen()) ?? candidates[0]
      if (successor === undefined) return false
      if ((await transferTo(session, keys, mine, successor)) !== 'refused') return true
      refused.add(successor.leaseId)
    }
  } catch (error) {
    // Whether it was applied or not, deleting our key under its create revision is right.
    if (!EtcdError.is(error)) throw error
  }
  return false
}

async function transferTo(
  session: SessionContext,
  keys: LeadKeys,
  mine: { readonly key: Uint8Array; readonly createRevision: bigint },
  to: Candidate,
): Promise<'handed-over' | 'gone' | 'refused'> {
  try {
    return await transfer(session, keys, mine, to, { timeoutMs: TIMEOUT_MS })
  } catch (error) {
    // Its lease ended in this very moment: nothing was done.
    if (EtcdError.is(error, 'LEASE_NOT_FOUND') && error.outcome === 'rejected') return 'refused'
    throw error
  }
}
