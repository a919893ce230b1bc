import { Mutex as Turns } from 'async-mutex'
import { checkCall } from '../src/client/kv.ts'
import type { CallOptions } from '../src/client/submitter.ts'
import type { SessionContext } from '../src/session/session-context.ts'
import { type Bytes, ownBytes, text } from '../src/wire/bytes.ts'
import { Handle, type ReleaseOptions } from './handle.ts'
import { timeOf } from './internal/call-time.ts'
import { writeValue } from './internal/election/value.ts'
import type { Claim } from './internal/line/claim.ts'
import { orAborted } from './internal/signals.ts'

/** An election that is won: we lead until we resign or lose it. */
export class Leadership extends Handle {
  readonly #session: SessionContext
  readonly #claim: Claim
  readonly #proclamations = new Turns()
  #value: Uint8Array
  /** When the key was last written, as far as we know. */
  #modRevision: bigint

  constructor(
    session: SessionContext,
    name: Uint8Array,
    claim: Claim,
    said: { readonly value: Uint8Array; readonly modRevision: bigint },
  ) {
    super(session, text(name), claim, 'resigned from')
    this.#session = session
    this.#claim = claim
    this.#value = said.value
    this.#modRevision = said.modRevision
  }

  /** What we proclaimed last, as far as the cluster has confirmed it. */
  get value(): Uint8Array {
    return this.#value
  }

  /**
   * Tells everybody who observes the election a new value. Those of one leadership are told in the order of the
   * calls. Rejects with LOCK_LOST, and nothing is told, if we do not lead any more. When the outcome is unknown it
   * may still be told, but never after a later one. Cancelling stops waiting; it may still be told. One round trip.
   */
  async proclaim(value: Bytes, options: CallOptions = {}): Promise<void> {
    const bytes = ownBytes(value, 'what is proclaimed')
    options = checkCall(options, [], 'proclaim')
    options.signal?.throwIfAborted()
    const time = timeOf(this.#session.engine, options)
    const proclaimed = this.#proclamations.runExclusive(() => this.#write(bytes, time))
    await orAborted(this.#session.engine, [options.signal], proclaimed)
  }

  /**
   * Gives the leadership up; resolves when it is known to be free for others. Repeated in the background until
   * that is known; if the session ends meanwhile it resolves then, and the key goes when the cluster ends the
   * lease. Rejects if the cluster refuses. Quiet when repeated, and after a loss. One round trip.
   */
  resign(options: ReleaseOptions = {}): Promise<void> {
    return this.giveUp(options, 'resign')
  }

  async #write(value: Uint8Array, time: () => CallOptions): Promise<void> {
    this.assertMayWrite()
    const modRevision = await writeValue({
      session: this.#session,
      claim: this.#claim,
      value,
      modRevision: this.#modRevision,
      when: 'always',
      time,
    })
    if (modRevision === undefined) throw this.lose()
    this.#modRevision = modRevision
    this.#value = value
  }
}
