import { firstOf, part, revisionOf } from '../../src/client/response-part.ts'
import type { OwnKey, Turn } from '../../src/session/own-key.ts'
import type { SessionContext } from '../../src/session/session-context.ts'
import { LazyAbort } from '../../src/support/lazy-abort.ts'
import { prefixEnd } from '../../src/wire/bytes.ts'
import { CompareResult, CompareTarget } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { nameClash } from './acquisition.ts'
import {
  type Attempt,
  type Claim,
  claimFailed,
  giveUp,
  type LineName,
  understood,
  untilGivenUp,
} from './claim.ts'
import { entryOf, isForeign } from './entry.ts'
import { lineRange } from './line-reading.ts'

/**
 * The head of the line if nobody stands in it, undefined otherwise; then nothing was written. One round trip,
 * none if another task of this session is in the way.
 */
export async function tryAcquire(
  session: SessionContext,
  name: LineName,
  signal?: AbortSignal,
): Promise<Claim | undefined> {
  signal?.throwIfAborted()
  session.assertOpen()
  const own = session.ownKeys.of(name.key)
  const turn = own.tryEnter()
  return turn === undefined
    ? undefined
    : untilGivenUp(session, new ImmediateAttempt(session, name, own, turn), signal)
}

class ImmediateAttempt implements Attempt<Claim | undefined> {
  readonly #session: SessionContext
  readonly #name: LineName
  readonly #own: OwnKey
  readonly #turn: Turn
  readonly #abandoned = new LazyAbort()

  constructor(session: SessionContext, name: LineName, own: OwnKey, turn: Turn) {
    this.#session = session
    this.#name = name
    this.#own = own
    this.#turn = turn
  }

  async run(): Promise<Claim | undefined> {
    let created: bigint | undefined
    try {
      created = await this.#create()
      await this.#session.reliable()
      this.#abandoned.throwIfAborted()
    } catch (error) {
      this.#session.background(this.#undo(created))
      throw claimFailed(this.#session, error)
    }
    if (created === undefined) {
      this.#turn.end()
      return undefined
    }
    this.#own.granted(created)
    return { own: this.#own, createRevision: created, turn: this.#turn }
  }

  abandon(reason: unknown): void {
    this.#abandoned.abort(() => reason)
  }

  /** The create revision of our key if it is alone in the line. One round trip. */
  async #create(): Promise<bigint | undefined> {
    const { engine, leaseId } = this.#session
    const { prefix, key } = this.#name
    const span = { key: prefix, end: prefixEnd(prefix) }
    const { header, succeeded, responses } = await engine.submitter.submit({
      method: methods.txn,
      request: {
        compare: [
          {
            key: prefix,
            rangeEnd: span.end,
            target: CompareTarget.createRevision,
            result: CompareResult.equal,
            operand: { kind: 'createRevision', value: 0n },
          },
        ],
        success: [
          { request: { kind: 'put', value: { key, value: this.#session.placeValue(), lease: leaseId } } },
        ],
        failure: [{ request: { kind: 'range', value: { ...lineRange(prefix, 'ignored'), limit: 1n } } }],
      },
      footprint: { reads: [span], writes: [span] },
      // Made twice, it finds its own key at the head.
      repeat: 'idempotent',
      noMoreAttempts: this.#abandoned,
      onUnanswered: () => this.#own.unanswered(),
    })
    if (succeeded) return understood(this.#own, () => revisionOf(header))
    const head = understood(this.#own, () => entryOf(firstOf(part(responses[0], 'range').kvs)))
    if (head.lease !== leaseId) return undefined
    if (isForeign(head, prefix.length)) throw nameClash(head, prefix)
    if (!this.#own.mayAdopt(head.createRevision)) return undefined
    this.#own.adopted()
    return head.createRevision
  }

  async #undo(created: bigint | undefined): Promise<void> {
    if (created === undefined) this.#turn.end()
    else await giveUp({ own: this.#own, createRevision: created, turn: this.#turn })
  }
}
