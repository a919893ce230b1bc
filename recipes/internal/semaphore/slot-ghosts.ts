import type { WatchHandle } from '../../../src/client/watch-hub.ts'
import { removeKeys } from '../../../src/session/own-key.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { Backoff } from '../../../src/support/backoff.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { equalBytes, mapKey } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { isFinal } from '../trouble.ts'
import type { SlotKeys } from './slot-keys.ts'
import type { SlotWish } from './slot-wire.ts'

const PERSIST = { initialMs: 50, maxMs: 2000 }

/** Slots taken in one transaction. */
export interface Taken {
  readonly createRevision: bigint
  /** That of the claim. */
  readonly value: Uint8Array
  readonly keys: readonly Uint8Array[]
}

/** A claim some attempt of which got no answer. */
interface Suspect {
  /** Attempts that may still be applied, as far as is known. */
  attempts: number
  /** `undecided`: its owner still asks, and what appears may be what it is about to be told. */
  state: 'undecided' | { readonly kept: bigint | undefined }
}

/**
 * The slots one session may yet be given without anybody waiting for them.
 *
 * A claim whose answer was lost may be applied much later, also after its repeat was granted and released, and on
 * any slot that is free by then: the slot would be held by nobody for as long as the session lives. Every claim
 * writes a value of its own, so from the first unanswered attempt on the slots are watched for that value, and what
 * appears, other than what its owner was told of, is deleted under its create revision. The watch ends with the
 * session, or when every unanswered attempt has been accounted for.
 */
export class SlotGhosts implements AsyncDisposable {
  readonly #session: SessionContext
  readonly #keys: SlotKeys
  readonly #forget: () => void
  readonly #suspects = new Map<string, Suspect>()
  #watch: WatchHandle | undefined
  #sweeping: Promise<void> | undefined
  #sweepAgain = false
  #forgetSession: () => void = () => {}

  constructor(session: SessionContext, keys: SlotKeys, forget: () => void) {
    this.#session = session
    this.#keys = keys
    this.#forget = forget
  }

  /** An attempt to take slots with this value got no answer. */
  unanswered(value: Uint8Array): void {
    if (this.#session.signal.aborted) return
    const name = mapKey(value)
    const suspect = this.#suspects.get(name) ?? { attempts: 0, state: 'undecided' }
    suspect.attempts += 1
    this.#suspects.set(name, suspect)
    this.#open()
  }

  /** One of the attempts turned out to be what its owner goes on with. */
  accounted(value: Uint8Array): void {
    const suspect = this.#suspects.get(mapKey(value))
    if (suspect !== undefined) suspect.attempts -= 1
  }

  /** No more attempts with this value are made. Its owner was told of the slots taken at this revision, or of none. */
  settled(value: Uint8Array, kept: bigint | undefined): void {
    const suspect = this.#suspects.get(mapKey(value))
    if (suspect === undefined) return
    suspect.state = { kept }
    this.#sweep()
  }

  /**
   * The session closes, or leaves its lease to others: what can be seen now goes. What is still asked for goes when
   * whoever asks has settled, so the watch ends only with the session.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#suspects.size > 0) this.#sweep()
  }

  #open(): void {
    if (this.#watch !== undefined) return
    const { engine } = this.#session
    this.#watch = engine.recipeWatches.watch(
      { key: this.#keys.slots, rangeEnd: this.#keys.slotsEnd, filter: 'no-deletes', onBreak: 'restart' },
      {
        opened: () => this.#sweep(),
        revision: (_, events) => {
          if (events.some(({ kv }) => kv !== undefined && this.#suspects.has(mapKey(kv.value)))) this.#sweep()
        },
        broken: () => {},
        // No rights, or the client was closed: the end of the lease is what remains.
        ended: () => {},
      },
    )
    // What is asked for while the session closes goes with its lease, or is swept when whoever asks has settled.
    if (!this.#session.closing.aborted) this.#session.attach(this)
    this.#forgetSession = engine.aborts.on(this.#session.signal, () => {
      this.#suspects.clear()
      this.#stop()
    })
  }

  #stop(): void {
    this.#watch?.cancel()
    this.#watch = undefined
    this.#forgetSession()
    this.#session.detach(this)
    this.#forget()
  }

  /** What comes while the slots are being read is read again, unless nobody is suspected any more: then the watch has ended. */
  #sweep(): void {
    if (this.#sweeping !== undefined) {
      this.#sweepAgain = true
      return
    }
    this.#sweeping = this.#sweepAll()
    this.#session.background(this.#sweeping)
  }

  async #sweepAll(): Promise<void> {
    do {
      this.#sweepAgain = false
      await this.#sweepOnce()
    } while (this.#sweepAgain && this.#suspects.size > 0)
    this.#sweeping = undefined
  }

