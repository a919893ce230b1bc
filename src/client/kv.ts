import { checkInteger, checkOptions, checkRevision, checkSignal } from '../support/options.ts'
import { type Bytes, toBytes } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import type { RangeRequest, TxnRequest } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import type { Span } from './footprint.ts'
import { type KeyRange, rangeOf } from './key-range.ts'
import type { KeySpace } from './key-space.ts'
import type { KeyValue } from './key-value.ts'
import {
  checkTxn,
  DELETE_OPTIONS,
  type DeleteOptions,
  type DeleteResult,
  deleteRequest,
  deleteResult,
  type Op,
  PUT_OPTIONS,
  type PutOptions,
  type PutResult,
  putFields,
  putResult,
  stepsOf,
  type TxnResult,
  type TxnSpec,
  txnRequest,
  txnResult,
} from './op.ts'
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
import type { CallOptions, Submitter } from './submitter.ts'

const CALL_OPTIONS: readonly string[] = ['signal', 'timeoutMs']

/** Checks what every call takes. Returns the options as they may be read. */
export function checkCall<Options extends CallOptions | undefined>(
  options: Options,
  known: readonly string[],
  where: string,
): Options {
  const own = checkOptions(options, [...known, ...CALL_OPTIONS], where)
  checkSignal(own?.signal, where)
  if (own?.timeoutMs !== undefined) checkInteger(own.timeoutMs, 'timeoutMs', { min: 1 })
  return own
}

export interface PagesOptions extends Omit<RangeOptions, 'limit' | 'sort'>, CallOptions {
  /** Keys per request. Default: 1000. */
  readonly pageSize?: number | undefined
}

export interface CompactOptions extends CallOptions {
  /** Resolve only when the space has been given back inside the server's store. Default: no. */
  readonly physical?: boolean | undefined
}

const NOTHING: readonly Span[] = []
const PAGE_SIZE = 1000

/** Keys and values of one namespace. What each call promises stands where users meet it, in `Client`. */
export class KV {
  readonly #submitter: Submitter
  readonly #space: KeySpace

  constructor(submitter: Submitter, space: KeySpace) {
    this.#submitter = submitter
    this.#space = space
  }

  async get(key: Bytes, options: GetOptions & CallOptions = {}): Promise<KeyValue | undefined> {
    options = checkCall(options, GET_OPTIONS, 'get')
    const { kvs } = await this.#read(this.#space.span(rangeOf(toBytes(key))), rangeFields(options), options)
    return kvs[0]
  }

  async range(keyOrRange: Bytes | KeyRange, options: RangeOptions & CallOptions = {}): Promise<RangeResult> {
    options = checkCall(options, RANGE_OPTIONS, 'range')
    return this.#read(this.#space.span(rangeOf(keyOrRange)), rangeFields(options), options)
  }

  pages(keyOrRange: Bytes | KeyRange, options: PagesOptions = {}): AsyncIterable<RangeResult> {
    options = checkCall(
      options,
      [...RANGE_OPTIONS.filter(name => name !== 'limit' && name !== 'sort'), 'pageSize'],
      'pages',
    )
    const { pageSize = PAGE_SIZE, ...rest } = options
    const limit = checkInteger(pageSize, 'pageSize', { min: 1 })
    const fields = rangeFields({ ...rest, limit })
    return this.#pages(this.#space.span(rangeOf(keyOrRange)), fields, options)
  }

  async *#pages(
    span: Span,
    fields: Init<RangeRequest>,
    options: GetOptions & CallOptions,
  ): AsyncGenerator<RangeResult> {
    let { key } = span
    let revision = fields.revision
    for (;;) {
      const page = await this.#read({ key, end: span.end }, { ...fields, revision }, options)
      yield page
      const last = page.kvs.at(-1)
      if (!page.more || last === undefined) return
      revision ??= page.revision
      // The smallest key after the last one.
      const after = this.#space.key(last.key)
      key = new Uint8Array(after.length + 1)
      key.set(after)
    }
  }

  async put(key: Bytes, value: Bytes, options: PutOptions & CallOptions = {}): Promise<PutResult> {
    options = checkCall(options, PUT_OPTIONS, 'put')
    const range = rangeOf(toBytes(key))
    const response = await this.#submitter.submit({
      method: methods.put,
      request: { key: this.#space.key(range.key), ...putFields(value, options) },
      footprint: { reads: NOTHING, writes: [this.#space.span(range)] },
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return putResult(response, response.header?.revision ?? 0n, this.#space)
  }

  async delete(
    keyOrRange: Bytes | KeyRange,
    options: DeleteOptions & CallOptions = {},
  ): Promise<DeleteResult> {
    options = checkCall(options, DELETE_OPTIONS, 'delete')
    const span = this.#space.span(rangeOf(keyOrRange))
    const response = await this.#submitter.submit({
      method: methods.deleteRange,
      request: deleteRequest(span, options),
      footprint: { reads: NOTHING, writes: [span] },
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return deleteResult(response, response.header?.revision ?? 0n, this.#space)
  }

  async txn<const Then extends readonly Op[] = readonly [], const Else extends readonly Op[] = readonly []>(
    spec: TxnSpec<Then, Else>,
    options: CallOptions = {},
  ): Promise<TxnResult<Then, Else>> {
    spec = checkTxn(spec)
    options = checkCall(options, [], 'txn')
    const readOnly = !stepsOf(spec).some(step => step.writes)
    const request = asked(txnRequest(spec, this.#space))
    const response = await this.#submitter.submit({
      method: methods.txn,
      request,
      footprint: 'alone',
      repeat: readOnly ? 'read' : 'once',
      consistency: readOnly ? consistencyOf(request) : undefined,
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return txnResult(spec, response, response.header?.revision ?? 0n, this.#space)
  }

  async compact(revision: bigint, options: CompactOptions = {}): Promise<void> {
    options = checkCall(options, ['physical'], 'compact')
    await this.#submitter.submit({
      method: methods.compact,
      request: { revision: checkRevision(revision, 'revision', 1n), physical: options.physical },
      footprint: 'alone',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
  }

  async #read(
    span: Span,
    fields: Init<RangeRequest>,
    options: GetOptions & CallOptions,
  ): Promise<RangeResult> {
    const response = await this.#submitter.submit({
      method: methods.range,
      request: rangeRequest(span, fields),
      footprint: { reads: [span], writes: NOTHING },
      consistency: options.consistency ?? 'linearizable',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return rangeResult(response, response.header?.revision ?? 0n, this.#space)
  }
}

/** Of a transaction without a step a member would judge by what it knows itself: one read makes it ask the others first. */
function asked(request: Init<TxnRequest>): Init<TxnRequest> {
  const { compare: [condition] = [], success = [], failure = [] } = request
  if (condition === undefined || success.length + failure.length > 0) return request
  // What may be compared may be read.
  const value = { key: condition.key, countOnly: true }
  return { ...request, failure: [{ request: { kind: 'range', value } }] }
}

/** Of a transaction that only reads. The member that is asked asks nobody first where all that is read may be from the past. */
function consistencyOf({ success = [], failure = [] }: Init<TxnRequest>): 'linearizable' | 'serializable' {
  const isLinearizable = [...success, ...failure].some(
    step => step?.request?.kind !== 'range' || step.request.value?.serializable !== true,
  )
  return isLinearizable ? 'linearizable' : 'serializable'
}
