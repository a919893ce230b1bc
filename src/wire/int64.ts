import type { Reader, Writer } from 'protobufjs/minimal.js'

/**
 * 64-bit integers on the wire, as `bigint`. protobufjs knows numbers and `Long`s only: its own `int64` takes a
 * bigint without complaint and writes zero, which would turn a guard into another guard. So bigints never
 * reach it; they are split into what it does know.
 */

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
const UINT32_MAX = 2n ** 32n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/** `field` names the value in errors. */
export function writeInt64(writer: Writer, value: bigint, field: string): void {
  requireBigint(value, field)
  if (value < INT64_MIN || value > INT64_MAX) throw new RangeError(`${field} is no int64: ${value}`)
  writeVarint(writer, value)
}

export function writeUint64(writer: Writer, value: bigint, field: string): void {
  requireBigint(value, field)
  if (value < 0n || value > UINT64_MAX) throw new RangeError(`${field} is no uint64: ${value}`)
  writeVarint(writer, value)
}

export function readInt64(reader: Reader): bigint {
  return BigInt.asIntN(64, readUint64(reader))
}

/** Seven groups of seven bits fit a double exactly, so most values become a bigint in one step. */
export function readUint64(reader: Reader): bigint {
  const { buf, len } = reader
  let { pos } = reader
  let low = 0
  let scale = 1
  for (let group = 0; group < 7; group++) {
    if (pos >= len) throw new RangeError('a number goes beyond the end')
    const byte = buf[pos++]!
    low += (byte & 0x7f) * scale
    if (byte < 0x80) {
      reader.pos = pos
      return BigInt(low)
    }
    scale *= 0x80
  }
  let high = 0
  for (let group = 0; group < 3; group++) {
    if (pos >= len) throw new RangeError('a number goes beyond the end')
    const byte = buf[pos++]!
    high |= (byte & 0x7f) << (7 * group)
    if (byte < 0x80) {
      reader.pos = pos
      // Bits beyond the 64th are dropped, as every other implementation does.
      return BigInt.asUintN(64, (BigInt(high) << 49n) | BigInt(low))
    }
  }
  throw new RangeError('a number is longer than ten bytes')
}

function requireBigint(value: bigint, field: string): void {
  if (typeof value !== 'bigint') throw new TypeError(`${field} must be a bigint, not ${typeof value}`)
}

function writeVarint(writer: Writer, value: bigint): void {
  if (value >= 0n && value <= UINT32_MAX) {
    writer.uint32(Number(value))
    return
  }
  const bits = BigInt.asUintN(64, value)
  writer.uint64({ low: Number(bits & UINT32_MAX), high: Number(bits >> 32n), unsigned: true } as Parameters<
    Writer['uint64']
  >[0])
}
