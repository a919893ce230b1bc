import { createdAtWire } from '../../../src/client/compare.ts'
import { part } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { concat, prefixEnd } from '../../../src/wire/bytes.ts'
import { methods } from '../../../src/wire/methods.ts'
import type { Claim } from '../line/claim.ts'
import { type Condition, emptyRange } from '../line/rule.ts'
import { anyOf, wayTaken } from '../line/ways.ts'
import { type Mode, modeOf, noReader, valueIn } from './read-write.ts'

/** `refused`: somebody else reads, and nothing has changed. */
export type ModeChange = 'changed' | 'refused' | 'lost'

/**
 * Writes the mode of a held place into its value: the key, and with it the position, stays. To write, nobody else
 * may read or wait to read at that revision; whether a range is without readers cannot be asked of an empty one,
 * hence the ways. Made twice, it finds what it wanted. One round trip.
 */
export async function changeMode(
  session: SessionContext,
  { stands, createRevision }: Claim,
  mode: Mode,
  { signal, timeoutMs }: CallOptions,
): Promise<ModeChange> {
  const { prefix, own } = stands[0]!
  const { key } = own
  const value = valueIn(mode, session.placeValue())
  const mine = createdAtWire(key, createRevision)
  const ways: readonly Condition[] =
    mode === 'read' ? [[mine]] : waysToBeAlone(prefix, key).map(way => [mine, ...way])
  const span = { key: prefix, end: prefixEnd(prefix) }
  const response = await session.engine.submitter.submit({
    method: methods.txn,
    request: anyOf(
      ways,
      [{ request: { kind: 'put', value: { key, value, lease: session.leaseId } } }],
      [{ request: { kind: 'range', value: { key } } }],
    ),
    footprint: { reads: [span], writes: [{ key, end: new Uint8Array(0) }] },
    // Only we write this key, so what an unanswered attempt has done is seen by the next.
    repeat: 'idempotent',
    signal,
    timeoutMs,
  })
  const { succeeded, responses } = wayTaken(response, ways.length)
  if (succeeded) return 'changed'
  const kv = part(responses[0], 'range').kvs[0]
  if (kv?.createRevision !== createRevision) return 'lost'
  return modeOf(kv.value) === mode ? 'changed' : 'refused'
}

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
