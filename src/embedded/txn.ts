import { compareBytes, mapKey } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import type { KeyValue } from '../wire/gen/kv.g.ts'
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from '../wire/gen/rpc.g.ts'
import { intervalOf } from './key-interval.ts'
import { answerRange, compareNumbers, PRESENT, type Sight } from './range.ts'
import { refuse } from './statuses.ts'
import type { Store, Write } from './store.ts'

/** What applying needs to know. */
export interface ApplyParts {
  readonly store: Store
  readonly lessor: { has(id: bigint): boolean }
}

/** A transaction with the branch it takes, which is known before anything is written. */
interface Plan {
  readonly succeeded: boolean
  readonly steps: readonly Step[]
}

type Step =
  | { readonly kind: 'range'; readonly request: RangeRequest }
  | { readonly kind: 'put'; readonly request: PutRequest }
  | { readonly kind: 'deleteRange'; readonly request: DeleteRangeRequest }
  | { readonly kind: 'txn'; readonly plan: Plan }

/**
 * Applies a transaction, header left out. All compares, those of nested transactions too, see the state
 * before it; then everything on the path taken is checked; then it is applied in order, reads seeing what was
 * written before them. A refusal leaves no trace. Only one that writes nothing may be seen as of an older revision.
 */
export function applyTxn(
  parts: ApplyParts,
  request: TxnRequest,
  sight: Sight = PRESENT,
): { readonly revision: bigint; readonly response: Omit<Init<TxnResponse>, 'header'> } {
  const { store } = parts
  const plan = planOf(store, request, sight)
  checkPuts(parts, plan)
  checkRanges(store, plan, sight)
  const write = store.begin()
  const responses = run(store, write, plan, sight)
  const { revision } = write
  write.commit()
  return { revision, response: { succeeded: plan.succeeded, responses } }
}

export function isReadOnly({ success, failure }: TxnRequest): boolean {
  return success.every(isRange) && failure.every(isRange)
}

