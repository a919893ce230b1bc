import type { Engine } from '../src/client/engine.ts'
import type { KeySpace } from '../src/client/key-space.ts'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { checkOptions, checkRevision, checkSignal } from '../src/support/options.ts'
import { showAs } from '../src/support/shown.ts'
import { type Bytes, equalBytes, ownBytes, prefixEnd, printable, text, toBytes } from '../src/wire/bytes.ts'
import { SortOrder, SortTarget } from '../src/wire/gen/rpc.g.ts'
import { methods } from '../src/wire/methods.ts'
import { type Contender, readContenders } from './contender.ts'
import { type Explanation, explainLine } from './explain.ts'
import { Observation } from './internal/election/observation.ts'
import { resumeClaim } from './internal/election/resume.ts'
import { writeValue } from './internal/election/value.ts'
import { acquire } from './internal/line/acquisition.ts'
import { type Claim, claimFailed, giveUp, linePrefix, placeKey, type Wish } from './internal/line/claim.ts'
import { placeGone } from './internal/line/place.ts'
import { oneAtATime } from './internal/line/rule.ts'
import { tryAcquire } from './internal/line/try-acquire.ts'
import { firstOf, orAborted } from './internal/signals.ts'
import { LeaderInfo } from './leader-info.ts'
import { Leadership } from './leadership.ts'
import { checkedLock, checkName, type LockOptions } from './lock-options.ts'

export interface ObserveOptions {
  /** Ends the observation; the loop rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Where a leadership was left, by `orphan()` of its session or by a program in another language. */
export interface LeadershipPlace {
  /** Its key in etcd. */
  readonly key: Uint8Array
  /** When that was created: its fencing token. */
  readonly revision: bigint
}

/** What can be asked about an election without standing for it. */
export class ElectionView {
  readonly #engine: Engine
  readonly #name: Uint8Array
  readonly #ours: bigint | undefined
  /** Of all keys in its line, as etcd has them. */
  protected readonly prefix: Uint8Array

