import { createdAtWire } from '../../../src/client/compare.ts'
import type { Span } from '../../../src/client/footprint.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import { prefixEnd, text, toBytes } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import {
  CompareResult,
  CompareTarget,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
  type Compare as WireCompare,
} from '../../../src/wire/gen/rpc.g.ts'
import { type LineReading, lineRange, lineReading } from '../line/line-reading.ts'
import { empty, emptyRange } from '../line/rule.ts'
import type { SlotKeys } from './slot-keys.ts'

/** How a claim is asked of the cluster, and how its answers read. */

/** What is wanted, by whom, and what is believed of the limit. */
export interface SlotWish {
  readonly keys: SlotKeys
  readonly lease: bigint
  /** The same in the place of the waiter and in all slots: told apart from every other claim. */
  readonly value: Uint8Array
  readonly count: number
}

type Op = Init<RequestOp>
type Condition = Init<WireCompare>

export type ClaimAnswer =
  | { readonly kind: 'granted'; readonly slots: readonly number[]; readonly revision: bigint }
  | { readonly kind: 'other-limit'; readonly limit: KeyValue | undefined; readonly held: readonly number[] }

/** Our place in the line as it is now, the line, and the slots. */
export interface Queued {
  readonly kind: 'queued'
  /** Our place was there already. */
  readonly found: KeyValue | undefined
  readonly line: LineReading
  readonly held: readonly number[]
  readonly revision: bigint
}

/** Nothing was written. */
export interface Missed {
  readonly kind: 'missed'
  readonly someWait: boolean
  readonly held: readonly number[]
  readonly revision: bigint
}

/** Nothing was written, although we are the head of the line. */
export interface Refused {
  readonly kind: 'refused'
  /** Our place, if it is still there. */
  readonly mine: KeyValue | undefined
  readonly limit: KeyValue | undefined
  readonly held: readonly number[]
  readonly revision: bigint
}

/** All that a claim compares, reads and writes. */
export function claimFootprint({ keys }: SlotWish): {
  readonly reads: readonly Span[]
  readonly writes: readonly Span[]
} {
  const spans = [
    { key: keys.limit, end: new Uint8Array(0) },
    { key: keys.slots, end: keys.slotsEnd },
    { key: keys.waiters, end: prefixEnd(keys.waiters) },
  ]
  return { reads: spans, writes: spans }
}

/**
 * Takes the first alternative whose slots are all free, if nobody waits, the limit is as believed and `sure` holds;
 * stands in line, under this key, otherwise. Of a semaphore nobody has used it writes the limit, and takes the
 * first slots. If the limit is another one, nothing is done.
 */
export function claimOrQueue(
  wish: SlotWish,
  limit: Uint8Array,
  alternatives: readonly (readonly number[])[],
  waiter: Uint8Array,
): Init<TxnRequest> {
  const { keys, lease, value } = wish
  const line: Op = { request: { kind: 'range', value: lineRange(keys.waiters, 'ignored') } }
  const queue: Op = {
    request: {
      kind: 'txn',
      value: {
        compare: [createdAtWire(waiter, 0n)],
        success: [{ request: { kind: 'put', value: { key: waiter, value, lease } } }, line, slotsRange(keys)],
        failure: [{ request: { kind: 'range', value: { key: waiter } } }, line, slotsRange(keys)],
      },
    },
  }
  const sure = nobodyBeyond(keys, limit)
  return claimOrElse(wish, limit, { alternatives, sure, otherwise: [queue] })
}

export function claimedOrQueued(
  response: Pick<TxnResponse, 'succeeded' | 'responses' | 'header'>,
  wish: SlotWish,
  alternatives: readonly (readonly number[])[],
): ClaimAnswer | Queued {
  const revision = revisionOf(response.header)
  const answer = followed(response, wish, alternatives, revision)
  if (!('otherwise' in answer)) return answer
  const { succeeded, responses } = part(answer.otherwise[0], 'txn')
  return {
    kind: 'queued',
    found: succeeded ? undefined : part(responses[0], 'range').kvs[0],
    line: lineReading(part(responses[1], 'range'), revision),
    held: wish.keys.numbersOf(part(responses[2], 'range').kvs),
    revision,
  }
}

