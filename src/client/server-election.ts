import { checkOptions, checkRevision } from '../support/options.ts'
import { type Bytes, toBytes } from '../wire/bytes.ts'
import type { Init } from '../wire/codec.ts'
import { EtcdError } from '../wire/errors.ts'
import type { LeaderResponse, LeaderKey as WireLeaderKey } from '../wire/gen/v3election.g.ts'
import { methods } from '../wire/methods.ts'
import type { Engine } from './engine.ts'
import type { KeySpace } from './key-space.ts'
import { KeyValue } from './key-value.ts'
import { checkCall } from './kv.ts'
import { checkLeaseId } from './lease.ts'
import { NO_HURRY_MS } from './server-lock.ts'
import { serverStream } from './server-stream.ts'
import type { CallOptions } from './submitter.ts'

/** What the service knows a leadership by. */
export interface LeaderKey {
  /** Of the election. */
  readonly name: Uint8Array
  readonly key: Uint8Array
  /** When the key was created: the fencing token. */
  readonly revision: bigint
  readonly leaseId: bigint
}

/**
 * The election service inside the server, for programs that must do what others do through it. It stands in one line
 * with Go's election and with {@link Election}, which is what you want in every other case: this one notices no
 * loss, may elect somebody whose lease is over, never tells that nobody leads, and when the connection breaks while
 * it waits, nobody knows whether it leads.
 */
export class ServerElection {
  readonly #engine: Engine
  readonly #space: KeySpace

  constructor(engine: Engine, space: KeySpace) {
    this.#engine = engine
    this.#space = space
  }

  /**
   * Resolves once the server says that we lead. Goes with the lease, which is yours to keep alive. Waits as long as it
   * takes, unless told otherwise. Cancelling: the server gives up when it hears of it; only revoking the lease is
   * sure to. Not repeated when its outcome is unknown.
   */
  async campaign(name: Bytes, leaseId: bigint, value: Bytes, options: CallOptions = {}): Promise<LeaderKey> {
    const bytes = toBytes(name, 'the name of an election')
    checkLeaseId(leaseId)
    const proclaimed = toBytes(value, 'what is proclaimed')
    const { signal, timeoutMs = NO_HURRY_MS } = checkCall(options, [], 'campaign')
    const { leader } = await this.#engine.submitter.submit({
      method: methods.campaign,
      request: { name: this.#space.key(bytes), lease: leaseId, value: proclaimed },
      footprint: 'alone',
      signal,
      timeoutMs,
    })
    if (leader === undefined)
      throw new EtcdError('PROTOCOL', '[PROTOCOL] a campaign was won without saying by whom', {
        outcome: 'unknown',
      })
    const key = Uint8Array.from(this.#space.local(leader.key))
    return { name: bytes, key, revision: leader.revision, leaseId: leader.lease }
  }

  /** Resolves when the new value is told. FAILED_PRECONDITION if that key is gone. One round trip. */
  async proclaim(leader: LeaderKey, value: Bytes, options: CallOptions = {}): Promise<void> {
    const request = { leader: this.#wire(leader), value: toBytes(value, 'what is proclaimed') }
    const { signal, timeoutMs } = checkCall(options, [], 'proclaim')
    const method = methods.proclaim
    await this.#engine.submitter.submit({ method, request, footprint: 'alone', signal, timeoutMs })
  }

  /** Resolves when that leadership is over, also if it was already. One round trip. */
  async resign(leader: LeaderKey, options: CallOptions = {}): Promise<void> {
    const request = { leader: this.#wire(leader) }
    const { signal, timeoutMs } = checkCall(options, [], 'resign')
    const method = methods.resign
    await this.#engine.submitter.submit({ method, request, footprint: 'alone', signal, timeoutMs })
  }

  /** Resolves with the key and the value of who leads, undefined if nobody does. One round trip. */
  async leader(name: Bytes, options: CallOptions = {}): Promise<KeyValue | undefined> {
    const request = { name: this.#space.key(toBytes(name, 'the name of an election')) }
    const { signal, timeoutMs } = checkCall(options, [], 'leader')
    const method = methods.leader
    try {
      const { kv } = await this.#engine.submitter.submit({
        method,
        request,
        footprint: 'alone',
        consistency: 'linearizable',
        signal,
        timeoutMs,
      })
      return kv && new KeyValue(kv, this.#space.local(kv.key))
    } catch (error) {
      if (EtcdError.is(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  /**
   * Who leads, after every change and proclamation the service notices; that nobody does it never tells. Does not
   * outlive its connection: rejects with UNAVAILABLE when that breaks and when the server gives up, which it does
   * without a reason. Leaving the loop ends it.
   */
  observe(name: Bytes, options: Pick<CallOptions, 'signal'> = {}): AsyncIterable<KeyValue> {
    const request = { name: this.#space.key(toBytes(name, 'the name of an election')) }
    const { signal } = checkCall(checkOptions(options, ['signal'], 'observe'), [], 'observe')
    return { [Symbol.asyncIterator]: () => this.#observe(request, signal) }
  }

  async *#observe(
    request: { readonly name: Uint8Array },
    signal: AbortSignal | undefined,
  ): AsyncGenerator<KeyValue, void, undefined> {
    const news = new News()
    const leave = await serverStream(this.#engine, methods.observe, request, { signal }, news)
    try {
      for (;;) {
        const { kv } = await news.next()
        if (kv !== undefined) yield new KeyValue(kv, this.#space.local(kv.key))
      }
    } finally {
      leave()
    }
  }

  #wire(leader: LeaderKey): Init<WireLeaderKey> {
    if (leader === undefined) throw new TypeError('the key of a leader is what `campaign` resolved with')
    const { name, key, revision, leaseId } = checkOptions(
      leader,
      ['name', 'key', 'revision', 'leaseId'],
      'leader',
    )
    checkRevision(revision, 'revision', 1n)
    checkLeaseId(leaseId)
    return {
      name: this.#space.key(toBytes(name, 'the name of an election')),
      key: this.#space.key(toBytes(key)),
      revision,
      lease: leaseId,
    }
  }
}

/** What the stream brought and the loop has not taken; the next is brought when there is nothing left. */
class News {
  readonly #ready: LeaderResponse[] = []
  #end: { readonly reason: unknown } | undefined
  #wake: () => void = () => {}
  #taken: () => void = () => {}

  onMessage(response: LeaderResponse): Promise<void> {
    this.#ready.push(response)
    this.#wake()
    return new Promise(resolve => {
      this.#taken = resolve
    })
  }

  onEnd(reason: unknown): void {
    this.#end ??= { reason }
    this.#wake()
  }

  async next(): Promise<LeaderResponse> {
    for (;;) {
      const response = this.#ready.shift()
      if (response !== undefined) return response
      if (this.#end !== undefined) throw this.#end.reason
      this.#taken()
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }
}
