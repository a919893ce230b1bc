import { createdAtWire, modifiedAtWire } from '../../../src/client/compare.ts'
import type { Engine } from '../../../src/client/engine.ts'
import { part } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import { printable, text, toBytes } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { PERMITS_LIMIT, type SlotKeys } from './slot-keys.ts'

/**
 * What to do when the semaphore exists with another number of permits than was asked for.
 *
 * - `adopt`: go by the one it has
 * - `fail`: reject
 * - `set`: the first acquisition writes its own; later changes are adopted
 */
export type LimitMismatch = 'adopt' | 'fail' | 'set'

interface Limit {
  readonly permits: number
  /** As it is written. */
  readonly raw: Uint8Array
}

/** The limit of one semaphore as whoever asks for permits believes it to be. Every claim compares it. */
export class SemaphoreLimit {
  readonly #engine: Engine
  readonly #keys: SlotKeys
  readonly #mismatch: LimitMismatch
  #wanted: number
  #believed: Limit
  /** The cluster has agreed once: what is found from now on is somebody's change. */
  #agreed = false

  constructor(engine: Engine, keys: SlotKeys, permits: number, mismatch: LimitMismatch) {
    this.#engine = engine
    this.#keys = keys
    this.#mismatch = mismatch
    this.#wanted = permits
    this.#believed = limitOf(permits)
  }

  get permits(): number {
    return this.#believed.permits
  }

  get raw(): Uint8Array {
    return this.#believed.raw
  }

  /** A claim that compared it was granted, or is in line. */
  agreed(): void {
    this.#agreed = true
  }

  /** Throws when so many can never be had, after asking the cluster. */
  async admit(count: number): Promise<void> {
    const kv = await readLimit(this.#engine, this.#keys, {})
    if (kv !== undefined) await this.found(kv)
    this.check(count)
  }

  check(count: number): void {
    if (count <= this.permits) return
    throw new EtcdError(
      'FAILED_PRECONDITION',
      `[FAILED_PRECONDITION] ${count} permits at once of a semaphore that has ${this.permits} (${printable(this.#keys.limit)})`,
      { outcome: 'rejected' },
    )
  }

  /** The cluster has this. Applies the policy; what comes of it is believed from now on. */
  async found(kv: KeyValue | undefined): Promise<void> {
    if (kv === undefined) {
      // Whoever deleted it while the semaphore is in use took the number, not the permits.
      await writeLimit(this.#engine, this.#keys, this.#believed.permits, undefined)
      return
    }
    const found = parsed(kv)
    if (found.permits !== this.#wanted) {
      if (this.#mismatch === 'fail') throw this.#refused(found.permits)
      if (this.#mismatch === 'set' && !this.#agreed) {
        await writeLimit(this.#engine, this.#keys, this.#wanted, kv)
        this.#believed = limitOf(this.#wanted)
        return
      }
    }
    this.#believed = found
  }

  /** Changes it for everybody. Two round trips, more while others change it, too. */
  async resize(permits: number, options: CallOptions): Promise<void> {
    const before = this.#wanted
    try {
      for (;;) {
        const kv = await readLimit(this.#engine, this.#keys, options)
        // Who acquires meanwhile may find it written already.
        this.#wanted = permits
        if (await writeLimit(this.#engine, this.#keys, permits, kv, options)) break
      }
    } catch (error) {
      if (EtcdError.is(error) && error.outcome !== 'unknown') this.#wanted = before
      throw error
    }
    this.#believed = limitOf(permits)
    this.#agreed = true
  }

  #refused(permits: number): EtcdError {
    return new EtcdError(
      'FAILED_PRECONDITION',
      `[FAILED_PRECONDITION] ${printable(this.#keys.limit)} says ${permits}, not ${this.#wanted} permits`,
      { outcome: 'rejected' },
    )
  }
}

/** Undefined for a semaphore nobody has used. One round trip. */
export async function readLimit(
  engine: Engine,
  { limit }: SlotKeys,
  { signal, timeoutMs }: CallOptions,
): Promise<KeyValue | undefined> {
  const { kvs } = await engine.submitter.submit({
    method: methods.range,
    request: { key: limit },
    footprint: { reads: [{ key: limit, end: NO_END }], writes: [] },
    consistency: 'linearizable',
    signal,
    timeoutMs,
  })
  return kvs[0]
}

export function permitsIn(kv: KeyValue): number {
  return parsed(kv).permits
}

/** Was it still as it had been seen, or does it already say so? */
async function writeLimit(
  engine: Engine,
  { limit }: SlotKeys,
  permits: number,
  seen: KeyValue | undefined,
  { signal, timeoutMs }: CallOptions = {},
): Promise<boolean> {
  const { raw } = limitOf(permits)
  const span = { key: limit, end: NO_END }
  const { succeeded, responses } = await engine.submitter.submit({
    method: methods.txn,
    request: {
      compare: [seen === undefined ? createdAtWire(limit, 0n) : modifiedAtWire(limit, seen.modRevision)],
      success: [{ request: { kind: 'put', value: { key: limit, value: raw } } }],
      failure: [{ request: { kind: 'range', value: { key: limit } } }],
    },
    footprint: { reads: [span], writes: [span] },
    // Guarded by the revision it was seen at: made twice, it finds itself.
    repeat: 'idempotent',
    signal,
    timeoutMs,
  })
  return succeeded || text(part(responses[0], 'range').kvs[0]?.value ?? NO_END) === text(raw)
}

function limitOf(permits: number): Limit {
  return { permits, raw: toBytes(String(permits)) }
}

function parsed({ key, value }: KeyValue): Limit {
  const words = text(value)
  const permits = NUMBER.test(words) ? Number(words) : 0
  if (permits >= 1 && permits <= PERMITS_LIMIT) return { permits, raw: value }
  throw new EtcdError(
    'FAILED_PRECONDITION',
    `[FAILED_PRECONDITION] ${printable(key)} is no number of permits but ${printable(value)}`,
    { outcome: 'rejected' },
  )
}

const NUMBER = /^[1-9]\d*$/
const NO_END = new Uint8Array(0)
