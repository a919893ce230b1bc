import { modifiedAtWire } from '../../../src/client/compare.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import type { LazyAbort } from '../../../src/support/lazy-abort.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { Compare, RequestOp } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import type { Stand } from './claim.ts'
import type { Entry } from './entry.ts'

const NO_END = new Uint8Array(0)

/**
 * Writes anew what places say that a resumed session has found and wants, all in one transaction. False if one of
 * them was written since: then they are to be looked at again. One round trip; none where order alone decides.
 *
 * Whoever had the lease before may have asked to change what they say, without an answer: a writer to become a
 * reader. That is bound to the revision the key was written at last, so from here on it comes to nothing.
 */
export async function takeUp(
  session: SessionContext,
  stands: readonly Stand[],
  found: readonly Entry[],
  abandoned: LazyAbort,
): Promise<boolean> {
  if (!session.resumed) return true
  const unchanged: Init<Compare>[] = []
  const puts: Init<RequestOp>[] = []
  for (const [index, { key, modRevision }] of found.entries()) {
    const { rule, value } = stands[index]!
    if (rule.values === 'ignored') continue
    unchanged.push(modifiedAtWire(key, modRevision))
    puts.push({ request: { kind: 'put', value: { key, value, lease: session.leaseId } } })
  }
  if (puts.length === 0) return true
  const spans = found.map(({ key }) => ({ key, end: NO_END }))
  const { succeeded } = await session.engine.submitter.submit({
    method: methods.txn,
    request: { compare: unchanged, success: puts },
    footprint: { reads: spans, writes: spans },
    // Made twice, it finds that somebody has written them, and whoever looks again finds that it was us.
    repeat: 'idempotent',
    noMoreAttempts: abandoned,
  })
  return succeeded
}
