import type { Engine } from '../../../src/client/engine.ts'
import { quietController } from '../../../src/support/abort.ts'
import { Backoff } from '../../../src/support/backoff.ts'
import { sleep } from '../../../src/support/bounded.ts'
import { type Bytes, ownBytes, prefixEnd, text, toBytes } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import {
  CompareResult,
  CompareTarget,
  type RequestOp,
  SortOrder,
  SortTarget,
  type Compare as WireCompare,
} from '../../../src/wire/gen/rpc.g.ts'
import { saidIn } from '../said.ts'
import { isFinal } from '../trouble.ts'

/** Compares and steps as the recipes of rendezvous send them, and the patience they have in common. */

export const NO_END: Uint8Array = new Uint8Array(0)

const PERSIST = { initialMs: 50, maxMs: 2000 }

/** A name of somebody's choice, which may not be empty. */
export function checkedName(name: Bytes, of: string): Uint8Array {
  const bytes = ownBytes(name, `the name of ${of}`)
  if (bytes.length === 0) throw new RangeError(`${of} needs a name that is not empty`)
  return bytes
}

/** How often was the key written since it came to be? */
export function versionOf(
  key: Uint8Array,
  relation: 'equal' | 'less' | 'greater',
  version: bigint,
): Init<WireCompare> {
  return {
    key,
    target: CompareTarget.version,
    result: CompareResult[relation],
    operand: { kind: 'version', value: version },
  }
}

export function putOf(key: Uint8Array, value: Uint8Array, lease = 0n): Init<RequestOp> {
  return { request: { kind: 'put', value: { key, value, lease } } }
}

export function readOf(key: Uint8Array): Init<RequestOp> {
  return { request: { kind: 'range', value: { key } } }
}

/** All keys below, the oldest first, without their values. */
export function listOf(prefix: Uint8Array): Init<RequestOp> {
  return {
    request: {
      kind: 'range',
      value: {
        key: prefix,
        rangeEnd: prefixEnd(prefix),
        sortOrder: SortOrder.ascend,
        sortTarget: SortTarget.createRevision,
        keysOnly: true,
      },
    },
  }
}

export function deleteOf(key: Uint8Array, rangeEnd: Uint8Array = NO_END): Init<RequestOp> {
  return { request: { kind: 'deleteRange', value: { key, rangeEnd } } }
}

/** What fields there may be: a bigint is written as a string of digits. Numbers are integers. */
interface Kinds {
  readonly string: string
  readonly number: number
  readonly bigint: bigint
}

/** What the fields of a value are. */
type Shape = Readonly<Record<string, keyof Kinds>>

type Fields<Known extends Shape> = { readonly [Name in keyof Known]: Kinds[Known[Name]] }

/** Not more than fit into the 64 bits etcd has for it. */
const DIGITS = /^\d{1,18}$/

/** The fields of a value we wrote. Throws PROTOCOL for one that somebody else did. */
export function fieldsOf<const Known extends Shape>(kv: KeyValue, of: string, known: Known): Fields<Known> {
  const said = saidIn<string>(kv.value)
  const fields = Object.entries(known).map(([name, kind]) => [name, fieldIn(said?.[name], kind)] as const)
  if (said?.v === 1 && fields.every(([, field]) => field !== undefined))
    return Object.fromEntries(fields) as Fields<Known>
  throw new EtcdError(
    'PROTOCOL',
    `[PROTOCOL] ${text(kv.key)} is not what ${of} keeps there: somebody else wrote it`,
    { outcome: 'rejected' },
  )
}

export function encoded(fields: object): Uint8Array {
  return toBytes(JSON.stringify({ v: 1, ...fields }))
}

/**
 * Does `work`, which must be repeatable, until it is answered. Rejects with the reason of the signal once that
 * aborts, and with a refusal that another attempt would meet again.
 */
export async function persist<Result>(
  engine: Engine,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  const backoff = new Backoff(engine.runtime, PERSIST)
  for (;;) {
    signal.throwIfAborted()
    try {
      return await work()
    } catch (error) {
      if (!EtcdError.is(error) || isFinal(error) || error.code === 'LEASE_NOT_FOUND') throw error
      await sleep(engine.runtime, backoff.delay(), signal)
    }
  }
}

/** Settles as the first of these waits does; the others are told to stop, and leave nothing. */
export function firstOfAll<Result>(
  waits: readonly ((signal: AbortSignal) => Promise<Result>)[],
): Promise<Result> {
  const over = quietController()
  return Promise.race(waits.map(wait => wait(over.signal))).finally(() => over.abort())
}

function fieldIn(said: unknown, kind: keyof Kinds): Kinds[typeof kind] | undefined {
  if (kind === 'number') return Number.isSafeInteger(said) ? (said as number) : undefined
  if (typeof said !== 'string') return undefined
  if (kind === 'string') return said
  return DIGITS.test(said) ? BigInt(said) : undefined
}
