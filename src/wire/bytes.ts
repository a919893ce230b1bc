/** Keys, values and names as they travel. Strings are UTF-8; bytes are taken as they are, without a copy. */
export type Bytes = string | Uint8Array

const encoder = new TextEncoder()
/** A byte order mark is part of a value like any other character. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

const LONE_SURROGATE = /\p{Surrogate}/u
const PRINTABLE_LIMIT = 64

/**
 * A lone surrogate has no UTF-8 form: encoders replace it, and two different names would become one key. So it
 * is refused.
 */
export function toBytes(value: Bytes, what = 'a key'): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (typeof value !== 'string')
    throw new TypeError(`${what} is a string or a Uint8Array, got ${kindOf(value)}`)
  if (!hasUtf8(value)) {
    throw new TypeError(
      `a string with half a surrogate pair has no UTF-8 form: ${JSON.stringify(value.slice(0, 64))}`,
    )
  }
  return encoder.encode(value)
}

/** As {@link toBytes}, for what is sent later: the caller's array may have changed by then. */
export function ownBytes(value: Bytes, what?: string): Uint8Array {
  return typeof value === 'string' ? toBytes(value) : Uint8Array.from(toBytes(value, what))
}

/** Can it be sent as it is? Not with half a surrogate pair in it. */
export function hasUtf8(value: string): boolean {
  return !LONE_SURROGATE.test(value)
}

/** Bytes that are no UTF-8 become replacement characters. */
export function text(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/**
 * The first key beyond every key with this prefix. Where there is none (nothing but 0xff, or nothing at all)
 * it is a single zero byte, which etcd reads as "no end".
 */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return Uint8Array.of(0)
  const end = Uint8Array.from(prefix.subarray(0, length))
  end[length - 1]! += 1
  return end
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

/** Negative, zero or positive, in the order etcd keeps its keys. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

/** Bytes as the key of a Map: one character for each byte, so different bytes are different keys. */
export function mapKey(bytes: Uint8Array): string {
  return viewOf(bytes).toString('latin1')
}

/** Undoes `mapKey`. */
export function fromMapKey(key: string): Uint8Array {
  const bytes = new Uint8Array(key.length)
  for (let index = 0; index < key.length; index++) bytes[index] = key.charCodeAt(index)
  return bytes
}

/** As Go's `%x` prints an int64: lower case, no zeros in front, a sign where it is negative. Part of key names. */
export function hexOfLease(id: bigint): string {
  return id.toString(16)
}

/** For messages: short, on one line, and telling apart what differs. */
export function printable(bytes: Uint8Array): string {
  const shown = bytes.length > PRINTABLE_LIMIT ? bytes.subarray(0, PRINTABLE_LIMIT) : bytes
  const rest = bytes.length - shown.length
  return `'${escaped(shown)}'${rest > 0 ? ` and ${rest} more bytes` : ''}`
}

function escaped(bytes: Uint8Array): string {
  let line = ''
  for (const byte of bytes) {
    const character = String.fromCharCode(byte)
    if (character === '\\' || character === "'") line += `\\${character}`
    else if (byte >= 0x20 && byte < 0x7f) line += character
    else line += `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return line
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'object') return `an object of class ${value.constructor?.name ?? 'unknown'}`
  return typeof value
}
