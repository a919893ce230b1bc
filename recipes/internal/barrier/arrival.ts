import { createdAtWire, modifiedAtWire } from '../../../src/client/compare.ts'
import { part } from '../../../src/client/response-part.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { mapKey, prefixEnd } from '../../../src/wire/bytes.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { isThere, type Round, type Rounds } from './rounds.ts'
import { deleteOf, listOf, NO_END, putOf, readOf, versionOf } from './wire.ts'

/** What came of the attempt to come in a round. */
export type Answer =
  | { readonly kind: 'in'; readonly round: Round; readonly seen: Seen; readonly mine: Mine }
  /** As many as may pass have come. */
  | { readonly kind: 'full'; readonly round: Round; readonly seen: Seen }
  /** It is another round. */
  | { readonly kind: 'moved'; readonly round: Round }

/** Our place among those who have come. */
export interface Mine {
  readonly key: Uint8Array
  readonly createRevision: bigint
  /** 0 for the first. */
  readonly index: number
}

export interface Seen {
  readonly present: readonly KeyValue[]
  /** How many have come, including those who are lost by now. */
  readonly arrivals: number
}

export interface Attempt {
  readonly rounds: Rounds
  readonly round: Round
  /** Ours alone, and new in each call. */
  readonly key: Uint8Array
  /** Of rounds before, and of no use any more: they go with our coming. */
  readonly spent: readonly Uint8Array[]
  /** No more than so many are let in; undefined where those who are lost make room. */
  readonly room: number | undefined
  readonly signal: AbortSignal
  readonly onUnanswered: () => void
}

/**
 * Creates our key and reads who is there, if the barrier still is in this round and has room. A request that is
 * applied late finds another round and does nothing. One round trip.
 */
export async function arrive(
  session: SessionContext,
  { rounds, round, key, spent, room, signal, onUnanswered }: Attempt,
): Promise<Answer> {
  const members = rounds.members(round.generation)
  const arrivals = rounds.arrivals(round.generation)
  const below = rounds.below(round.generation)
  const look = [listOf(members), readOf(arrivals)]
  const { succeeded, responses } = await session.engine.submitter.submit({
    method: methods.txn,
    request: {
      compare: [
        createdAtWire(key, 0n),
        modifiedAtWire(rounds.state, round.modRevision),
        ...(room === undefined ? [] : [versionOf(arrivals, 'less', BigInt(room))]),
      ],
      success: [
        putOf(key, session.placeValue(), session.leaseId),
        ...(room === undefined ? [] : [putOf(arrivals, NO_END)]),
        ...spent.map(one => deleteOf(one)),
        ...look,
      ],
      failure: [readOf(rounds.state), ...look],
    },
    footprint: {
      reads: [{ key: rounds.state, end: NO_END }],
      writes: [{ key: below, end: prefixEnd(below) }, ...spent.map(one => ({ key: one, end: NO_END }))],
    },
    // Creates a key only this call uses, and counts it once: made twice, it finds its own key.
    repeat: 'idempotent',
    signal,
    onUnanswered,
  })
  const [list, counter] = responses.slice(-2).map(answer => part(answer, 'range').kvs)
  const now = succeeded ? round : rounds.roundOf(part(responses[0], 'range').kvs[0])
  const present = list!.filter(isThere)
  const seen = { present, arrivals: room === undefined ? present.length : Number(counter![0]?.version ?? 0n) }
  const index = list!.findIndex(kv => mapKey(kv.key) === mapKey(key))
  const found = list![index]
  if (found !== undefined)
    return { kind: 'in', round: now, seen, mine: { key, createRevision: found.createRevision, index } }
  return now.modRevision === round.modRevision
    ? { kind: 'full', round: now, seen }
    : { kind: 'moved', round: now }
}