/** The same without standing in line: nothing is written when nothing can be had. `since`: no slot may have been taken after it. */
export function claimOrLeave(
  wish: SlotWish,
  limit: Uint8Array,
  alternatives: readonly (readonly number[])[],
  since: bigint | undefined,
): Init<TxnRequest> {
  const { keys } = wish
  const anybody: Op = {
    request: { kind: 'range', value: { ...lineRange(keys.waiters, 'ignored'), limit: 1n } },
  }
  const sure = since === undefined ? nobodyBeyond(keys, limit) : noneSince(keys, since)
  return claimOrElse(wish, limit, { alternatives, sure, otherwise: [anybody, slotsRange(keys)] })
}

export function claimedOrLeft(
  response: Pick<TxnResponse, 'succeeded' | 'responses' | 'header'>,
  wish: SlotWish,
  alternatives: readonly (readonly number[])[],
): ClaimAnswer | Missed {
  const revision = revisionOf(response.header)
  const answer = followed(response, wish, alternatives, revision)
  if (!('otherwise' in answer)) return answer
  const [line, slots] = answer.otherwise
  return {
    kind: 'missed',
    someWait: part(line, 'range').kvs.length > 0,
    held: wish.keys.numbersOf(part(slots, 'range').kvs),
    revision,
  }
}

/**
 * What the head of the line asks for. Taking slots and leaving the line are one: made twice, the second finds the
 * place gone, and a claim that comes late, after the place was given up, does nothing.
 */
export function claimAsHead(
  wish: SlotWish,
  limit: Uint8Array,
  alternatives: readonly (readonly number[])[],
  place: { readonly key: Uint8Array; readonly createRevision: bigint; readonly seen: boolean },
): Init<TxnRequest> {
  const { keys } = wish
  const { key, createRevision, seen } = place
  const look: readonly Op[] = [
    { request: { kind: 'range', value: { key } } },
    { request: { kind: 'range', value: { key: keys.limit } } },
    slotsRange(keys),
  ]
  const leave: Op = { request: { kind: 'deleteRange', value: { key } } }
  return {
    compare: [
      createdAtWire(key, createRevision),
      limitIs(keys, limit),
      ...(seen ? [] : [nobodyBeyond(keys, limit)]),
    ],
    success: firstFree(keys, alternatives, slots => [...putsOf(wish, slots), leave], look),
    failure: look,
  }
}

export function claimedAsHead(
  response: Pick<TxnResponse, 'succeeded' | 'responses' | 'header'>,
  { keys }: SlotWish,
  alternatives: readonly (readonly number[])[],
): Extract<ClaimAnswer, { kind: 'granted' }> | Refused {
  const revision = revisionOf(response.header)
  const found = response.succeeded
    ? firstFound(response.responses, alternatives)
    : { slots: undefined, responses: response.responses }
  if (found.slots !== undefined) return { kind: 'granted', slots: found.slots, revision }
  const [mine, limit, slots] = found.responses
  return {
    kind: 'refused',
    mine: part(mine, 'range').kvs[0],
    limit: part(limit, 'range').kvs[0],
    held: keys.numbersOf(part(slots, 'range').kvs),
    revision,
  }
}

/** What the place of a waiter and the slots of one claim say: which claim it is, then what every place says. */
export function claimValue(claim: string, count: number, place: Uint8Array): Uint8Array {
  const rest = place.length === 0 ? '}' : `,${text(place.subarray(1))}`
  return toBytes(`{"claim":"${claim}","count":${count}${rest}`)
}

export function limitIs({ limit }: SlotKeys, value: Uint8Array): Condition {
  return {
    key: limit,
    target: CompareTarget.value,
    result: CompareResult.equal,
    operand: { kind: 'value', value },
  }
}

