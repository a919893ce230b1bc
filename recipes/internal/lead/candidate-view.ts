import type { Engine } from '../../../src/client/engine.ts'
import { mapKey, prefixEnd } from '../../../src/wire/bytes.ts'
import type { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { watchKeys } from '../watched-keys.ts'
import { type Candidate, type LeadKeys, ranked } from './candidate-entry.ts'

/**
 * The leaders' line and the candidates, each kept in step with the server. They are two watches, so what one shows
 * may be older than what the other does: whoever acts upon both has the server compare.
 */
export class CandidateView {
  readonly #engine: Engine
  readonly #keys: LeadKeys
  readonly #stops: readonly { readonly stop: () => void }[]
  #leaders: ReadonlyMap<string, KeyValue> | undefined
  #leadersRevision = 0n
  #candidates: readonly Candidate[] | undefined
  #wake: () => void = () => {}
  #hasChanged = false
  #error: EtcdError | undefined

  constructor(engine: Engine, keys: LeadKeys, ttlMs: number) {
    this.#engine = engine
    this.#keys = keys
    const everyMs = 2 * ttlMs
    const ended = (error: EtcdError) => {
      this.#error = error
      this.#changed()
    }
    this.#stops = [
      watchKeys(
        engine,
        { key: keys.leaders, rangeEnd: prefixEnd(keys.leaders), everyMs },
        {
          changed: ({ kvs, revision }) => {
            this.#leaders = kvs
            this.#leadersRevision = revision
            this.#changed()
          },
          // Whoever waits for the leader its claim was refused for hears that it is no more.
          unchanged: revision => {
            this.#leadersRevision = revision
            this.#changed()
          },
          ended,
        },
      ),
      watchKeys(
        engine,
        { key: keys.candidates, rangeEnd: prefixEnd(keys.candidates), everyMs },
        {
          changed: ({ kvs }) => {
            this.#candidates = ranked(kvs.values(), this.#keys)
            this.#changed()
          },
          ended,
        },
      ),
    ]
  }

  /** Have both been read? */
  get isKnown(): boolean {
    return this.#leaders !== undefined && this.#candidates !== undefined
  }

  /** The best ranked first. */
  get candidates(): readonly Candidate[] {
    return this.#candidates ?? []
  }

  /** Whoever leads, stands in the line, or is in the way. */
  get leaders(): Iterable<KeyValue> {
    return this.#leaders?.values() ?? []
  }

  get isVacant(): boolean {
    return this.#leaders?.size === 0
  }

  /** The line of leaders is shown as it was at this revision or later. */
  get leadersRevision(): bigint {
    return this.#leadersRevision
  }

  leader(key: Uint8Array): KeyValue | undefined {
    return this.#leaders?.get(mapKey(key))
  }

  /**
   * Resolves when something has changed since it was asked last, or after so long. A whole answer of the server has
   * been applied by then. Rejects when it will never be known, and with the reason of the signal.
   */
  async change(signal: AbortSignal, withinMs: number = Number.POSITIVE_INFINITY): Promise<void> {
    signal.throwIfAborted()
    if (!this.#hasChanged) {
      let stopListening = () => {}
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve
        stopListening = this.#engine.aborts.on(signal, reject)
        if (withinMs === Number.POSITIVE_INFINITY) return
        const timer = this.#engine.runtime.setTimer(withinMs, resolve)
        const stop = stopListening
        stopListening = () => {
          timer.cancel()
          stop()
        }
      }).finally(() => stopListening())
    }
    this.#hasChanged = false
    if (this.#error !== undefined) throw this.#error
  }

  stop(): void {
    for (const { stop } of this.#stops) stop()
  }

  #changed(): void {
    this.#hasChanged = true
    this.#wake()
  }
}
