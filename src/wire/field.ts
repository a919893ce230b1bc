import type { Reader } from 'protobufjs/minimal.js'
import { readUint64 } from './int64.ts'

/**
 * What generated code asks at each field: that a value to send is what its type says, since protobufjs takes
 * nearly anything and sends something else, and that a received length stays within its message.
 */

/** Messages nest only through transactions in transactions; nobody nests them this deep on purpose. */
const DEPTH_LIMIT = 100

const UINT32_MAX = 2 ** 32 - 1
const INT32_MIN = -(2 ** 31)
const INT32_MAX = 2 ** 31 - 1

/** The value of every `bytes` field that was not sent. */
export const NO_BYTES: Uint8Array = new Uint8Array(0)

/** A string given to protobufjs here would be read as base64. */
export function requireBytes(value: Uint8Array, field: string): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new TypeError(`${field} must be a Uint8Array, not ${typeof value}`)
}

export function requireString(value: string, field: string): string {
  if (typeof value === 'string') return value
  throw new TypeError(`${field} must be a string, not ${typeof value}`)
}

export function requireBool(value: boolean, field: string): boolean {
  if (typeof value === 'boolean') return value
  throw new TypeError(`${field} must be a boolean, not ${typeof value}`)
}

export function requireUint32(value: number, field: string): number {
  return requireInteger(value, 0, UINT32_MAX, field)
}

/** Of enums too: a number this client has no name for is sent as it is. */
export function requireInt32(value: number, field: string): number {
  return requireInteger(value, INT32_MIN, INT32_MAX, field)
}

/** Unreachable for code that compiles; the rest would otherwise send a message with the choice left out. */
export function rejectMember(member: never, field: string): never {
  throw new TypeError(`${field} has no member '${String((member as { kind?: unknown }).kind)}'`)
}

/** Reads the length of an embedded message or list, and answers where it ends. */
export function readEnd(reader: Reader, outerEnd: number, depth: number): number {
  const end = reader.size() + reader.pos
  if (end > outerEnd) throw new RangeError('a length goes beyond the end')
  if (depth >= DEPTH_LIMIT) throw new RangeError(`nested more than ${DEPTH_LIMIT} deep`)
  return end
}

/** The last field of a message may have run into its neighbour. */
export function requireEnd(reader: Reader, end: number): void {
  if (reader.pos !== end) throw new RangeError('a field goes beyond its message')
}

/** Steps over a field this client does not know. */
export function skipField(reader: Reader, tag: number): void {
  skip(reader, tag, 0)
}

/** protobufjs itself steps over numbers of any length. */
function skip(reader: Reader, tag: number, depth: number): void {
  if (tag >>> 3 === 0) throw new RangeError('illegal tag: field number 0')
  switch (tag & 7) {
    case VARINT:
      readUint64(reader)
      return
    case GROUP: {
      if (depth >= DEPTH_LIMIT) throw new RangeError(`nested more than ${DEPTH_LIMIT} deep`)
      const end = tag - GROUP + GROUP_END
      for (let inner = reader.tag(); inner !== end; inner = reader.tag()) skip(reader, inner, depth + 1)
      return
    }
    default:
      reader.skipType(tag & 7)
  }
}

const VARINT = 0
const GROUP = 3
const GROUP_END = 4

function requireInteger(value: number, min: number, max: number, field: string): number {
  if (typeof value !== 'number') throw new TypeError(`${field} must be a number, not ${typeof value}`)
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${field} must be an integer from ${min} to ${max}, not ${value}`)
  }
  return value
}
