import { createdAtWire, modifiedAtWire } from '../src/client/compare.ts'
import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall } from '../src/client/kv.ts'
import { part, revisionOf } from '../src/client/response-part.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import { checkInteger, checkOptions, checkSignal } from '../src/support/options.ts'
import { type Bytes, concat, equalBytes, mapKey, prefixEnd, text, toBytes } from '../src/wire/bytes.ts'
import type { Init } from '../src/wire/codec.ts'
import { EtcdError } from '../src/wire/errors.ts'
import type { KeyValue } from '../src/wire/gen/kv.g.ts'
import type { RequestOp, Compare as WireCompare } from '../src/wire/gen/rpc.g.ts'
import { methods } from '../src/wire/methods.ts'
import {
  checkedName,
  deleteOf,
  encoded,
  fieldsOf,
  NO_END,
  putOf,
  readOf,
  versionOf,
} from './internal/barrier/wire.ts'
import { timeOf } from './internal/call-time.ts'
import { untilKeys } from './internal/watched-keys.ts'

export interface LatchWaitOptions {
  /** Stops waiting. Safe: nothing was taken. */
  readonly signal?: AbortSignal | undefined
}

/** What the count key says, and how often it was written. */
interface Count {
  /** Counted from 1; 0 before a count was ever set. */
  readonly round: number
  readonly total: number
  /** Version of the key when the count was set: each version above it is one participant. */
  readonly base: bigint
  /** Of the latest setting, so that its author knows it. */
  readonly id: string
  readonly createRevision: bigint
  readonly modRevision: bigint
  readonly version: bigint
}

const UNSET: Count = {
  round: 0,
  total: 0,
  base: 0n,
  id: '',
  createRevision: 0n,
  modRevision: 0n,
  version: 0n,
}

/**
 * Opens when as many participants as were asked for have counted it down.
 *
 * Keys      `<name>/count` has the number asked for; a write that keeps its value is one participant, so its version
 *           tells how many there were. `<name>/<round>/<participant>` marks each as counted, and goes when the next
 *           round opens. `<name>/open` says which round opened last. None has a lease: a crash takes nothing back.
 * Steps     count down: in one transaction, unless the participant is marked or the round is over, mark it and write
 *           the count, and, if it is the last one, `open`. Wait: read; open? go on; else watch `open`
 * Safety    each participant of a round is counted once, however often its request is made or applied late; the last
 *           one opens the latch in the very transaction that counts it. A wait resolves only for a round that has
 *           come to zero. The count is never negative.
 * Liveness  a participant that never comes is waited for, for ever if need be: give the wait a signal.
 * Not       taken back: a participant that crashes after it was counted stays counted. Not for a name below which
 *           others keep keys: whatever stands below `<name>/<round>/` goes when the next round opens.
 * Cost      count down: 1 round trip, without contention; 1 more the first time in a round. Wait: 1 if it is open, else
 *           2 and one message when it opens. Count: 1. Set: 2.
 */
export class Latch {
  readonly name: string
  readonly #engine: Engine
  readonly #prefix: Uint8Array
  readonly #count: Uint8Array
  readonly #open: Uint8Array
  #latest: Count = UNSET

  constructor(engine: Engine, space: KeySpace, name: Bytes) {
    const bytes = checkedName(name, 'a latch')
    this.name = text(bytes)
    this.#engine = engine
    this.#prefix = space.key(concat(bytes, toBytes('/')))
    this.#count = concat(this.#prefix, toBytes('count'))
    this.#open = concat(this.#prefix, toBytes('open'))
  }

