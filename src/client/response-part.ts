import { EtcdError } from '../wire/errors.ts'
import type { ResponseOp } from '../wire/gen/rpc.g.ts'

type Part = NonNullable<ResponseOp['response']>
type PartOf<Kind extends Part['kind']> = Extract<Part, { readonly kind: Kind }>['value']

/** The answer to one step of a transaction. A server that answers another question than the one asked is not understood. */
export function part<Kind extends Part['kind']>(response: ResponseOp | undefined, kind: Kind): PartOf<Kind> {
  const given = response?.response
  if (given?.kind === kind) return given.value as PartOf<Kind>
  throw new EtcdError(
    'PROTOCOL',
    `[PROTOCOL] a transaction step of kind ${kind} was answered with ${given?.kind ?? 'nothing'}`,
    { outcome: 'unknown' },
  )
}
