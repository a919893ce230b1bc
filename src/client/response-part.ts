import { EtcdError } from '../wire/errors.ts'
import type { KeyValue } from '../wire/gen/kv.g.ts'
import type { ResponseHeader, ResponseOp } from '../wire/gen/rpc.g.ts'

type Part = NonNullable<ResponseOp['response']>
type PartOf<Kind extends Part['kind']> = Extract<Part, { readonly kind: Kind }>['value']

/** The answer to one step of a transaction. A server that answers another question than the one asked is not understood. */
export function part<Kind extends Part['kind']>(response: ResponseOp | undefined, kind: Kind): PartOf<Kind> {
  const given = response?.response
  if (given?.kind === kind) return given.value as PartOf<Kind>
  throw senseless(`a transaction step of kind ${kind} was answered with ${given?.kind ?? 'nothing'}`)
}

/** The revision of an answer that must have one: it becomes a fencing token, or decides what an event is about. */
export function revisionOf(header: ResponseHeader | undefined): bigint {
  if (header !== undefined && header.revision > 0n) return header.revision
  throw senseless('a transaction was answered without its revision')
}

/** The first key of an answer that says there is one. */
export function firstOf(kvs: readonly KeyValue[]): KeyValue {
  const first = kvs[0]
  if (first !== undefined) return first
  throw senseless('a key that exists was left out of the answer')
}

function senseless(what: string): EtcdError {
  return new EtcdError('PROTOCOL', `[PROTOCOL] ${what}`, { outcome: 'unknown' })
}
