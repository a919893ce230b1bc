import { modifiedAtWire } from '../../../src/client/compare.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { concat, prefixEnd } from '../../../src/wire/bytes.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import type { Claim } from '../line/claim.ts'
import { type Condition, emptyRange } from '../line/rule.ts'
import { anyOf, wayTaken } from '../line/ways.ts'
import { type Mode, modeOf, noReader, withMode } from './read-write.ts'

/** `refused`: somebody else reads, and nothing has changed. */
export type ModeChange = 'changed' | 'refused' | 'lost'

type Answer =
  | { readonly kind: 'changed'; readonly revision: bigint }
  | { readonly kind: 'found'; readonly kv: KeyValue | undefined }

/**
 * The mode of a held place, as its key says it. Changes are made one at a time.
 *
 * A change is bound to the revision the key was written at last. Bound to its creation alone, a change that got no
 * answer could be applied after its repeat, and after the next change: who writes would be made a reader.
 */
export class ModeOfPlace {
  readonly #session: SessionContext
  readonly #claim: Claim
  /** As far as is known: a change without an answer may have written it since. */
  #modRevision: bigint

  constructor(session: SessionContext, claim: Claim) {
    this.#session = session
    this.#claim = claim
    this.#modRevision = claim.createRevision
  }

  /**
   * Writes the mode into the value of the key: that, and with it the position, stays, and so does what else it says.
   * To write, nobody else may read or wait to read at that revision. One round trip, up to two more after a change
   * that got no answer.
   */
  async change(mode: Mode, time: () => CallOptions): Promise<ModeChange> {
    for (let isThere = false; ; ) {
      // On a lease that was left to others the key is theirs: asked again, we would find what they have written.
      this.#session.signal.throwIfAborted()
      const known = this.#modRevision
      const answer = await this.#ask(mode, { known, isThere }, time())
      if (answer.kind === 'changed') {
        this.#modRevision = answer.revision
        return 'changed'
      }
      const { kv } = answer
      if (kv?.createRevision !== this.#claim.createRevision || kv.lease !== this.#session.leaseId)
        return 'lost'
      this.#modRevision = kv.modRevision
      isThere = modeOf(kv.value) === mode
      if (kv.modRevision !== known) {
        // An attempt without an answer, of this change or of an earlier one, has made it so.
        if (isThere) return 'changed'
      } else if (!isThere) return 'refused'
      // Else a change to the other mode is on its way, bound to this revision: it is written anew, lest that be applied.
    }
  }

  /** `isThere`: at the revision known the key says so already, so nobody else need be asked about. */
  async #ask(
    mode: Mode,
    { known, isThere }: { readonly known: bigint; readonly isThere: boolean },
    { signal, timeoutMs }: CallOptions,
  ): Promise<Answer> {
    const { prefix, own, value: said } = this.#claim.stands[0]!
    const { key } = own
    const value = withMode(mode, said)
    const unchanged = modifiedAtWire(key, known)
    const ways: readonly Condition[] =
      mode === 'read' || isThere ? [[unchanged]] : waysToBeAlone(prefix, key).map(way => [unchanged, ...way])
    const span = { key: prefix, end: prefixEnd(prefix) }
    const response = await this.#session.engine.submitter.submit({
      method: methods.txn,
      request: anyOf(
        ways,
        [{ request: { kind: 'put', value: { key, value, lease: this.#session.leaseId } } }],
        [{ request: { kind: 'range', value: { key } } }],
      ),
      footprint: { reads: [span], writes: [{ key, end: new Uint8Array(0) }] },
      // Only we write this key, so what an unanswered attempt has done is seen by the next.
      repeat: 'idempotent',
      signal,
      timeoutMs,
    })
    const { succeeded, responses } = wayTaken(response, ways.length)
    if (succeeded) return { kind: 'changed', revision: revisionOf(response.header) }
    return { kind: 'found', kv: part(responses[0], 'range').kvs[0] }
  }
}

/** Whether a range is without readers cannot be asked of an empty one, hence several. */
function waysToBeAlone(prefix: Uint8Array, key: Uint8Array): readonly Condition[] {
  const behind = concat(key, Uint8Array.of(0))
  const sides = [
    [prefix, key],
    [behind, prefixEnd(prefix)],
  ] as const
  return sides.reduce<readonly Condition[]>(
    (ways, [from, end]) =>
      ways.flatMap(way => [
        [...way, emptyRange(from, end)],
        [...way, noReader(from, end)],
      ]),
    [[]],
  )
}
