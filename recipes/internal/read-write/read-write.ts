import { concat, prefixEnd, toBytes } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { CompareResult, CompareTarget, type Compare as WireCompare } from '../../../src/wire/gen/rpc.g.ts'
import { empty, type Rule } from '../line/rule.ts'

export type Mode = 'read' | 'write'

/** What values of readers and of writers begin with; something always follows. */
const READ = toBytes('{"mode":"read"')
const WRITE = toBytes('{"mode":"write"')

/**
 * The mode comes first in the value, so that compares of the server can tell readers from writers: exactly the
 * values of readers lie between READ and this, those of writers behind it.
 */
export const BEHIND_READERS: Uint8Array = toBytes('{"mode":"read#')

/** What the key of a reader or writer says: its mode, and what every place in a line says about its owner. */
export function valueIn(mode: Mode, place: Uint8Array): Uint8Array {
  const said = place.length === 0 ? '}' : `,${decoder.decode(place.subarray(1))}`
  return toBytes(`{"mode":"${mode}"${said}`)
}

/** What {@link valueIn} made, with another mode and otherwise the same. */
export function withMode(mode: Mode, value: Uint8Array): Uint8Array {
  const [start, said] = mode === 'read' ? [READ, WRITE] : [WRITE, READ]
  return goesOnFrom(value, said) ? concat(start, value.subarray(said.length)) : value
}

/** Undefined for a value that is neither: whoever wrote it keeps everybody out, as a writer does. */
export function modeOf(value: Uint8Array): Mode | undefined {
  if (goesOnFrom(value, READ)) return 'read'
  return goesOnFrom(value, WRITE) ? 'write' : undefined
}

/** Readers wait for earlier writers, writers for everybody earlier. */
export const rules: Readonly<Record<Mode, Rule>> = {
  read: {
    values: 'read',
    keys: 'many',
    blocks: ({ value }) => modeOf(value) !== 'read',
    vacant: prefix => [allReaders(prefix, prefixEnd(prefix)), [empty(prefix)]],
    adopts: value => modeOf(value) === 'read',
  },
  write: {
    values: 'read',
    keys: 'many',
    blocks: () => true,
    vacant: prefix => [[empty(prefix)]],
    adopts: value => modeOf(value) === 'write',
  },
}

/** Is there a key in the range, and is every one that of a reader? */
export function allReaders(key: Uint8Array, rangeEnd: Uint8Array): readonly Init<WireCompare>[] {
  return [
    value(key, rangeEnd, CompareResult.greater, READ),
    value(key, rangeEnd, CompareResult.less, BEHIND_READERS),
  ]
}

/** Is there a key in the range, and is none that of a reader? */
export function noReader(key: Uint8Array, rangeEnd: Uint8Array): Init<WireCompare> {
  return value(key, rangeEnd, CompareResult.greater, BEHIND_READERS)
}

function value(
  key: Uint8Array,
  rangeEnd: Uint8Array,
  result: CompareResult,
  operand: Uint8Array,
): Init<WireCompare> {
  return { key, rangeEnd, target: CompareTarget.value, result, operand: { kind: 'value', value: operand } }
}

function goesOnFrom(value: Uint8Array, start: Uint8Array): boolean {
  if (value.length <= start.length) return false
  return start.every((byte, index) => value[index] === byte)
}

const decoder = new TextDecoder()
