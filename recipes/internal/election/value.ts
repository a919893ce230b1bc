import { createdAtWire } from '../../../src/client/compare.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { equalBytes } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { CompareResult, CompareTarget, type Compare as WireCompare } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import type { Claim } from '../line/claim.ts'

const NO_END = new Uint8Array(0)

export interface ValueWrite {
  readonly session: SessionContext
  readonly claim: Pick<Claim, 'stands' | 'createRevision'>
  readonly value: Uint8Array
  /** When the key was last written, as far as we know. */
  readonly modRevision: bigint
  /** `always`, or only if the key has another value: whoever follows it is then told nothing new. */
  readonly when: 'always' | 'different'
  /** Asked for each request: who gives up, and what is left of the time of all of them. */
  readonly time: () => CallOptions
}

/**
 * Writes the value of a key at the head of its line. Resolves with the revision it was last written at, undefined
 * when the key is not ours any more.
 *
 * Each attempt is bound to the last write we know of, not only to the creation of the key: one that got no answer
 * and is applied late can then never bring back a value that was replaced since. One round trip; one more if
 * somebody else wrote the key.
 */
export async function writeValue(write: ValueWrite): Promise<bigint | undefined> {
  const { session, claim, value } = write
  const { key } = claim.stands[0]!.own
  const span = { key, end: NO_END }
  for (let known = write.modRevision; ; ) {
    session.assertAlive()
    const response = await session.engine.submitter.submit({
      method: methods.txn,
      request: {
        compare: conditions(key, claim.createRevision, known, write),
        success: [{ request: { kind: 'put', value: { key, value, lease: session.leaseId } } }],
        failure: [{ request: { kind: 'range', value: { key } } }],
      },
      footprint: { reads: [span], writes: [span] },
      // Made twice, it finds what it wrote.
      repeat: 'idempotent',
      ...write.time(),
    })
    if (response.succeeded) return revisionOf(response.header)
    const kv = part(response.responses[0], 'range').kvs[0]
    if (kv?.createRevision !== claim.createRevision || kv.lease !== session.leaseId) return undefined
    const isThere = equalBytes(kv.value, value)
    if (isThere && (write.when === 'different' || kv.modRevision > known)) return kv.modRevision
    known = kv.modRevision
  }
}

function conditions(
  key: Uint8Array,
  createRevision: bigint,
  modRevision: bigint,
  { when, value }: ValueWrite,
): readonly Init<WireCompare>[] {
  const ours: readonly Init<WireCompare>[] = [
    createdAtWire(key, createRevision),
    {
      key,
      target: CompareTarget.modRevision,
      result: CompareResult.equal,
      operand: { kind: 'modRevision', value: modRevision },
    },
  ]
  if (when === 'always') return ours
  return [
    ...ours,
    {
      key,
      target: CompareTarget.value,
      result: CompareResult.notEqual,
      operand: { kind: 'value', value },
    },
  ]
}
