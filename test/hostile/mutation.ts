import type { Random } from '../support/differential/random.ts'

/** What a broken or hostile peer may send in place of a frame. Each takes a frame, and others to mix it with. */
type Mutation = (frame: Uint8Array, random: Random, others: readonly Uint8Array[]) => Uint8Array

/** One to four mutations, one after another. The frame itself is left as it is. */
export function mutated(frame: Uint8Array, random: Random, others: readonly Uint8Array[]): Uint8Array {
  let result = frame
  for (let count = random.between(1, 4); count > 0; count--) {
    result = random.pick(MUTATIONS)(result, random, others)
  }
  return result
}

const TOO_LONG_A_NUMBER = Uint8Array.of(...Array<number>(11).fill(0xff), 1)
const NO_UTF8: readonly Uint8Array[] = [
  Uint8Array.of(0xff, 0xfe),
  Uint8Array.of(0xc0, 0x80), // NUL, longer than it need be
  Uint8Array.of(0xe0, 0x80, 0xaf), // a slash, longer than it need be
  Uint8Array.of(0xed, 0xa0, 0x80), // half a surrogate pair
  Uint8Array.of(0xf4, 0x90, 0x80, 0x80), // beyond Unicode
  Uint8Array.of(0xf0, 0x9f, 0x98), // cut short
]
const SOME_LENGTHS: readonly number[] = [
  0,
  1,
  0x7f,
  0xff,
  2 ** 14,
  2 ** 28,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
]

const MUTATIONS: readonly Mutation[] = [
  function flipBit(frame, random) {
    return changed(frame, random, byte => byte ^ (1 << random.between(0, 7)))
  },
  function anyByte(frame, random) {
    return changed(frame, random, () => random.between(0, 255))
  },
  function endlessNumber(frame, random) {
    return changed(frame, random, byte => byte | 0x80)
  },
  function otherWireType(frame, random) {
    return changed(frame, random, byte => (byte & ~7) | random.between(0, 7))
  },
  function cutShort(frame, random) {
    return frame.subarray(0, random.between(0, frame.length))
  },
  function leaveOut(frame, random) {
    const [start, end] = span(frame, random)
    return joined(frame.subarray(0, start), frame.subarray(end))
  },
  function sayTwice(frame, random) {
    const [start, end] = span(frame, random)
    return joined(frame.subarray(0, end), frame.subarray(start, end), frame.subarray(end))
  },
  function mixIn(frame, random, others) {
    const other = random.pick(others)
    const [start, end] = span(other, random)
    return inserted(frame, random, other.subarray(start, end))
  },
  function numberTooLong(frame, random) {
    return inserted(frame, random, TOO_LONG_A_NUMBER)
  },
  function lengthOfNothing(frame, random) {
    return inserted(frame, random, joined(tag(random, 2), varint(random.pick(SOME_LENGTHS))))
  },
  function noUtf8(frame, random) {
    const text = random.pick(NO_UTF8)
    return inserted(frame, random, joined(tag(random, 2), varint(text.length), text))
  },
  function unknownField(frame, random) {
    return inserted(frame, random, joined(tag(random, 0), varint(random.between(0, 2 ** 32 - 1))))
  },
  function nested(frame, random) {
    let result = frame
    for (let depth = random.between(1, 300); depth > 0; depth--) {
      result = joined(tag(random, 2), varint(result.length), result)
      if (result.length > 4096) break
    }
    return result
  },
  function groups(frame, random) {
    const opened = tag(random, 3)
    return inserted(frame, random, joined(...Array<Uint8Array>(random.between(1, 300)).fill(opened)))
  },
]

function changed(frame: Uint8Array, random: Random, change: (byte: number) => number): Uint8Array {
  if (frame.length === 0) return Uint8Array.of(change(0))
  const result = Uint8Array.from(frame)
  const index = random.between(0, result.length - 1)
  result[index] = change(result[index]!)
  return result
}

function inserted(frame: Uint8Array, random: Random, part: Uint8Array): Uint8Array {
  const at = random.between(0, frame.length)
  return joined(frame.subarray(0, at), part, frame.subarray(at))
}

function span(frame: Uint8Array, random: Random): [start: number, end: number] {
  const start = random.between(0, frame.length)
  return [start, random.between(start, Math.min(frame.length, start + 64))]
}

function tag(random: Random, wireType: number): Uint8Array {
  return varint((random.between(1, 20) << 3) | wireType)
}

export function varint(value: number): Uint8Array {
  const groups: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 0x80)) {
    if (rest < 0x80) return Uint8Array.of(...groups, rest)
    groups.push((rest % 0x80) | 0x80)
  }
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}
