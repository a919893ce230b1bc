import { onAbort, quietController } from '../support/abort.ts'
import { checkInteger, checkRevision } from '../support/options.ts'
import { ownOnly } from '../support/own.ts'
import type { Runtime } from '../support/runtime.ts'
import { EtcdError } from '../wire/errors.ts'
import type { LeaseGrantResponse } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import type { KeySpace } from './key-space.ts'
import { checkCall } from './kv.ts'
import type { KeptLease, LeaseKeeper, LeaseListener } from './lease-keeper.ts'
import type { CallOptions, Submitter } from './submitter.ts'

/** etcd refuses more. */
export const LONGEST_TTL_SECONDS = 9_000_000_000

export interface GrantOptions extends CallOptions {
  /** Of your own choice, positive; default: random. An id in use is LEASE_EXISTS. */
  readonly id?: bigint | undefined
}

export interface Granted {
  readonly id: bigint
  /** In seconds, as the server grants it: it raises what is too short for it. */
  readonly ttl: number
}

export interface LeaseInfo {
  readonly id: bigint
  /** Seconds left. */
  readonly ttl: number
  /** Seconds it was granted for. */
  readonly grantedTtl: number
  /** With the option `keys`: what goes with it, as far as it lies in the namespace; else empty. */
  readonly keys: readonly Uint8Array[]
}

export interface TimeToLiveOptions extends CallOptions {
  /** Name the keys that go with the lease, too. Default: no. */
  readonly keys?: boolean | undefined
}

/** A lease that is renewed in the background until `stop()`. For locks and the like, use a session. */
export interface LeaseRenewal {
  readonly id: bigint
  /** Milliseconds it may still be relied on if nothing more is heard; read from the clock each time. */
  readonly remainingMs: number
  /** Aborts when the lease cannot be relied on any more: with SESSION_LOST, or CLIENT_CLOSED with the client. */
  readonly signal: AbortSignal
  /** Stops renewing; the lease runs out by itself. */
  stop(): void
}

/** For a lease that something is to be built on. */
export interface OpeningOptions extends CallOptions {
  /** See {@link Submission}. */
  readonly noMoreAttempts?: { readonly signal: AbortSignal } | undefined
}

/** Leases of the cluster. They know no namespaces. */
export class Lease {
  readonly #submitter: Submitter
  readonly #keeper: LeaseKeeper
  readonly #runtime: Runtime
  readonly #space: KeySpace
  readonly #closing: AbortSignal

  constructor(parts: {
    readonly submitter: Submitter
    readonly keeper: LeaseKeeper
    readonly runtime: Runtime
    readonly space: KeySpace
    /** Aborts when nothing is renewed any more. */
    readonly closing: AbortSignal
  }) {
    this.#submitter = parts.submitter
    this.#keeper = parts.keeper
    this.#runtime = parts.runtime
    this.#space = parts.space
    this.#closing = parts.closing
  }

  /**
   * Resolves with a lease of at least `ttl` seconds. Repeated when an answer is lost, for it names its own id. Where
   * you have chosen it, LEASE_EXISTS with the outcome `unknown` then says that the lease is yours or somebody else's.
   * One round trip.
   */
  async grant(ttl: number, options: GrantOptions = {}): Promise<Granted> {
    options = checkCall(options, ['id'], 'grant')
    const { id, ttl: granted } = await this.#grant(checkTtl(ttl), options)
    return { id, ttl: granted }
  }

  /** Grants and keeps: what a session starts with. The deadline counts from the first attempt that may have been applied. */
  async grantAndKeep(ttl: number, options: OpeningOptions, listener: LeaseListener): Promise<KeptLease> {
    const { id, ttl: granted, sent } = await this.#grant(ttl, options)
    return this.#keeper.keep({ id, ttlMs: granted * 1000, ...sent }, listener)
  }

