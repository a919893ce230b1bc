import { createdAtWire } from '../../../src/client/compare.ts'
import { firstOf, part, revisionOf } from '../../../src/client/response-part.ts'
import { removeKeys } from '../../../src/session/own-key.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import type { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { mapKey, prefixEnd } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import type { RequestOp, TxnRequest, TxnResponse } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { mayTakeOver, oursInLine, type Stand, unanswered, understood } from './claim.ts'
import { type Entry, entryOf } from './entry.ts'
import { type LineReading, lineRange, lineReading } from './line-reading.ts'

/** Our keys as the cluster has them, and the lines as they stood with them; none where a compare told all there is to know. */
export interface Created {
  readonly createRevision: bigint
  readonly entries: readonly Entry[]
  readonly readings: readonly (LineReading | undefined)[]
  readonly adopted: boolean
}

type Answered =
  | { readonly kind: 'created'; readonly readings: Created['readings'] }
  | {
      readonly kind: 'found'
      readonly found: readonly (KeyValue | undefined)[]
      readonly readings: Created['readings']
    }

/**
 * Creates the keys of all stands in one transaction, unless one of them is there. One round trip.
 *
 * What is there is ours: an earlier attempt without an answer, or what whoever had this lease before left behind.
 * All of one creation and never told to anybody, it is what we wanted. Else it has to go first: somebody was given
 * its token, and to own it again would repeat that.
 */
export async function createPlaces(
  session: SessionContext,
  stands: readonly Stand[],
  abandoned: LazyAbort,
): Promise<Created> {
  const request = requestOf(session, stands)
  const spans = stands.map(({ prefix }) => ({ key: prefix, end: prefixEnd(prefix) }))
  for (;;) {
    const response = await session.engine.submitter.submit({
      method: methods.txn,
      request,
      footprint: { reads: spans, writes: spans },
      // Creates what is absent, under names only this session uses: made twice, it finds its own keys.
      repeat: 'idempotent',
      noMoreAttempts: abandoned,
      onUnanswered: () => unanswered(stands),
    })
    const { revision, answered } = understood(stands, () => ({
      revision: revisionOf(response.header),
      answered: answeredOf(response, stands),
    }))
    if (answered.kind === 'created') {
      const entries = stands.map(({ own, value }) => ({
        name: mapKey(own.key),
        key: own.key,
        createRevision: revision,
        modRevision: revision,
        lease: session.leaseId,
        value,
      }))
      return { createRevision: revision, entries, readings: answered.readings, adopted: false }
    }
    const adopted = adoptable(stands, answered.found)
    if (adopted !== undefined) {
      for (const { own } of stands) own.ghostFound()
      const { createRevision } = adopted[0]!
      return { createRevision, entries: adopted, readings: answered.readings, adopted: true }
    }
    for (const [index, kv] of answered.found.entries()) {
      if (kv === undefined) continue
      await removeKeys(session, [kv.key], kv.createRevision)
      const { own } = stands[index]!
      if (own.mayAdopt(kv.createRevision)) own.ghostFound()
    }
    await session.reliable()
    abandoned.throwIfAborted()
  }
}

function requestOf(session: SessionContext, stands: readonly Stand[]): Init<TxnRequest> {
  const compare = stands.map(({ own }) => createdAtWire(own.key, 0n))
  const puts = stands.map(
    ({ own, value }): Init<RequestOp> => ({
      request: { kind: 'put', value: { key: own.key, value, lease: session.leaseId } },
    }),
  )
  const gets = stands.map(
    ({ own }): Init<RequestOp> => ({ request: { kind: 'range', value: { key: own.key } } }),
  )
  const lines = stands.map(
    ({ prefix, rule }, index): Init<RequestOp> => ({
      request: { kind: 'range', value: lineRange(prefix, rule.values, oursInLine(stands, index)) },
    }),
  )
  const whole = { compare, success: [...puts, ...lines], failure: [...gets, ...lines] }
  const crowd = crowdCondition(stands)
  if (crowd === undefined) return whole
  return {
    compare: [...compare, ...crowd],
    success: puts,
    failure: [{ request: { kind: 'txn', value: whole } }],
  }
}

/**
 * Where many may hold together, whoever finds only such is told so by a compare: the line may be long, and reading
 * it would cost each of them what the others are.
 */
function crowdCondition(stands: readonly Stand[]) {
  const [stand] = stands
  if (stand === undefined || stands.length > 1 || stand.rule.values === 'ignored') return undefined
  const [first, second] = stand.rule.vacant(stand.prefix)
  return second === undefined ? undefined : first
}

function answeredOf(
  response: Pick<TxnResponse, 'succeeded' | 'responses' | 'header'>,
  stands: readonly Stand[],
): Answered {
  const revision = revisionOf(response.header)
  const nested = crowdCondition(stands) !== undefined
  if (nested && response.succeeded) return { kind: 'created', readings: stands.map(() => undefined) }
  const { succeeded, responses } = nested ? part(response.responses[0], 'txn') : response
  const readings = stands.map((_, index) =>
    lineReading(part(responses[stands.length + index], 'range'), revision),
  )
  if (succeeded) return { kind: 'created', readings }
  const found = stands.map((_, index): KeyValue | undefined => part(responses[index], 'range').kvs[0])
  // The transaction said that there is one.
  firstOf(found.filter(kv => kv !== undefined))
  return { kind: 'found', found, readings }
}

/** What was found, if it is one creation of all our keys, by nobody before us, with what we wanted in them, and no token of it was ever given. */
function adoptable(
  stands: readonly Stand[],
  found: readonly (KeyValue | undefined)[],
): readonly Entry[] | undefined {
  const entries: Entry[] = []
  for (const [index, stand] of stands.entries()) {
    const kv = found[index]
    if (kv === undefined || !mayTakeOver(stand, kv)) return undefined
    if (kv.createRevision !== found[0]?.createRevision) return undefined
    entries.push(entryOf(kv))
  }
  return entries
}