  /**
   * Begins a round that opens after `count` participants. Resolves with whether it did: not while a round is under
   * way. With several that try, one does. A request whose outcome is unknown rejects, and says so.
   */
  async trySetCount(count: number, options: CallOptions = {}): Promise<boolean> {
    checkInteger(count, 'count', { min: 1 })
    const time = timeOf(this.#engine, checkCall(options, [], 'trySetCount'))
    const id = Buffer.from(this.#engine.runtime.randomBytes(9)).toString('hex')
    let isInDoubt = false
    for (let now = await this.#read(time()); ; ) {
      if (now.id === id) return true
      // Ours may have been set and have run out, unseen, before this one.
      if (isInDoubt) throw this.#unknown('whether its count was set could not be learnt')
      if (remaining(now) > 0) return false
      const next = { round: now.round + 1, total: count, base: String(now.version + 1n), id }
      const { header, succeeded, responses } = await this.#engine.submitter.submit({
        method: methods.txn,
        request: {
          compare: [modifiedAtWire(this.#count, now.modRevision)],
          success: [putOf(this.#count, encoded(next))],
          failure: [readOf(this.#count)],
        },
        footprint: this.#footprint,
        // Guarded by the revision it writes over: made twice, it finds its own id.
        repeat: 'idempotent',
        ...time(),
        onUnanswered: () => {
          isInDoubt = true
        },
      })
      if (succeeded) {
        const revision = revisionOf(header)
        const createRevision = now.version === 0n ? revision : now.createRevision
        const version = now.version + 1n
        this.#latest = { ...next, base: version, createRevision, modRevision: revision, version }
        return true
      }
      now = this.#countOf(part(responses[0], 'range').kvs[0])
    }
  }

  /**
   * Counts a participant, once per round however often it is called: give those that may call it again, also after
   * a crash, a name. Without one each call is a participant of its own. Resolves with how many are still missing; 0
   * also when the latch was open already. Rejects with NOT_FOUND when no count was ever set, and with the outcome
   * `unknown` when answers were lost while rounds went by. Cancelling: the participant may be counted all the same.
   */
  async countDown(participant?: Bytes, options: CallOptions = {}): Promise<number> {
    const call = toBytes(Buffer.from(this.#engine.runtime.randomBytes(9)).toString('hex'))
    const id = participant === undefined ? call : checkedName(participant, 'a participant')
    const time = timeOf(this.#engine, checkCall(options, [], 'countDown'))
    let isInDoubt = false
    for (let now = this.#latest.round > 0 ? this.#latest : await this.#read(time()); ; ) {
      const tried = now
      if (tried.round === 0) throw this.#unset()
      const mark = concat(this.#prefix, toBytes(`${tried.round}/`), id)
      const { succeeded, responses } = await this.#engine.submitter.submit({
        method: methods.txn,
        request: {
          compare: [createdAtWire(mark, 0n), ...this.#isUnderWay(tried)],
          success: [this.#again, putOf(mark, call), this.#openIfLast(tried), readOf(this.#count)],
          failure: [readOf(mark), readOf(this.#count)],
        },
        footprint: this.#footprint,
        // Marks what it counts: made twice, it finds the mark.
        repeat: 'idempotent',
        ...time(),
        onUnanswered: () => {
          isInDoubt = true
        },
      })
      now = this.#countOf(part(responses.at(-1), 'range').kvs[0])
      if (succeeded) return remaining(now)
      const isSame = now.round === tried.round && now.createRevision === tried.createRevision
      const found = part(responses[0], 'range').kvs[0]
      if (isSame && (found !== undefined || remaining(now) === 0)) return remaining(now)
      // An attempt of this call was the one that counted. A mark of an earlier call is none in the present round.
      if (found !== undefined && equalBytes(found.value, call)) return 0
      // An attempt without an answer may have counted it in the round it named; marks go when the next one opens.
      const isMarkKept = now.round === tried.round + 1 && remaining(now) > 0
      if (isInDoubt && !isMarkKept) throw this.#unknown('whether it was counted down could not be learnt')
      isInDoubt = false
    }
  }

  /** Resolves with how many are still missing: 0 if the latch is open, or was never given a count. One round trip. */
  async count(options: CallOptions = {}): Promise<number> {
    return remaining(await this.#read(checkCall(options, [], 'count')))
  }

  /**
   * Resolves when the round that is under way now has come to zero; at once if the latch is open. One that was never
   * given a count is waited for, from its first round on. Rejects at once with the signal's reason.
   */
  async wait(options: LatchWaitOptions = {}): Promise<void> {
    options = checkOptions(options, ['signal'], 'wait')
    const { signal } = options
    checkSignal(signal, 'wait')
    signal?.throwIfAborted()
    const now = await this.#read({ signal })
    if (now.round > 0 && remaining(now) === 0) return
    const round = Math.max(1, now.round)
    await untilKeys(
      this.#engine,
      { key: this.#open, rangeEnd: NO_END },
      ({ kvs }) => roundOf(kvs.get(mapKey(this.#open))) >= round || undefined,
      [signal],
    )
  }

  /** Compares that hold while this round is under way. The versions of each round are its own. */
  #isUnderWay({ createRevision, base, total }: Count): readonly Init<WireCompare>[] {
    return [
      createdAtWire(this.#count, createRevision),
      versionOf(this.#count, 'greater', base - 1n),
      versionOf(this.#count, 'less', base + BigInt(total)),
    ]
  }

  /** Opens the latch if this is the last one: all compares are made before anything is written. */
  #openIfLast({ round, base, total }: Count): Init<RequestOp> {
    const earlier = concat(this.#prefix, toBytes(`${round - 1}/`))
    return {
      request: {
        kind: 'txn',
        value: {
          compare: [versionOf(this.#count, 'equal', base + BigInt(total) - 1n)],
          success: [putOf(this.#open, encoded({ round })), deleteOf(earlier, prefixEnd(earlier))],
        },
      },
    }
  }

  async #read({ signal, timeoutMs }: CallOptions): Promise<Count> {
    const { kvs } = await this.#engine.submitter.submit({
      method: methods.range,
      request: { key: this.#count },
      footprint: { reads: [{ key: this.#count, end: NO_END }], writes: [] },
      consistency: 'linearizable',
      signal,
      timeoutMs,
    })
    return this.#countOf(kvs[0])
  }

  #countOf(kv: KeyValue | undefined): Count {
    if (kv === undefined) return UNSET
    const { createRevision, modRevision, version } = kv
    const { round, total, base, id } = fieldsOf(kv, 'a latch', {
      round: 'number',
      total: 'number',
      base: 'bigint',
      id: 'string',
    })
    this.#latest = { round, total, base, id, createRevision, modRevision, version }
    return this.#latest
  }

  #unknown(what: string): EtcdError {
    return new EtcdError('UNKNOWN', `[UNKNOWN] the latch ${this.name}: ${what}`, { outcome: 'unknown' })
  }

  #unset(): EtcdError {
    return new EtcdError('NOT_FOUND', `[NOT_FOUND] the latch ${this.name} was never given a count`, {
      outcome: 'rejected',
    })
  }

  /** One more version of the count. */
  get #again(): Init<RequestOp> {
    return { request: { kind: 'put', value: { key: this.#count, ignoreValue: true } } }
  }

  get #footprint(): { readonly reads: readonly Span[]; readonly writes: readonly Span[] } {
    const whole = [{ key: this.#prefix, end: prefixEnd(this.#prefix) }]
    return { reads: whole, writes: whole }
  }
}

interface Span {
  readonly key: Uint8Array
  readonly end: Uint8Array
}

function remaining({ total, base, version }: Count): number {
  return Math.max(0, total - Number(version - base))
}

function roundOf(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : fieldsOf(kv, 'a latch', { round: 'number' }).round
}