  async #sweepOnce(): Promise<void> {
    const kvs = (await readSlots(this.#session, this.#keys, 'goes on')) ?? []
    for (const [name, suspect] of [...this.#suspects]) {
      const { state } = suspect
      if (state === 'undecided') continue
      const value = (kv: KeyValue) => mapKey(kv.value) === name
      for (const { createRevision, keys } of takenAt(kvs.filter(value))) {
        if (createRevision === state.kept) continue
        await removeKeys(this.#session, keys, createRevision)
        suspect.attempts -= 1
      }
      if (suspect.attempts <= 0) this.#suspects.delete(name)
    }
    if (this.#suspects.size === 0) this.#stop()
  }
}

/** One watch for ghosts per session and semaphore, whatever objects lead there, and only where there may be any. */
export class GhostsOfSlots {
  readonly #ofSessions = new WeakMap<SessionContext, Map<string, SlotGhosts>>()

  /** Undefined where every attempt has been accounted for. */
  find(session: SessionContext, keys: SlotKeys): SlotGhosts | undefined {
    return this.#ofSessions.get(session)?.get(mapKey(keys.slots))
  }

  of(session: SessionContext, keys: SlotKeys): SlotGhosts {
    const ofSession = this.#ofSessions.get(session) ?? new Map<string, SlotGhosts>()
    this.#ofSessions.set(session, ofSession)
    const name = mapKey(keys.slots)
    const ghosts = ofSession.get(name) ?? new SlotGhosts(session, keys, () => ofSession.delete(name))
    ofSession.set(name, ghosts)
    return ghosts
  }

  /**
   * What an attempt of this claim without an answer has taken. If a part of it is gone the rest goes, too: it is no
   * permit, and the claim would wait for it. That one may yet be seen and counted by a sweep, so it is not counted here.
   */
  async takenEarlier(session: SessionContext, { keys, value, count }: SlotWish): Promise<Taken | undefined> {
    const taken = (await slotsWith(session, keys, value)) ?? []
    const whole = taken.find(one => one.keys.length === count)
    if (whole !== undefined) this.find(session, keys)?.accounted(value)
    else for (const rest of taken) await removeKeys(session, rest.keys, rest.createRevision)
    return whole
  }
}

/**
 * What this session holds, with this value if one is given, the oldest first; undefined when the session ended. Throws
 * when the cluster will not tell: whoever took that for nothing would wait for its own slots.
 */
export async function slotsWith(
  session: SessionContext,
  keys: SlotKeys,
  value?: Uint8Array,
): Promise<readonly Taken[] | undefined> {
  const kvs = await readSlots(session, keys, 'throws')
  return kvs && takenAt(kvs.filter(kv => value === undefined || equalBytes(kv.value, value)))
}

/** Deletes what this session holds with this value. As {@link removeKeys} it goes on trying until the session is over. */
export async function removeSlotsWith(
  session: SessionContext,
  keys: SlotKeys,
  value: Uint8Array,
): Promise<void> {
  const kvs = (await readSlots(session, keys, 'goes on')) ?? []
  for (const taken of takenAt(kvs.filter(kv => equalBytes(kv.value, value))))
    await removeKeys(session, taken.keys, taken.createRevision)
}

/** Undefined when the session ended. */
async function readSlots(
  session: SessionContext,
  { slots, slotsEnd }: SlotKeys,
  whenRefused: 'throws' | 'goes on',
): Promise<readonly KeyValue[] | undefined> {
  const { runtime, submitter } = session.engine
  const backoff = new Backoff(runtime, PERSIST)
  while (!session.signal.aborted) {
    try {
      const { kvs } = await submitter.submit({
        method: methods.range,
        request: { key: slots, rangeEnd: slotsEnd },
        footprint: { reads: [{ key: slots, end: slotsEnd }], writes: [] },
        consistency: 'linearizable',
      })
      return kvs.filter(({ lease }) => lease === session.leaseId)
    } catch (error) {
      if (!EtcdError.is(error) || (whenRefused === 'throws' && isFinal(error))) throw error
      if (error.code === 'CLIENT_CLOSED') return undefined
      await sleep(runtime, backoff.delay(), session.signal)
    }
  }
  return undefined
}

function takenAt(kvs: readonly KeyValue[]): readonly Taken[] {
  const taken = new Map<bigint, Taken & { readonly keys: Uint8Array[] }>()
  for (const { key, createRevision, value } of kvs) {
    const known = taken.get(createRevision)
    if (known === undefined) taken.set(createRevision, { createRevision, value, keys: [key] })
    else known.keys.push(key)
  }
  return [...taken.values()].sort((one, other) => (one.createRevision < other.createRevision ? -1 : 1))
}
