import { ownBytes } from '../../../src/client/key-value.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { KeyValue as WireKeyValue } from '../../../src/wire/gen/kv.g.ts'

/** When something was written. Undefined until the batch that writes it is committed. */
export interface Written {
  revision: bigint | undefined
}

/** A key with its value, stored or about to be. */
export interface Item {
  readonly key: string
  readonly value: Uint8Array
  readonly lease: bigint
  readonly written: Written
}

export function itemOf({ key, value, lease, modRevision }: WireKeyValue): Item {
  return { key: mapKey(key), value: ownBytes(value), lease, written: { revision: modRevision } }
}