  /** Keeps a lease that somebody left behind. LEASE_NOT_FOUND if it is gone. One round trip, then renewals. */
  async adopt(id: bigint, options: OpeningOptions, listener: LeaseListener): Promise<KeptLease> {
    let sent = this.#keeper.instant()
    const { ttl, grantedTtl } = await this.#timeToLive(id, {
      ...options,
      onSend: () => {
        sent = this.#keeper.instant()
      },
    })
    if (ttl <= 0) throw leaseNotFound(id)
    // As if granted so long ago that just this is left of it, one percent of which will be taken off. A new leader gives
    // leases more than their TTL; to count from the future would be to take no answer for news until then.
    const sentAtMs = sent.sentAtMs - Math.max(0, grantedTtl - ttl) * 990
    const kept = this.#keeper.keep({ id, ttlMs: grantedTtl * 1000, ...sent, sentAtMs }, listener)
    kept.renewNow()
    return kept
  }

  /** Resolves when the lease and every key that went with it are gone, at one revision. LEASE_NOT_FOUND if there is none. One round trip. */
  async revoke(id: bigint, options: CallOptions = {}): Promise<void> {
    options = checkCall(options, [], 'revoke')
    let unanswered = false
    try {
      await this.#submitter.submit({
        method: methods.leaseRevoke,
        request: { id: checkLeaseId(id) },
        footprint: 'alone',
        onUnanswered: () => (unanswered = true),
        signal: options.signal,
        timeoutMs: options.timeoutMs,
      })
    } catch (error) {
      // The attempt whose answer was lost did it.
      if (unanswered && EtcdError.is(error, 'LEASE_NOT_FOUND')) return
      throw error
    }
  }

  /** Resolves with what the cluster knows of a lease, undefined if there is none. One round trip. */
  async timeToLive(id: bigint, options: TimeToLiveOptions = {}): Promise<LeaseInfo | undefined> {
    options = checkCall(options, ['keys'], 'timeToLive')
    const response = await this.#timeToLive(checkLeaseId(id), options)
    if (response.ttl < 0) return undefined
    const { ttl, grantedTtl, keys } = response
    const own = keys.filter(key => this.#space.has(key))
    return { id, ttl, grantedTtl, keys: own.map(key => this.#space.local(key)) }
  }

  /** Resolves with the ids of all leases of the cluster. One round trip. */
  async list(options: CallOptions = {}): Promise<readonly bigint[]> {
    options = checkCall(options, [], 'list')
    const { leases } = await this.#submitter.submit({
      method: methods.leaseLeases,
      request: {},
      footprint: 'alone',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return leases.map(({ id }) => id)
  }

  /** Renews a lease from now on. LEASE_NOT_FOUND if there is none. One round trip, then one message per third of its TTL. */
  async keepAlive(id: bigint, options: CallOptions = {}): Promise<LeaseRenewal> {
    options = checkCall(options, [], 'keepAlive')
    const loss = quietController()
    let stopListening = () => {}
    const kept = await this.adopt(checkLeaseId(id), options, {
      changed: state => {
        if (state.kind !== 'lost') return
        stopListening()
        loss.abort(state.error)
      },
    })
    if (!loss.signal.aborted) stopListening = onAbort(this.#closing, reason => loss.abort(reason))
    return {
      id,
      signal: loss.signal,
      get remainingMs() {
        return kept.remainingMs
      },
      stop: () => {
        stopListening()
        kept.stop()
      },
    }
  }

  async #grant(ttl: number, options: GrantOptions & OpeningOptions) {
    const { id: chosen, signal, timeoutMs, noMoreAttempts } = ownOnly(options)
    const id = chosen === undefined ? this.#randomId() : checkLeaseId(chosen)
    const sends: ReturnType<LeaseKeeper['instant']>[] = []
    let unanswered = false
    try {
      const response = await this.#submitter.submit({
        method: methods.leaseGrant,
        request: { id, ttl: BigInt(ttl) },
        footprint: 'alone',
        repeat: 'idempotent',
        onSend: () => sends.push(this.#keeper.instant()),
        onUnanswered: () => {
          unanswered = true
        },
        noMoreAttempts,
        signal,
        timeoutMs,
      })
      if (response.id === id && response.ttl > 0n) {
        return { id, ttl: Number(response.ttl), sent: sends.at(-1)! }
      }
      unanswered = true
      throw anotherLease(id, response)
    } catch (error) {
      if (!unanswered) throw error
      // Somebody else may have chosen the same id: then it is neither ours to use nor ours to revoke.
      if (chosen !== undefined) throw error
      // An attempt whose answer was lost did it, perhaps the first. What was asked for is the least it granted.
      if (EtcdError.is(error, 'LEASE_EXISTS')) return { id, ttl, sent: sends[0]! }
      // Nobody will use what may have been granted.
      void this.revoke(id).catch(() => {})
      throw error
    }
  }

  async #timeToLive(
    id: bigint,
    options: TimeToLiveOptions & OpeningOptions & { readonly onSend?: () => void },
  ) {
    const { keys: named, onSend, noMoreAttempts, signal, timeoutMs } = ownOnly(options)
    const { ttl, grantedTtl, keys } = await this.#submitter.submit({
      method: methods.leaseTimeToLive,
      request: { id, keys: named },
      footprint: 'alone',
      onSend,
      noMoreAttempts,
      signal,
      timeoutMs,
    })
    return { ttl: Number(ttl), grantedTtl: Number(grantedTtl), keys }
  }

  /** 63 random bits, never 0: the server takes negative ids badly and 0 as "choose one". */
  #randomId(): bigint {
    const [high = 0, low = 0] = new Uint32Array(this.#runtime.randomBytes(8).buffer)
    const id = (BigInt(high & 0x7fffffff) << 32n) | BigInt(low)
    return id === 0n ? 1n : id
  }
}

function anotherLease(asked: bigint, { id, ttl }: LeaseGrantResponse): EtcdError {
  return new EtcdError(
    'PROTOCOL',
    `[PROTOCOL] lease ${asked.toString(16)} was asked for, and lease ${id.toString(16)} granted, for ${ttl} s`,
    { outcome: 'unknown' },
  )
}

/** A TTL in whole seconds. */
export function checkTtl(ttl: unknown): number {
  return checkInteger(ttl, 'ttl', { min: 1, max: LONGEST_TTL_SECONDS })
}

export function checkLeaseId(id: unknown): bigint {
  return checkRevision(id, 'a lease id', 1n)
}

export function leaseNotFound(id: bigint): EtcdError {
  return new EtcdError(
    'LEASE_NOT_FOUND',
    `[LEASE_NOT_FOUND] there is no lease ${id.toString(16)}: it ran out or was revoked`,
    {
      outcome: 'rejected',
    },
  )
}