/** Only a transaction of nothing but serializable reads may be answered by a member out of touch. */
export function isSerializable({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(
    ({ request }) => request?.kind === 'range' && request.value.serializable,
  )
}

/** What stands against a put in what is stored: a lease that is not there, a key to keep something of. */
export function checkPutNow({ store, lessor }: ApplyParts, request: PutRequest): void {
  const { key, lease, ignoreValue, ignoreLease } = request
  if ((ignoreValue || ignoreLease) && store.get(mapKey(key)) === undefined) throw refuse.keyNotFound()
  if (lease !== 0n && !lessor.has(lease)) throw refuse.leaseNotFound()
}

export function applyPut(store: Store, write: Write, request: PutRequest): Omit<Init<PutResponse>, 'header'> {
  const live = request.ignoreValue || request.ignoreLease ? store.get(mapKey(request.key)) : undefined
  const value = request.ignoreValue ? (live?.value ?? request.value) : request.value
  const lease = request.ignoreLease ? (live?.lease ?? 0n) : request.lease
  const { previous } = write.put(request.key, value, lease)
  return request.prevKv ? { prevKv: previous } : {}
}

export function applyDeleteRange(
  write: Write,
  { key, rangeEnd, prevKv }: DeleteRangeRequest,
): Omit<Init<DeleteRangeResponse>, 'header'> {
  const deleted = write.delete(intervalOf(key, rangeEnd))
  return { deleted: BigInt(deleted.length), prevKvs: prevKv ? deleted : [] }
}

function planOf(store: Store, { compare, success, failure }: TxnRequest, sight: Sight): Plan {
  const succeeded = compare.every(one => holds(store, one, sight))
  return { succeeded, steps: (succeeded ? success : failure).map(op => stepOf(store, op, sight)) }
}

function stepOf(store: Store, { request }: RequestOp, sight: Sight): Step {
  // Operations without a name were refused before.
  const op = request!
  return op.kind === 'txn'
    ? { kind: 'txn', plan: planOf(store, op.value, sight) }
    : ({ kind: op.kind, request: op.value } as Step)
}

function checkPuts(parts: ApplyParts, { steps }: Plan): void {
  for (const step of steps) {
    if (step.kind === 'put') checkPutNow(parts, step.request)
    else if (step.kind === 'txn') checkPuts(parts, step.plan)
  }
}

function checkRanges(store: Store, { steps }: Plan, sight: Sight): void {
  for (const step of steps) {
    if (step.kind === 'range') checkRangeNow(store, step.request, sight)
    else if (step.kind === 'txn') checkRanges(store, step.plan, sight)
  }
}

/** Looser than a range by itself: revision -1 passes as long as nothing was compacted. */
function checkRangeNow(store: Store, { revision }: RangeRequest, { last = store.revision }: Sight): void {
  if (revision === 0n) return
  if (revision > last) throw refuse.futureRevision()
  if (revision < store.compactRevision) throw refuse.compacted()
}

function run(store: Store, write: Write, { steps }: Plan, sight: Sight): Init<ResponseOp>[] {
  return steps.map(step => ({ response: runStep(store, write, step, sight) }))
}

function runStep(
  store: Store,
  write: Write,
  step: Step,
  sight: Sight,
): NonNullable<Init<ResponseOp>['response']> {
  switch (step.kind) {
    case 'range': {
      const answer = answerRange(store, step.request, sight)
      return { kind: 'range', value: { header: { revision: sight.last ?? write.revision }, ...answer } }
    }
    case 'put': {
      const answer = applyPut(store, write, step.request)
      return { kind: 'put', value: { header: { revision: write.revision }, ...answer } }
    }
    case 'deleteRange': {
      const answer = applyDeleteRange(write, step.request)
      return { kind: 'deleteRange', value: { header: { revision: write.revision }, ...answer } }
    }
    case 'txn': {
      // etcd leaves the header of a nested answer empty.
      const responses = run(store, write, step.plan, sight)
      return { kind: 'txn', value: { header: {}, succeeded: step.plan.succeeded, responses } }
    }
  }
}

function isRange({ request }: RequestOp): boolean {
  return request?.kind === 'range'
}

/** Every key of the range must satisfy it; where there is none, a key without revisions stands in. */
function holds(store: Store, compare: Compare, { now }: Sight): boolean {
  const { kvs } = store.range(intervalOf(compare.key, compare.rangeEnd), { at: now })
  if (kvs.length > 0) return kvs.every(kv => satisfies(compare, kv))
  return compare.target !== CompareTarget.value && satisfies(compare, ABSENT)
}

function satisfies(compare: Compare, kv: KeyValue): boolean {
  const order = orderOf(compare, kv)
  switch (compare.result) {
    case CompareResult.equal:
      return order === 0
    case CompareResult.greater:
      return order > 0
    case CompareResult.less:
      return order < 0
    case CompareResult.notEqual:
      return order !== 0
    default:
      return true
  }
}

/** An operand of another kind than the target counts as none: zero, or no bytes. */
function orderOf({ target, operand }: Compare, kv: KeyValue): number {
  switch (target) {
    case CompareTarget.version:
      return compareNumbers(kv.version, operand?.kind === 'version' ? operand.value : 0n)
    case CompareTarget.createRevision:
      return compareNumbers(kv.createRevision, operand?.kind === 'createRevision' ? operand.value : 0n)
    case CompareTarget.modRevision:
      return compareNumbers(kv.modRevision, operand?.kind === 'modRevision' ? operand.value : 0n)
    case CompareTarget.lease:
      return compareNumbers(kv.lease, operand?.kind === 'lease' ? operand.value : 0n)
    case CompareTarget.value:
      return compareBytes(kv.value, operand?.kind === 'value' ? operand.value : NOTHING)
    default:
      return 0
  }
}

const NOTHING: Uint8Array = new Uint8Array(0)

const ABSENT: KeyValue = {
  key: NOTHING,
  createRevision: 0n,
  modRevision: 0n,
  version: 0n,
  value: NOTHING,
  lease: 0n,
}
