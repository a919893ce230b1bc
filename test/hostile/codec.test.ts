import test from 'ava'
import fc from 'fast-check'
import type protobuf from 'protobufjs'
import { EtcdError } from '../../src/wire/errors.ts'
import { Random } from '../support/differential/random.ts'
import { type AnyCodec, type AnyMessage, codecOf, messages, types } from '../wire/reflection.ts'
import { joined, mutated, varint } from './mutation.ts'
import { checkWellFormed } from './well-formed.ts'

/**
 * How many frames are tried, and where chance begins. The long form, half an hour:
 *
 *     QUORATE_FUZZ_CASES=10000000 QUORATE_FUZZ_SEED=$RANDOM npx ava dist/test/hostile/codec.test.js
 */
const cases = Number(process.env.QUORATE_FUZZ_CASES ?? 40_000)
const seed = Number(process.env.QUORATE_FUZZ_SEED ?? 1)

const FRAMES_PER_TYPE = 24
/** What reading a frame may cost: nothing that comes is large. */
const PATIENCE_MS = 1000

interface Fuzzed {
  readonly type: protobuf.Type
  readonly codec: AnyCodec
  /** Names of the fields, as an empty message has them. */
  readonly fields: string
  readonly frames: readonly Uint8Array[]
}

const fuzzed: readonly Fuzzed[] = types.map(type => {
  const codec = codecOf(type)
  const frames = fc.sample(messages(type), { numRuns: FRAMES_PER_TYPE, seed })
  return {
    type,
    codec,
    fields: Object.keys(codec.decode(new Uint8Array(0))).join(),
    frames: frames.map(message => Uint8Array.from(codec.encode(message))),
  }
})
const everyFrame = fuzzed.flatMap(({ frames }) => frames)

test('a frame that was tampered with is a message that can be sent on, or a clear error', t => {
  t.timeout(120_000 + cases)
  const random = new Random(seed)
  let understood = 0
  for (let number = 0; number < cases; number++) {
    const subject = fuzzed[number % fuzzed.length]!
    const frame = mutated(random.pick(subject.frames), random, everyFrame)
    try {
      if (accepts(subject, frame)) understood++
    } catch (error) {
      const told = `case ${number} of seed ${seed}, ${subject.codec.name} ${Buffer.from(frame).toString('hex')}`
      return t.fail(`${told}: ${error instanceof Error ? error.stack : error}`)
    }
  }
  t.log(`${cases} frames of ${fuzzed.length} messages from seed ${seed}, ${understood} of them understood`)
  // Neither everything refused nor everything swallowed: the mutations do reach the readers.
  t.true(understood > cases * 0.05 && understood < cases * 0.95, String(understood))
  for (const key in {}) t.fail(`Object.prototype got ${key}`)
  t.is(({} as { polluted?: unknown }).polluted, undefined)
})

test('a message nested a hundred thousand deep is refused in no time, whatever nests in it', t => {
  const txn = fuzzed.find(({ codec }) => codec.name === 'etcdserverpb.TxnRequest')!
  // Lengths must be right all the way down, so the frame is built from the end.
  const parts: Uint8Array[] = []
  let length = 0
  for (let depth = 0; depth < 100_000; depth++) {
    const wrapped = depth % 2 === 0 ? 0x22 : 0x12 // RequestOp.txn, TxnRequest.success
    const head = joined(Uint8Array.of(wrapped), varint(length))
    parts.push(head)
    length += head.length
  }
  t.false(accepts(txn, joined(...parts.reverse())))
  // Groups, which no message of etcd has: a hundred thousand begun and none ended, and all of them ended.
  const begun = new Uint8Array(100_000).fill(0x7b)
  t.false(accepts(txn, begun))
  t.false(accepts(txn, joined(begun, new Uint8Array(100_000).fill(0x7c))))
})

test('a length of gigabytes takes no memory', t => {
  const before = process.memoryUsage().arrayBuffers
  for (const subject of fuzzed) {
    for (let field = 1; field < 16; field++) {
      for (const length of [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 40]) {
        accepts(subject, joined(Uint8Array.of((field << 3) | 2), varint(length)))
      }
    }
  }
  t.true(process.memoryUsage().arrayBuffers - before < 2 ** 26)
})

test('sixty thousand of the shortest items are read or refused in no time', t => {
  for (const subject of fuzzed) {
    for (const head of [0x0a, 0x12, 0x1a, 0x22, 0x5a]) {
      accepts(
        subject,
        new Uint8Array(2 ** 17).map((_, index) => (index % 2 === 0 ? head : 0)),
      )
    }
  }
  t.pass()
})

test('names of Object.prototype on the wire are text like any other', t => {
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const users = fuzzed.find(({ codec }) => codec.name === 'etcdserverpb.AuthUserListResponse')!
    const frame = users.codec.encode({ users: [name, name] })
    t.deepEqual(users.codec.decode(frame).users, [name, name])
  }
  t.is(Object.getPrototypeOf({}), Object.prototype)
})

/** Reads a frame. False when it is refused as it should be; throws on whatever is neither that nor a whole message. */
function accepts({ type, codec, fields }: Fuzzed, frame: Uint8Array): boolean {
  const startedAtMs = performance.now()
  const message = read(codec, frame)
  const tookMs = performance.now() - startedAtMs
  if (tookMs > PATIENCE_MS) throw new Error(`it took ${tookMs} ms`)
  if (message === undefined) return false
  checkWellFormed(type, frame)
  if (Object.keys(message).join() !== fields) throw new Error(`has the fields ${Object.keys(message)}`)
  // A received byte becomes one item of a list at most, one character, or the name of a choice.
  const size = weigh(message, frame)
  if (size > 16 * frame.length) throw new Error(`${frame.length} bytes became ${size}`)
  // Whatever was understood is a value of its type: it can be sent, and is understood as the same.
  const again = codec.decode(codec.encode(message))
  if (!same(message, again)) throw new Error('is understood otherwise when it is sent on')
  return true
}

function read(codec: AnyCodec, frame: Uint8Array): AnyMessage | undefined {
  try {
    return codec.decode(frame)
  } catch (error) {
    if (!EtcdError.is(error, 'PROTOCOL')) throw error
    if (error.outcome !== 'unknown') throw new Error(`claims to know the outcome: ${error.outcome}`)
    if (!error.message.includes(codec.name)) throw new Error(`does not say of what: ${error.message}`)
    if (error.message.length > 500) throw new Error('the error says too much')
    return undefined
  }
}

function weigh(value: unknown, frame: Uint8Array): number {
  if (typeof value === 'string') {
    if (/\p{Surrogate}/u.test(value)) throw new Error(`half a surrogate pair: ${JSON.stringify(value)}`)
    return value.length
  }
  if (value instanceof Uint8Array) {
    if (value.length > 0 && value.buffer !== frame.buffer) throw new Error('bytes that were not received')
    return value.length
  }
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + weigh(item, frame), value.length)
  if (typeof value !== 'object' || value === null) return 0
  if (Object.getPrototypeOf(value) !== Object.prototype) throw new Error('an object with another prototype')
  let sum = 0
  for (const key of Object.getOwnPropertyNames(value)) sum += weigh((value as AnyMessage)[key], frame)
  return sum
}

function same(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return a === b
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  return names.every(name => same((a as AnyMessage)[name], (b as AnyMessage)[name]))
}
