import { part } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { prefixEnd } from '../../../src/wire/bytes.ts'
import type { KeyValue, KeyValue as WireKeyValue } from '../../../src/wire/gen/kv.g.ts'
import { SortOrder, SortTarget } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { type Claim, endTurns, takeTurns, type Wish } from '../line/claim.ts'
import { firstOf, orAborted } from '../signals.ts'

export interface Resumed {
  readonly claim: Claim
  readonly kv: KeyValue
}

/**
 * Takes over a key that was left at the head of its line: created at this revision, and going with the lease of this
 * session. Undefined, and nothing was touched, if that is not so, or if somebody in this process was told its
 * token. Waits for the other tasks of this session first. One round trip.
 */
export async function resumeClaim(
  session: SessionContext,
  wish: Wish,
  createRevision: bigint,
  { signal, timeoutMs }: CallOptions,
): Promise<Resumed | undefined> {
  signal?.throwIfAborted()
  session.assertOpen()
  const stands = await takeTurns(session, [wish], signal)
  const { abort, stop } = firstOf(session.engine, [signal, session.closing])
  try {
    const { own } = stands[0]!
    const { mine, head } = await readHead(session, wish.prefix, own.key, {
      signal: abort.signal,
      timeoutMs,
    })
    await orAborted(session.engine, [signal, session.closing], session.reliable())
    abort.throwIfAborted()
    const leads =
      mine?.createRevision === createRevision &&
      mine.lease === session.leaseId &&
      head?.createRevision === createRevision &&
      own.mayAdopt(createRevision)
    if (!leads) {
      endTurns(stands)
      return undefined
    }
    own.ghostFound()
    own.granted(createRevision)
    return { claim: { stands, createRevision, adopted: true }, kv: mine }
  } catch (error) {
    endTurns(stands)
    throw error
  } finally {
    stop()
  }
}

/** Our key and the head of the line, at one revision. */
async function readHead(
  { engine }: SessionContext,
  prefix: Uint8Array,
  key: Uint8Array,
  options: CallOptions,
): Promise<{ readonly mine: WireKeyValue | undefined; readonly head: WireKeyValue | undefined }> {
  const end = prefixEnd(prefix)
  const { responses } = await engine.submitter.submit({
    method: methods.txn,
    request: {
      success: [
        { request: { kind: 'range', value: { key } } },
        {
          request: {
            kind: 'range',
            value: {
              key: prefix,
              rangeEnd: end,
              sortOrder: SortOrder.ascend,
              sortTarget: SortTarget.createRevision,
              limit: 1n,
            },
          },
        },
      ],
    },
    footprint: { reads: [{ key: prefix, end }], writes: [] },
    repeat: 'read',
    consistency: 'linearizable',
    ...options,
  })
  const [mine, line] = responses.map(response => part(response, 'range'))
  return { mine: mine!.kvs[0], head: line!.kvs[0] }
}
