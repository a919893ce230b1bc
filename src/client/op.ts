import { checkOneOf, checkOptions, checkRevision } from '../support/options.ts'
import { type Bytes, ownBytes, toBytes } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import type {
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RequestOp,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from '../wire/gen/rpc.g.ts'
import { Compare } from './compare.ts'
import type { Span } from './footprint.ts'
import { type KeyRange, rangeOf } from './key-range.ts'
import type { KeySpace } from './key-space.ts'
import { KeyValue } from './key-value.ts'
import {
  GET_OPTIONS,
  type GetOptions,
  RANGE_OPTIONS,
  type RangeOptions,
  type RangeResult,
  rangeFields,
  rangeRequest,
  rangeResult,
} from './range.ts'
import { part } from './response-part.ts'

export interface PutOptions {
  /** The key goes when this lease does. Without it a lease the key had is taken off. */
  readonly lease?: bigint | undefined
  /** Answer with what the key was before. Default: no. */
  readonly previous?: boolean | undefined
  /**
   * `value`: write the lease only; the value given must be empty. `lease`: leave the lease as it is. Both fail with
   * NOT_FOUND when the key does not exist.
   */
  readonly keep?: 'value' | 'lease' | undefined
}

export interface DeleteOptions {
  /** Answer with what was deleted. Default: no. */
  readonly previous?: boolean | undefined
}

export interface PutResult {
  readonly revision: bigint
  /** With `previous`, and if there was one. */
  readonly previous: KeyValue | undefined
}

export interface DeleteResult {
  readonly revision: bigint
  /** How many keys there were to delete. */
  readonly deleted: number
  /** With `previous`: the deleted keys; else empty. */
  readonly previous: readonly KeyValue[]
}

declare const ANSWER: unique symbol

/** One step of a transaction, and the type of its answer. Made by `op`, runs in `txn`. */
export interface Op<Answer = unknown> {
  readonly [ANSWER]?: Answer
  /** Does it, or may it, write? */
  readonly writes: boolean
  /** Does it read a revision of its own choice? */
  readonly readsThePast: boolean
  wire(space: KeySpace): Init<RequestOp>
  answer(response: ResponseOp | undefined, revision: bigint, space: KeySpace): Answer
}

/** The answers of a tuple of steps, each of its own type. */
export type Answers<Ops extends readonly Op[]> = {
  readonly [Index in keyof Ops]: Ops[Index] extends Op<infer Answer> ? Answer : never
}

/** Compares and two lists of steps: `then` runs if all compares hold, `else` if not. Missing parts are empty. */
export interface TxnSpec<Then extends readonly Op[], Else extends readonly Op[]> {
  /** All of them have to hold. */
  readonly if?: readonly Compare[] | undefined
  readonly then?: Then | undefined
  readonly else?: Else | undefined
}

/** Which side ran, and the answers of its steps in order. */
export type TxnResult<Then extends readonly Op[], Else extends readonly Op[]> =
  | TxnSide<true, Answers<Then>>
  | TxnSide<false, Answers<Else>>

interface TxnSide<Succeeded extends boolean, Results> {
  /** Of everything the transaction wrote; of the store when it wrote nothing. */
  readonly revision: bigint
  readonly succeeded: Succeeded
  readonly results: Results
  /** `results`, under the name etcd has for them. */
  readonly responses: Results
}

export interface Ops {
  /** Its answer is the key, or undefined where there is none. */
  get(key: Bytes, options?: GetOptions): Op<KeyValue | undefined>
  range(keyOrRange: Bytes | KeyRange, options?: RangeOptions): Op<RangeResult>
  /** A transaction puts a key once at most. */
  put(key: Bytes, value: Bytes, options?: PutOptions): Op<PutResult>
  /** To delete what does not exist is no error: its answer counts. */
  delete(keyOrRange: Bytes | KeyRange, options?: DeleteOptions): Op<DeleteResult>
  /** A transaction within the transaction: all compares are made before anything is written. */
  txn<const Then extends readonly Op[] = readonly [], const Else extends readonly Op[] = readonly []>(
    spec: TxnSpec<Then, Else>,
  ): Op<TxnResult<Then, Else>>
}

/** The steps of a transaction. */
export const op: Ops = {
  get: (key, options) => getOp(key, options),
  range: (keyOrRange, options) => rangeOp(keyOrRange, options),
  put: (key, value, options) => putOp(key, value, options),
  delete: (keyOrRange, options) => deleteOp(keyOrRange, options),
  txn: spec => txnOp(spec),
}

function getOp(key: Bytes, options: GetOptions = {}): Op<KeyValue | undefined> {
  options = checkOptions(options, GET_OPTIONS, 'get')
  return readOp(rangeOf(toBytes(key)), options, ({ kvs }) => kvs[0])
}

function rangeOp(keyOrRange: Bytes | KeyRange, options: RangeOptions = {}): Op<RangeResult> {
  options = checkOptions(options, RANGE_OPTIONS, 'range')
  return readOp(rangeOf(keyOrRange), options, result => result)
}

function readOp<Answer>(
  range: KeyRange,
  options: RangeOptions,
  pick: (result: RangeResult) => Answer,
): Op<Answer> {
  const fields = rangeFields(options)
  return {
    writes: false,
    readsThePast: options.revision !== undefined,
    wire: space => ({ request: { kind: 'range', value: rangeRequest(space.span(range), fields) } }),
    answer: (response, revision, space) => pick(rangeResult(part(response, 'range'), revision, space)),
  }
}

function putOp(key: Bytes, value: Bytes, options: PutOptions = {}): Op<PutResult> {
  options = checkOptions(options, PUT_OPTIONS, 'put')
  const range = rangeOf(toBytes(key))
  const fields = putFields(ownBytes(value, 'a value'), options)
  return {
    writes: true,
    readsThePast: false,
    wire: space => ({ request: { kind: 'put', value: { key: space.key(range.key), ...fields } } }),
    answer: (response, revision, space) => putResult(part(response, 'put'), revision, space),
  }
}

function deleteOp(keyOrRange: Bytes | KeyRange, options: DeleteOptions = {}): Op<DeleteResult> {
  options = checkOptions(options, DELETE_OPTIONS, 'delete')
  const range = rangeOf(keyOrRange)
  const { previous } = options
  return {
    writes: true,
    readsThePast: false,
    wire: space => ({
      request: { kind: 'deleteRange', value: deleteRequest(space.span(range), { previous }) },
    }),
    answer: (response, revision, space) => deleteResult(part(response, 'deleteRange'), revision, space),
  }
}

function txnOp<Then extends readonly Op[], Else extends readonly Op[]>(
  spec: TxnSpec<Then, Else>,
): Op<TxnResult<Then, Else>> {
  spec = checkTxn(spec)
  const steps = stepsOf(spec)
  return {
    writes: steps.some(step => step.writes),
    readsThePast: steps.some(step => step.readsThePast),
    wire: space => ({ request: { kind: 'txn', value: txnRequest(spec, space) } }),
    answer: (response, revision, space) => txnResult(spec, part(response, 'txn'), revision, space),
  }
}

export const PUT_OPTIONS: readonly string[] = ['lease', 'previous', 'keep']
export const DELETE_OPTIONS: readonly string[] = ['previous']

/** Everything of a put but its key. */
export function putFields(value: Bytes, { lease, previous, keep }: PutOptions): Init<PutRequest> {
  if (keep !== undefined) checkOneOf(keep, ['value', 'lease'], 'keep')
  if (keep === 'lease' && lease !== undefined) throw new TypeError('put: a lease is either kept or given')
  const bytes = toBytes(value, 'a value')
  if (keep === 'value' && bytes.length > 0)
    throw new TypeError('put: the value is kept, so none may be given')
  return {
    value: bytes,
    lease: lease === undefined ? undefined : checkRevision(lease, 'lease'),
    prevKv: previous,
    ignoreValue: keep === 'value',
    ignoreLease: keep === 'lease',
  }
}

export function putResult({ prevKv }: PutResponse, revision: bigint, space: KeySpace): PutResult {
  return {
    revision,
    previous: prevKv === undefined ? undefined : new KeyValue(prevKv, space.local(prevKv.key)),
  }
}

export function deleteRequest({ key, end }: Span, { previous }: DeleteOptions): Init<DeleteRangeRequest> {
  return { key, rangeEnd: end, prevKv: previous }
}

export function deleteResult(
  { deleted, prevKvs }: DeleteRangeResponse,
  revision: bigint,
  space: KeySpace,
): DeleteResult {
  return {
    revision,
    deleted: Number(deleted),
    previous: prevKvs.map(kv => new KeyValue(kv, space.local(kv.key))),
  }
}

/**
 * Refuses what is no transaction, and the one kind that makes members of a cluster differ. Returns it with lists of its
 * own: the answers are read by them long after, when the caller's may have changed.
 */
export function checkTxn<Spec extends TxnSpec<readonly Op[], readonly Op[]>>(given: Spec): Spec {
  if (given === undefined || Array.isArray(given)) throw new TypeError('txn takes { if, then, else }')
  const spec = checkOptions(given, ['if', 'then', 'else'], 'txn')
  const own = {
    if: listOf(spec.if, 'if'),
    then: listOf(spec.then, 'then'),
    else: listOf(spec.else, 'else'),
  }
  if (own.if?.some(condition => !(condition instanceof Compare)))
    throw new TypeError("txn: 'if' is a list of compare(…)")
  const steps = stepsOf(own)
  if (steps.some(step => typeof step?.wire !== 'function'))
    throw new TypeError("txn: 'then' and 'else' are lists of op.…(…)")
  // etcd issue 18667: such a read is answered from each member's own history, while the transaction is applied.
  if (steps.some(step => step.writes) && steps.some(step => step.readsThePast)) {
    throw new TypeError('txn: a transaction that writes cannot read at a revision of its own choice')
  }
  // The copy of a tuple is a tuple of the same types.
  return own as unknown as Spec
}

function listOf<Item>(list: readonly Item[] | undefined, part: keyof TxnSpec<[], []>): Item[] | undefined {
  if (list !== undefined && !Array.isArray(list)) throw new TypeError(`txn: '${part}' is a list`)
  return list === undefined ? undefined : [...list]
}

export function txnRequest(spec: TxnSpec<readonly Op[], readonly Op[]>, space: KeySpace): Init<TxnRequest> {
  return {
    compare: (spec.if ?? []).flatMap(condition => condition.wire(space)),
    success: (spec.then ?? []).map(step => step.wire(space)),
    failure: (spec.else ?? []).map(step => step.wire(space)),
  }
}

export function txnResult<Then extends readonly Op[], Else extends readonly Op[]>(
  spec: TxnSpec<Then, Else>,
  response: TxnResponse,
  revision: bigint,
  space: KeySpace,
): TxnResult<Then, Else> {
  const { succeeded } = response
  const steps = (succeeded ? spec.then : spec.else) ?? []
  const results = steps.map((step, index) => step.answer(response.responses[index], revision, space))
  // Each step has made the answer of its own type, in order: the mapped tuple says the same.
  return { revision, succeeded, results, responses: results } as unknown as TxnResult<Then, Else>
}

export function stepsOf(spec: TxnSpec<readonly Op[], readonly Op[]>): readonly Op[] {
  return [...(spec.then ?? []), ...(spec.else ?? [])]
}
