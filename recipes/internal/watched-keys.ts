import type { Engine } from '../../src/client/engine.ts'
import type { WatchHandle } from '../../src/client/watch-hub.ts'
import type { WatchSink } from '../../src/client/watcher.ts'
import { sleep } from '../../src/support/bounded.ts'
import { LazyAbort } from '../../src/support/lazy-abort.ts'
import type { Timer } from '../../src/support/runtime.ts'
import { mapKey } from '../../src/wire/bytes.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { Event, KeyValue } from '../../src/wire/gen/kv.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { isFinal } from './trouble.ts'

const AGAIN_MS = 500
/** Without a session there is no TTL to go by. */
const EVERY_MS = 30_000

export interface WatchedRange {
  readonly key: Uint8Array
  /** Empty for the single key; as in a range request otherwise. */
  readonly rangeEnd: Uint8Array
  /** Values are left out of the view. Default: no. */
  readonly keysOnly?: boolean | undefined
  /**
   * `deletions`: writes send no news, so that many who watch the same keys come and go in peace; the view shows
   * a key that came since only after the next reading. Default: everything.
   */
  readonly only?: 'deletions' | undefined
  /** The keys are read again after so long, since servers are known to lose events. Default: 30 s. */
  readonly everyMs?: number | undefined
}

/** The keys of a range as they stood at one revision. To be read when it is told: the next one uses the same map. */
export interface KeysState {
  readonly revision: bigint
  /** By the key in etcd, as the key of a map. */
  readonly kvs: ReadonlyMap<string, KeyValue>
  /** Grows whenever keys were seen to go, also such as this view has never shown. */
  readonly departures: number
}

export interface KeysListener {
  /** First what there is, then each time it is something else. A whole revision at a time. */
  changed(state: KeysState): void
  /** The keys were read again and are what was told last; whatever came may have gone again, unseen. */
  unchanged?(revision: bigint): void
  /** It will never be known: no permission, or the client was closed. Nothing comes after it. */
  ended(error: EtcdError): void
}

/**
 * A view of a key or a range, kept in step with the server.
 *
 * The watch begins from now, since what begins in the past is delivered on a 100 ms tick only. When it exists,
 * at W, the keys are read at W or later; from then on events above the revision of that reading are applied. A
 * broken watch is opened from now and the keys are read again: what the view shows was so at one revision, and
 * that a watch was lost is never taken for news. One round trip in the beginning and after every break.
 */
export function watchKeys(
  engine: Engine,
  range: WatchedRange,
  listener: KeysListener,
): { readonly stop: () => void } {
  const view = new View(engine, range, listener)
  return { stop: () => view.stop() }
}

/**
 * Resolves with the first thing `satisfied` finds in the view. Rejects with the reason of whichever signal aborts
 * first, with what `satisfied` throws, and when the view ends. No watch, timer or listener stays behind.
 */
export function untilKeys<Found>(
  engine: Engine,
  range: WatchedRange,
  satisfied: (state: KeysState) => Found | undefined,
  signals: readonly (AbortSignal | undefined)[] = [],
): Promise<Found> {
  return new Promise((resolve, reject) => {
    const listening: (() => void)[] = []
    let view: { readonly stop: () => void } | undefined
    const finish = () => {
      view?.stop()
      for (const stop of listening) stop()
    }
    const fail = (reason: unknown) => {
      finish()
      reject(reason)
    }
    for (const signal of signals) {
      // One that has aborted already would be told while the others are still being listened to.
      if (signal?.aborted) return fail(signal.reason)
      listening.push(engine.aborts.on(signal, fail))
    }
    view = watchKeys(engine, range, {
      changed: state => {
        try {
          const found = satisfied(state)
          if (found === undefined) return
          finish()
          resolve(found)
        } catch (error) {
          fail(error)
        }
      },
      ended: fail,
    })
  })
}

interface Revision {
  readonly revision: bigint
  readonly events: readonly Event[]
}

class View implements WatchSink {
  readonly #engine: Engine
  readonly #range: WatchedRange
  readonly #listener: KeysListener
  readonly #watch: WatchHandle
  readonly #everyMs: number
  #timer: Timer
  #kvs = new Map<string, KeyValue>()
  #revision = 0n
  #departures = 0
  #isStopped = false
  /** The server has the watch. */
  #isOpen = false
  /** The keys were read since the watch was opened: events may be applied to them. */
  #isInStep = false
  /** The reading under way, and what happened since it began. */
  #reading: LazyAbort | undefined
  #since: Revision[] = []
  #hasTold = false

