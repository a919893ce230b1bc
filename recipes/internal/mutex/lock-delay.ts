import { createdAtWire } from '../../../src/client/compare.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { Backoff } from '../../../src/support/backoff.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { concat, equalBytes, toBytes } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { CompareResult, CompareTarget } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { type Attempt, type Claim, claimFailed, endTurns, untilGivenUp } from '../line/claim.ts'
import { placeGone } from '../line/place.ts'
import { isFinal } from '../trouble.ts'

const PERSIST = { initialMs: 50, maxMs: 2000 }
const AGAIN_MS = 500
const NO_END = new Uint8Array(0)

/**
 * Keeps a lock empty for a while after somebody lost it.
 *
 * Keys      `<name>.delay`, with no lease: there while somebody holds the lock who wants this, and after he vanished.
 * Steps     1. with the lock in hand, create the mark if it is absent   2. is that of somebody else there? he did not
 *           unlock: wait, holding, then make it ours   3. unlocking deletes the mark with the key, in one transaction
 * Safety    the mark is never absent between a hold and its loss, and all that changes it is guarded by the key of
 *           the lock: whoever comes next sees it, whatever became of those in between. The wait begins when the lock
 *           is ours, so after the loss.
 * Liveness  a wait ends by itself; whoever is lost while it waits leaves the mark as it was.
 * Not       for locks some of whose users do without: what they do leaves the mark alone, or finds it too late.
 * Cost      1 round trip more to lock, none to unlock; after a loss the delay and 1 more.
 */
export class LockDelay {
  readonly #session: SessionContext
  readonly #key: Uint8Array
  readonly #delayMs: number

  constructor(session: SessionContext, name: Uint8Array, delayMs: number) {
    this.#session = session
    this.#key = session.space.key(concat(name, toBytes('.delay')))
    this.#delayMs = delayMs
  }

  /**
   * Resolves with the claim when nobody who lost it can be at it any more. Gives it up when it rejects. Whoever has
   * waited for the lock does not lose it to trouble that passes; whoever only tries is told.
   */
  pass(claim: Claim, signal: AbortSignal | undefined, how: 'lock' | 'tryLock'): Promise<Claim> {
    const times = { delayMs: this.#delayMs, againMs: how === 'lock' ? AGAIN_MS : undefined }
    return untilGivenUp(this.#session, new Passage(this.#session, this, claim, times), signal)
  }

  /** Is the lock ours without delay? Throws LOCK_LOST if it is not ours at all. One round trip. */
  async mark(claim: Claim, whose: 'mine' | 'anybody', abandoned: LazyAbort): Promise<boolean> {
    const { createRevision } = claim
    const { key } = claim.stands[0]!.own
    const value = markOf(claim)
    const absent = whose === 'mine' ? [createdAtWire(this.#key, 0n)] : []
    const spans = [
      { key, end: NO_END },
      { key: this.#key, end: NO_END },
    ]
    const { header, succeeded, responses } = await this.#session.engine.submitter.submit({
      method: methods.txn,
      request: {
        compare: [createdAtWire(key, createRevision), ...absent],
        success: [{ request: { kind: 'put', value: { key: this.#key, value } } }],
        failure: [
          { request: { kind: 'range', value: { key } } },
          { request: { kind: 'range', value: { key: this.#key } } },
        ],
      },
      footprint: { reads: spans, writes: [spans[1]!] },
      // Guarded by our key: made twice, it finds its own mark.
      repeat: 'idempotent',
      noMoreAttempts: abandoned,
    })
    if (succeeded) return true
    if (part(responses[0], 'range').kvs[0]?.createRevision !== createRevision) {
      this.#session.doubt()
      throw placeGone({ key }, revisionOf(header))
    }
    const found = part(responses[1], 'range').kvs[0]
    return found !== undefined && equalBytes(found.value, value)
  }

  /** Deletes the key and our mark. Resolves when they are known to be gone, with the session at the latest. */
  async release(claim: Claim, refused: (error: EtcdError) => void): Promise<void> {
    const { signal, engine } = this.#session
    const backoff = new Backoff(engine.runtime, PERSIST)
    for (let gone = false; !gone && !signal.aborted; ) {
      try {
        await this.#releaseOnce(claim)
        gone = true
      } catch (error) {
        if (!EtcdError.is(error)) throw error
        if (error.code === 'CLIENT_CLOSED') break
        if (error.outcome === 'rejected') refused(error)
        await sleep(engine.runtime, backoff.delay(), signal)
      }
    }
    endTurns(claim.stands)
  }

  async #releaseOnce(claim: Claim): Promise<void> {
    const { key } = claim.stands[0]!.own
    const spans = [
      { key, end: NO_END },
      { key: this.#key, end: NO_END },
    ]
    await this.#session.engine.submitter.submit({
      method: methods.txn,
      request: {
        compare: [createdAtWire(key, claim.createRevision)],
        success: [
          { request: { kind: 'deleteRange', value: { key } } },
          {
            request: {
              kind: 'txn',
              value: {
                // That of somebody who vanished stays: whoever comes next is to wait for him.
                compare: [
                  {
                    key: this.#key,
                    target: CompareTarget.value,
                    result: CompareResult.equal,
                    operand: { kind: 'value', value: markOf(claim) },
                  },
                ],
                success: [{ request: { kind: 'deleteRange', value: { key: this.#key } } }],
              },
            },
          },
        ],
      },
      footprint: { reads: spans, writes: spans },
      // Guarded by the create revision: made twice, it deletes once.
      repeat: 'idempotent',
    })
  }
}

/** From the grant to the moment it may be told. */
class Passage implements Attempt<Claim> {
  readonly #session: SessionContext
  readonly #delay: LockDelay
  readonly #claim: Claim
  readonly #delayMs: number
  /** After which it is asked again what got no answer; undefined if that is told. */
  readonly #againMs: number | undefined
  readonly #abandoned = new LazyAbort()

  constructor(
    session: SessionContext,
    delay: LockDelay,
    claim: Claim,
    { delayMs, againMs }: { readonly delayMs: number; readonly againMs: number | undefined },
  ) {
    this.#session = session
    this.#delay = delay
    this.#claim = claim
    this.#delayMs = delayMs
    this.#againMs = againMs
  }

  async run(): Promise<Claim> {
    try {
      if (!(await this.#mark('mine'))) {
        await sleep(this.#session.engine.runtime, this.#delayMs, this.#abandoned.signal)
        this.#abandoned.throwIfAborted()
        await this.#mark('anybody')
      }
      await this.#session.reliable()
      this.#abandoned.throwIfAborted()
      return this.#claim
    } catch (error) {
      this.#session.background(this.#delay.release(this.#claim, () => {}))
      throw claimFailed(this.#session, error)
    }
  }

  async #mark(whose: 'mine' | 'anybody'): Promise<boolean> {
    for (;;) {
      try {
        return await this.#delay.mark(this.#claim, whose, this.#abandoned)
      } catch (error) {
        if (this.#againMs === undefined || !EtcdError.is(error) || isFinal(error)) throw error
        await sleep(this.#session.engine.runtime, this.#againMs, this.#abandoned.signal)
        this.#abandoned.throwIfAborted()
      }
    }
  }

  abandon(reason: unknown): void {
    this.#abandoned.abort(() => reason)
  }
}

function markOf({ createRevision }: Claim): Uint8Array {
  return toBytes(JSON.stringify({ v: 1, held: String(createRevision) }))
}
