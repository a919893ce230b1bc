import protobuf from 'protobufjs'

/**
 * Throws where a frame breaks the wire format as far as a reader of this type must look into it: a length, a number
 * or a group that leaves its message, a number of more than ten bytes, messages nested too deep. Written without
 * anything of the codec.
 */
export function checkWellFormed(type: protobuf.Type, frame: Uint8Array): void {
  new Inspector(frame).message(type, frame.length, 0)
}

const DEEPEST = 100

class Inspector {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  message(type: protobuf.Type, end: number, depth: number): void {
    if (depth > DEEPEST) throw new Error('nested too deep')
    while (this.#at < end) {
      const [number, wireType] = this.#tag(end)
      const field = type.fieldsById[number]
      if (wireType === 2 && field?.resolvedType instanceof protobuf.Type) {
        this.message(field.resolvedType, this.#length(end), depth + 1)
      } else if (wireType === 2 && field?.repeated && field.resolvedType instanceof protobuf.Enum) {
        for (const listEnd = this.#length(end); this.#at < listEnd; ) this.#number(listEnd)
      } else {
        this.#skip(number, wireType, end)
      }
    }
  }

  #skip(number: number, wireType: number, end: number): void {
    switch (wireType) {
      case 0:
        this.#number(end)
        return
      case 1:
        return this.#forward(8, end)
      case 2:
        this.#at = this.#length(end)
        return
      case 3:
        for (;;) {
          const [inner, innerType] = this.#tag(end)
          if (innerType === 4 && inner === number) return
          this.#skip(inner, innerType, end)
        }
      case 5:
        return this.#forward(4, end)
      default:
        throw new Error(`a field of wire type ${wireType}`)
    }
  }

  #tag(end: number): [number: number, wireType: number] {
    const tag = Number(BigInt.asUintN(32, this.#number(end)))
    return [tag >>> 3, tag & 7]
  }

  #length(end: number): number {
    const length = Number(this.#number(end))
    if (length > end - this.#at) throw new Error('a length beyond the end')
    return this.#at + length
  }

  #number(end: number): bigint {
    let value = 0n
    for (let group = 0n; group < 10n; group++) {
      if (this.#at >= end) throw new Error('a number beyond the end')
      const byte = this.#bytes[this.#at++]!
      value |= BigInt(byte & 0x7f) << (7n * group)
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
    throw new Error('a number of more than ten bytes')
  }

  #forward(count: number, end: number): void {
    this.#at += count
    if (this.#at > end) throw new Error('a value beyond the end')
  }
}