  constructor(engine: Engine, range: WatchedRange, listener: KeysListener) {
    this.#engine = engine
    this.#range = range
    this.#listener = listener
    this.#everyMs = range.everyMs ?? EVERY_MS
    this.#timer = this.#lookLater()
    this.#watch = engine.recipeWatches.watch(
      {
        key: range.key,
        rangeEnd: range.rangeEnd,
        filter: range.only === 'deletions' ? 'no-puts' : undefined,
        onBreak: 'restart',
      },
      this,
    )
  }

  stop(): void {
    this.#isStopped = true
    this.#watch.cancel()
    this.#timer.cancel()
    this.#reading?.abort(() => undefined)
  }

  opened(revision: bigint): void {
    this.#isOpen = true
    this.#isInStep = false
    this.#look(revision)
  }

  revision(revision: bigint, events: readonly Event[]): void {
    if (this.#reading !== undefined) this.#since.push({ revision, events })
    // Without a reading in this opening of the watch, what happened before it may be missing below these events.
    if (!this.#isInStep || revision <= this.#revision) return
    this.#apply({ revision, events })
    this.#tell()
  }

  broken(): void {
    this.#isOpen = false
    this.#isInStep = false
  }

  ended(error: EtcdError): void {
    if (this.#isStopped) return
    this.stop()
    this.#listener.ended(error)
  }

  #lookLater(): Timer {
    return this.#engine.runtime.setTimer(this.#everyMs, () => this.#look(0n)).unref()
  }

  /** Begins to read the keys as they are at `revision` or later; a reading under way is given up. */
  #look(revision: bigint): void {
    this.#reading?.abort(() => undefined)
    this.#timer.cancel()
    const reading = new LazyAbort()
    this.#reading = reading
    this.#since = []
    void this.#read(revision > this.#revision ? revision : this.#revision, reading)
  }

  async #read(atLeast: bigint, reading: LazyAbort): Promise<void> {
    const { submitter, runtime } = this.#engine
    const { key, rangeEnd, keysOnly } = this.#range
    while (!reading.aborted) {
      try {
        const { header, kvs } = await submitter.submit({
          method: methods.range,
          request: { key, rangeEnd, keysOnly },
          footprint: { reads: [{ key, end: rangeEnd }], writes: [] },
          consistency: 'linearizable',
          atLeast,
          signal: reading.signal,
        })
        if (!reading.aborted) this.#have(header?.revision ?? 0n, kvs)
        return
      } catch (error) {
        if (reading.aborted) return
        if (!EtcdError.is(error) || isFinal(error)) return this.ended(error as EtcdError)
        // No answer is no news: the view stays as it was.
        await sleep(runtime, AGAIN_MS, reading.signal)
      }
    }
  }

  /** The keys as they were read, and all that came since. */
  #have(revision: bigint, kvs: readonly KeyValue[]): void {
    const before = this.#kvs
    const departuresBefore = this.#departures
    this.#kvs = new Map(kvs.map(kv => [mapKey(kv.key), kv]))
    this.#revision = revision
    for (const [name, { createRevision }] of before)
      if (this.#kvs.get(name)?.createRevision !== createRevision) this.#departures += 1
    for (const later of this.#since) {
      if (later.revision > revision) this.#apply(later)
      else this.#departures += later.events.filter(isDeletion).length
    }
    this.#since = []
    this.#reading = undefined
    this.#isInStep = this.#isOpen
    this.#timer = this.#lookLater()
    if (!this.#hasTold || this.#departures > departuresBefore || !sameKeys(before, this.#kvs)) this.#tell()
    else this.#listener.unchanged?.(this.#revision)
  }

  #apply({ revision, events }: Revision): void {
    for (const event of events) {
      if (event.kv === undefined) continue
      const name = mapKey(event.kv.key)
      if (isDeletion(event)) {
        this.#departures += 1
        this.#kvs.delete(name)
      } else this.#kvs.set(name, this.#range.keysOnly ? { ...event.kv, value: NO_VALUE } : event.kv)
    }
    this.#revision = revision
  }

  #tell(): void {
    this.#hasTold = true
    this.#listener.changed({ revision: this.#revision, kvs: this.#kvs, departures: this.#departures })
  }
}

const NO_VALUE = new Uint8Array(0)

function isDeletion({ type }: Event): boolean {
  return type === 1
}

function sameKeys(one: ReadonlyMap<string, KeyValue>, other: ReadonlyMap<string, KeyValue>): boolean {
  if (one.size !== other.size) return false
  for (const [name, { modRevision }] of one) if (other.get(name)?.modRevision !== modRevision) return false
  return true
}
