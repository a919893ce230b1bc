import { ownOnly } from '../../src/support/own.ts'
import { text } from '../../src/wire/bytes.ts'

/** The fields of the JSON object that a value is; undefined if it is none. Anybody may have written it. */
export function saidIn<Name extends string>(
  value: Uint8Array,
): { readonly [Field in Name]?: unknown } | undefined {
  try {
    const parsed: unknown = JSON.parse(text(value))
    return typeof parsed === 'object' && parsed !== null ? ownOnly(parsed) : undefined
  } catch {
    return undefined
  }
}