  static {
    showAs<ElectionView>(ElectionView, view => ({ name: text(view.#name) }))
  }

  /** `ours`: the lease of places to be told apart from others. */
  constructor(engine: Engine, space: KeySpace, name: Bytes, ours?: bigint) {
    this.#engine = engine
    this.#name = checkName(name, 'an election')
    this.#ours = ours
    this.prefix = linePrefix(space, this.#name)
  }

  /** Resolves with who leads, undefined if nobody does. One round trip. */
  async leader(options: CallOptions = {}): Promise<LeaderInfo | undefined> {
    const { signal, timeoutMs } = checkCall(options, [], 'leader')
    const end = prefixEnd(this.prefix)
    const { kvs } = await this.#engine.submitter.submit({
      method: methods.range,
      request: {
        key: this.prefix,
        rangeEnd: end,
        sortOrder: SortOrder.ascend,
        sortTarget: SortTarget.createRevision,
        limit: 1n,
      },
      footprint: { reads: [{ key: this.prefix, end }], writes: [] },
      consistency: 'linearizable',
      signal,
      timeoutMs,
    })
    return kvs[0] === undefined ? undefined : new LeaderInfo(kvs[0])
  }

  /** Resolves with everybody who stands for it, the leader first, in the order of their turn. One round trip. */
  async contenders(options: CallOptions = {}): Promise<readonly Contender[]> {
    options = checkCall(options, [], 'contenders')
    return readContenders(this.#engine, this.prefix, oneAtATime.keys, options)
  }

  /**
   * Resolves with who leads, who waits, since when and for whom, to be read by people. Where a value is proclaimed,
   * the key says nothing about its owner. One round trip.
   */
  async explain(options: CallOptions = {}): Promise<Explanation> {
    const line = await this.contenders(checkCall(options, [], 'explain'))
    return explainLine({ kind: 'election', name: this.#name, ours: this.#ours }, line, {
      holding: Math.min(1, line.length),
    })
  }

  /**
   * Who leads: now, then after every change of leader and every proclamation, in order, and undefined while nobody
   * does. Goes on through broken connections without a gap. After a compaction of what it had not seen yet it goes
   * on with who leads then. Never tells the same twice in a row. Leaving the loop ends it; nothing is sent before
   * the loop begins. Rejects when it can never be known: no permission, or the client was closed.
   */
  observe(
    options: ObserveOptions = {},
  ): AsyncIterableIterator<LeaderInfo | undefined, undefined> & AsyncDisposable {
    const { signal } = checkOptions(options, ['signal'], 'observe')
    checkSignal(signal, 'observe')
    return new Observation(this.#engine, this.prefix, head => new LeaderInfo(head), signal)
  }
}

/**
 * An election of one leader at a time, in order of arrival.
 *
 * Keys      `<name>/<lease in hex>`, the layout of Go's `concurrency.Election`, of `etcdctl elect` and of the
 *           server's own election service: all of them share a line with us, and so does a mutex of the same name.
 *           The value is what the campaigner proclaims.
 * Steps     1. wait for the other tasks of this session   2. in one transaction, create my key if it is absent and
 *           read the line   3. somebody earlier? wait until every earlier key is gone   4. lead until resigned or lost
 * Safety    at most one key is the oldest at any revision, and `guard()` and `txn()` hold to that. A process that was
 *           stopped may still believe; what it does outside etcd is told by its smaller fencing token. Nobody leads
 *           whose key is gone, also when that happened while it waited. Proclamations are bound to the write before:
 *           one that is applied late never comes back.
 * Liveness  first come, first served, across processes and languages. A crashed leader is followed after its TTL.
 *           What a client left behind for want of an answer is cleared by its session, at the latest with its lease.
 * Not       re-entrant: a second `campaign` of the session waits for the first, where Go's would proclaim.
 * Cost      free: 1 round trip to campaign, 1 to proclaim, 1 to resign. Contended: 1 to stand in line, and none from
 *           the resignation to the next leader. To campaign with a key that is there already, 1 more. To observe: 1,
 *           then one message per change.
 */
export class Election extends ElectionView {
  readonly #session: SessionContext
  readonly #name: Uint8Array

  constructor(session: SessionContext, name: Bytes) {
    super(session.engine, session.space, name, session.leaseId)
    this.#session = session
    this.#name = checkName(name, 'an election')
  }

  /**
   * Resolves when we lead, with `value` proclaimed; without one, with what the session says about itself. Waits for
   * every earlier contender. Rejects with the signal's reason at once, with SESSION_LOST or SESSION_CLOSED when the
   * session ends, with LOCK_LOST when somebody deletes our place, with NAME_CLASH when it would wait for this
   * session itself. Cancelling: you lose your place in the line.
   */
  async campaign(value?: Bytes, options: LockOptions = {}): Promise<Leadership> {
    const said = this.#said(value)
    const { signal } = checkedLock(options, 'campaign')
    return this.#won(await acquire(this.#session, [this.#wish(said)], signal), said, signal)
  }

  /**
   * Resolves with the leadership if nobody leads or waits for it, else with undefined, and nothing was written. One
   * round trip, none if this session has it.
   */
  async tryCampaign(value?: Bytes, options: LockOptions = {}): Promise<Leadership | undefined> {
    const said = this.#said(value)
    const { signal } = checkedLock(options, 'tryCampaign')
    const claim = await tryAcquire(this.#session, [this.#wish(said)], signal)
    return claim === undefined ? undefined : this.#won(claim, said, signal)
  }

  /**
   * Resolves with a leadership that was left with the lease of this session, under its old token: after `orphan()`,
   * in this process or another, or by a program in another language. With undefined, and nothing was touched, when
   * that key, created at that revision, does not lead, or goes with another lease. One round trip.
   */
  async resume(place: LeadershipPlace, options: CallOptions = {}): Promise<Leadership | undefined> {
    if (place === undefined) throw new TypeError('resume: takes { key, revision } of a leadership')
    const { key, revision } = checkOptions(place, ['key', 'revision'], 'resume')
    checkRevision(revision, 'revision', 1n)
    options = checkCall(options, [], 'resume')
    const ours = placeKey(this.prefix, this.#session.leaseId)
    if (!equalBytes(toBytes(key), ours))
      throw new RangeError(
        `resume: ${printable(toBytes(key))} does not go with this session; its own key is ${printable(ours)}`,
      )
    const resumed = await resumeClaim(this.#session, this.#wish(NO_VALUE), revision, options)
    if (resumed === undefined) return undefined
    const { value, modRevision } = resumed.kv
    return new Leadership(this.#session, this.#name, resumed.claim, {
      value: Uint8Array.from(value),
      modRevision,
    })
  }

  /** A key that was there already may say something else than what is wanted now. */
  async #won(claim: Claim, value: Uint8Array, signal: AbortSignal | undefined): Promise<Leadership> {
    const session = this.#session
    const { createRevision } = claim
    if (!claim.adopted)
      return new Leadership(session, this.#name, claim, { value, modRevision: createRevision })
    const { abort, stop } = firstOf(session.engine, [signal, session.closing])
    try {
      const modRevision = await writeValue({
        session,
        claim,
        value,
        modRevision: createRevision,
        when: 'different',
        time: () => ({ signal: abort.signal }),
      })
      if (modRevision === undefined) {
        session.doubt()
        throw placeGone(claim.stands[0]!.own, createRevision)
      }
      await orAborted(session.engine, [abort.signal], session.reliable())
      abort.throwIfAborted()
      return new Leadership(session, this.#name, claim, { value, modRevision })
    } catch (error) {
      session.background(giveUp(session, claim))
      throw claimFailed(session, error)
    } finally {
      stop()
    }
  }

  #said(value: Bytes | undefined): Uint8Array {
    return value === undefined ? this.#session.placeValue() : ownBytes(value, 'what is proclaimed')
  }

  #wish(value: Uint8Array): Wish {
    return { prefix: this.prefix, rule: oneAtATime, value }
  }
}

const NO_VALUE = new Uint8Array(0)