function claimOrElse(
  wish: SlotWish,
  limit: Uint8Array,
  {
    alternatives,
    sure,
    otherwise,
  }: {
    readonly alternatives: readonly (readonly number[])[]
    readonly sure: Condition
    readonly otherwise: readonly Op[]
  },
): Init<TxnRequest> {
  const { keys, count } = wish
  const first = Array.from({ length: count }, (_, slot) => slot)
  const unused: Init<TxnRequest> = {
    compare: [createdAtWire(keys.limit, 0n), empty(keys.waiters), empty(keys.slots)],
    success: [{ request: { kind: 'put', value: { key: keys.limit, value: limit } } }, ...putsOf(wish, first)],
    failure: [{ request: { kind: 'range', value: { key: keys.limit } } }, slotsRange(keys)],
  }
  const missed: Init<TxnRequest> = {
    compare: [limitIs(keys, limit)],
    success: otherwise,
    failure: [{ request: { kind: 'txn', value: unused } }],
  }
  return {
    compare: [limitIs(keys, limit), empty(keys.waiters), sure],
    success: firstFree(keys, alternatives, slots => putsOf(wish, slots), otherwise),
    failure: [{ request: { kind: 'txn', value: missed } }],
  }
}

function followed(
  response: Pick<TxnResponse, 'succeeded' | 'responses'>,
  { keys, count }: SlotWish,
  alternatives: readonly (readonly number[])[],
  revision: bigint,
): ClaimAnswer | { readonly otherwise: readonly ResponseOp[] } {
  if (response.succeeded) {
    const { slots, responses } = firstFound(response.responses, alternatives)
    return slots === undefined ? { otherwise: responses } : { kind: 'granted', slots, revision }
  }
  const missed = part(response.responses[0], 'txn')
  if (missed.succeeded) return { otherwise: missed.responses }
  const unused = part(missed.responses[0], 'txn')
  if (unused.succeeded) {
    return { kind: 'granted', slots: Array.from({ length: count }, (_, slot) => slot), revision }
  }
  const [limit, slots] = unused.responses
  return {
    kind: 'other-limit',
    limit: part(limit, 'range').kvs[0],
    held: keys.numbersOf(part(slots, 'range').kvs),
  }
}

/** Each alternative within the failure of the one before it. */
function firstFree(
  keys: SlotKeys,
  alternatives: readonly (readonly number[])[],
  take: (slots: readonly number[]) => readonly Op[],
  otherwise: readonly Op[],
): readonly Op[] {
  return alternatives.reduceRight<readonly Op[]>(
    (failure, slots) => [
      {
        request: {
          kind: 'txn',
          value: {
            compare: slots.map(slot => createdAtWire(keys.slot(slot), 0n)),
            success: take(slots),
            failure,
          },
        },
      },
    ],
    otherwise,
  )
}

function firstFound(
  responses: readonly ResponseOp[],
  alternatives: readonly (readonly number[])[],
): { readonly slots: readonly number[] | undefined; readonly responses: readonly ResponseOp[] } {
  for (const slots of alternatives) {
    const tried = part(responses[0], 'txn')
    if (tried.succeeded) return { slots, responses: tried.responses }
    responses = tried.responses
  }
  return { slots: undefined, responses }
}

function putsOf({ keys, value, lease }: SlotWish, slots: readonly number[]): readonly Op[] {
  return slots.map(slot => ({ request: { kind: 'put', value: { key: keys.slot(slot), value, lease } } }))
}

function slotsRange({ slots, slotsEnd }: SlotKeys): Op {
  return { request: { kind: 'range', value: { key: slots, rangeEnd: slotsEnd, keysOnly: true } } }
}

/** Nobody holds a slot beyond the limit, as some may after it was lowered. */
function nobodyBeyond(keys: SlotKeys, limit: Uint8Array): Condition {
  return emptyRange(keys.slot(Number(text(limit))), keys.slotsEnd)
}

/** Whatever is held was held at this revision already: there is no less room than was seen then. */
function noneSince({ slots, slotsEnd }: SlotKeys, revision: bigint): Condition {
  return {
    key: slots,
    rangeEnd: slotsEnd,
    target: CompareTarget.createRevision,
    result: CompareResult.less,
    operand: { kind: 'createRevision', value: revision + 1n },
  }
}
