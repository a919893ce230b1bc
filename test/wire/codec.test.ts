import test from 'ava'
import fc from 'fast-check'
import type protobuf from 'protobufjs'
import { EtcdError } from '../../src/wire/errors.ts'
import { KeyValue } from '../../src/wire/gen/kv.g.ts'
import {
  Compare,
  RangeRequest,
  RequestOp,
  StatusResponse,
  TxnRequest,
  WatchCreateRequest,
  WatchRequest,
} from '../../src/wire/gen/rpc.g.ts'
import {
  type AnyMessage,
  codecOf,
  decodeByReflection,
  encodeByReflection,
  int64Values,
  messages,
  plain,
  types,
  uint64Values,
} from './reflection.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)

interface Int64Field {
  readonly type: protobuf.Type
  readonly field: protobuf.Field
  readonly signed: boolean
}

const int64Fields: readonly Int64Field[] = types.flatMap(type =>
  type.fieldsArray
    .filter(field => field.type === 'int64' || field.type === 'uint64')
    .map(field => ({ type, field, signed: field.type === 'int64' })),
)

function withField(field: protobuf.Field, value: unknown): AnyMessage {
  return field.partOf === null
    ? { [field.name]: value }
    : { [field.partOf.name]: { kind: field.name, value } }
}

test('the files describe every message of the services', t => {
  t.true(types.length >= 100)
  t.true(int64Fields.length >= 60)
})

test('every 64-bit field carries every bigint of its range', t => {
  for (const { type, field, signed } of int64Fields) {
    for (const value of signed ? int64Values : uint64Values) {
      const message = withField(field, value)
      const encoded = codecOf(type).encode(message)
      const where = `${type.name}.${field.name} = ${value}`
      t.deepEqual(plain(encoded), encodeByReflection(type, message), where)
      const decoded = codecOf(type).decode(encoded)
      t.is(
        field.partOf === null ? decoded[field.name] : (decoded[field.partOf.name] as AnyMessage).value,
        value,
        where,
      )
    }
  }
})

test('every 64-bit field refuses what is beyond its range, and says which field', t => {
  for (const { type, field, signed } of int64Fields) {
    const beyond = signed ? [2n ** 63n, -(2n ** 63n) - 1n] : [2n ** 64n, -1n]
    for (const value of beyond) {
      const error = t.throws(() => codecOf(type).encode(withField(field, value)), { instanceOf: RangeError })
      t.true(error?.message.includes(`${type.name}.${field.name}`))
    }
  }
})

test('every 64-bit field refuses a number, also zero', t => {
  for (const { type, field } of int64Fields) {
    for (const value of [0, 5]) {
      t.throws(() => codecOf(type).encode(withField(field, value)), {
        instanceOf: TypeError,
        message: /must be a bigint/,
      })
    }
  }
})

test('what we write, protobufjs writes with the same bytes and reads as the same message', t => {
  for (const type of types) {
    fc.assert(
      fc.property(messages(type), message => {
        const encoded = plain(codecOf(type).encode(message))
        t.deepEqual(encoded, encodeByReflection(type, message))
        t.deepEqual(decodeByReflection(type, encoded), message)
        t.deepEqual(codecOf(type).decode(encoded), message)
      }),
      { numRuns: 40 },
    )
  }
})

test('fields this client does not know are skipped, wherever they stand', t => {
  const unknown = [
    bytes(0x80, 0x7d, 0x96, 0x01), // a number
    bytes(0x81, 0x7d, 1, 2, 3, 4, 5, 6, 7, 8), // eight bytes
    bytes(0x82, 0x7d, 3, 1, 2, 3), // a length and that many bytes
    bytes(0x83, 0x7d, 0x08, 1, 0x84, 0x7d), // a group
    bytes(0x85, 0x7d, 1, 2, 3, 4), // four bytes
  ]
  for (const type of types) {
    fc.assert(
      fc.property(messages(type, 2), fc.constantFrom(...unknown), (message, extra) => {
        const encoded = codecOf(type).encode(message)
        t.deepEqual(codecOf(type).decode(Buffer.concat([extra, encoded, extra])), message)
      }),
      { numRuns: 10 },
    )
  }
})

test('a known field in a form it never has is skipped like an unknown one', t => {
  t.deepEqual(RangeRequest.decode(bytes(0x08, 5, 0x1a, 1, 9)), RangeRequest.decode(bytes()))
})

test('an empty message has its defaults', t => {
  t.deepEqual(KeyValue.decode(bytes()), {
    key: bytes(),
    createRevision: 0n,
    modRevision: 0n,
    version: 0n,
    value: bytes(),
    lease: 0n,
  })
  t.deepEqual(WatchRequest.decode(bytes()), { request: undefined })
  t.is(StatusResponse.decode(bytes()).header, undefined)
})

test('a chosen member of a oneof is sent although its value is zero', t => {
  const wire = (operand: NonNullable<Compare['operand']>) => plain(Compare.encode({ operand }))
  t.deepEqual(wire({ kind: 'version', value: 0n }), bytes(0x20, 0))
  t.deepEqual(wire({ kind: 'createRevision', value: 0n }), bytes(0x28, 0))
  t.deepEqual(wire({ kind: 'modRevision', value: 0n }), bytes(0x30, 0))
  t.deepEqual(wire({ kind: 'value', value: bytes() }), bytes(0x3a, 0))
  t.deepEqual(wire({ kind: 'lease', value: 0n }), bytes(0x40, 0))
  t.deepEqual(plain(RequestOp.encode({ request: { kind: 'txn', value: {} } })), bytes(0x22, 0))
  t.deepEqual(plain(WatchRequest.encode({ request: { kind: 'progress', value: {} } })), bytes(0x1a, 0))
})

test('a member a oneof does not have is refused instead of left out', t => {
  const operand = { kind: 'create', value: 0n } as unknown as NonNullable<Compare['operand']>
  t.throws(() => Compare.encode({ operand }), {
    instanceOf: TypeError,
    message: /Compare\.operand has no member 'create'/,
  })
})

test('a value of another type is refused instead of sent as something else', t => {
  const encode = (message: unknown) => () => RangeRequest.encode(message as RangeRequest)
  t.throws(encode({ key: 'AAAA' }), {
    instanceOf: TypeError,
    message: /RangeRequest\.key must be a Uint8Array/,
  })
  t.throws(encode({ serializable: 1 }), { instanceOf: TypeError, message: /RangeRequest\.serializable/ })
  t.throws(encode({ sortOrder: 'ascend' }), { instanceOf: TypeError, message: /RangeRequest\.sortOrder/ })
  t.throws(encode({ sortOrder: 1.5 }), { instanceOf: RangeError, message: /RangeRequest\.sortOrder/ })
  t.throws(() => StatusResponse.encode({ version: 3 } as never), {
    instanceOf: TypeError,
    message: /StatusResponse\.version/,
  })
})

test('a list of enums is sent packed and read in both forms', t => {
  const filters = [1, 0, 1] as const
  t.deepEqual(plain(WatchCreateRequest.encode({ filters })), bytes(0x2a, 3, 1, 0, 1))
  t.deepEqual(WatchCreateRequest.decode(bytes(0x2a, 3, 1, 0, 1)).filters, filters)
  t.deepEqual(WatchCreateRequest.decode(bytes(0x28, 1, 0x28, 0, 0x28, 1)).filters, filters)
  t.deepEqual(WatchCreateRequest.decode(bytes(0x28, 1, 0x2a, 2, 0, 1)).filters, filters)
})

test('a list running over its own end is refused', t => {
  // The list says one byte, its number takes two.
  t.throws(() => WatchCreateRequest.decode(bytes(0x2a, 1, 0x80, 0x01)), {
    instanceOf: EtcdError,
    code: 'PROTOCOL',
  })
})

test('decoded bytes are plain views of the input, whatever class that is', t => {
  const input = Buffer.from([0x0a, 3, 1, 2, 3])
  const { key } = KeyValue.decode(input)
  t.is(Object.getPrototypeOf(key), Uint8Array.prototype)
  t.deepEqual(key, bytes(1, 2, 3))
  input[2] = 9
  t.is(key[0], 9)
})

/** Every decode of the tests below goes through here: an answer, or PROTOCOL naming the message. */
function decodeOrRefuse(type: protobuf.Type, input: Uint8Array): void {
  try {
    codecOf(type).decode(input)
  } catch (error) {
    if (!EtcdError.is(error, 'PROTOCOL')) throw error
    if (!error.message.includes(type.fullName.slice(1)))
      throw new Error(`does not name the message: ${error.message}`)
    if (error.outcome !== 'unknown') throw new Error(`claims to know the outcome: ${error.outcome}`)
  }
}

test('a message cut at any byte is a shorter message or a clear error', t => {
  for (const type of types) {
    fc.assert(
      fc.property(messages(type), message => {
        const encoded = codecOf(type).encode(message)
        for (let end = 0; end < encoded.length; end++) decodeOrRefuse(type, encoded.subarray(0, end))
      }),
      { numRuns: 5 },
    )
  }
  t.pass()
})

test('random bytes are a message or a clear error', t => {
  for (const type of types) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), input => decodeOrRefuse(type, input)),
      { numRuns: 300 },
    )
  }
  t.pass()
})

/** Read as a TxnResponse, whose field 1 is its header and field 3 its responses. */
const MALFORMED: readonly (readonly [what: string, input: Uint8Array, why: RegExp])[] = [
  ['a length beyond the end', bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07), /a length goes beyond the end/],
  ['a length of more than 31 bits', bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), /invalid length/],
  [
    'an embedded length beyond its message',
    bytes(0x1a, 2, 0x0a, 4, 0, 0, 0, 0),
    /a length goes beyond the end/,
  ],
  ['a field running over its message', bytes(0x0a, 2, 0x18, 0x80, 0x01), /a field goes beyond its message/],
  ['the field number zero', bytes(0x00, 0x01), /field number 0/],
  ['the end of a group never begun', bytes(0x0c), /wire type 4/],
  ['a number of eleven bytes', bytes(0x0a, 12, 0x18, ...Array(10).fill(0xff), 1), /longer than ten bytes/],
  ['a number cut short', bytes(0x0a, 2, 0x18, 0x80), /a number goes beyond the end/],
]

for (const [what, input, why] of MALFORMED) {
  test(`${what} is refused, and the error says so`, t => {
    const txn = types.find(type => type.name === 'TxnResponse')!
    const error = t.throws(() => codecOf(txn).decode(input), {
      instanceOf: EtcdError,
      code: 'PROTOCOL',
      message: why,
    })
    t.true(error?.message.startsWith('[PROTOCOL] '))
    t.true(error?.message.includes('etcdserverpb.TxnResponse'))
    t.truthy(error?.cause)
  })
}

test('transactions nest forty deep, and a thousand deep are refused', t => {
  const nested = (depth: number) => {
    let message: Uint8Array = bytes()
    for (let level = 0; level < depth; level++) {
      const operation = RequestOp.encode({ request: { kind: 'txn', value: {} } }).subarray(0, 1)
      const inner = Buffer.concat([operation, length(message), message])
      message = Buffer.concat([bytes(0x12), length(inner), inner])
    }
    return message
  }
  t.notThrows(() => TxnRequest.decode(nested(40)))
  t.throws(() => TxnRequest.decode(nested(1000)), {
    instanceOf: EtcdError,
    code: 'PROTOCOL',
    message: /100 deep/,
  })
})

function length(message: Uint8Array): Uint8Array {
  const groups: number[] = []
  for (let rest = message.length; ; rest >>>= 7) {
    if (rest < 0x80) return bytes(...groups, rest)
    groups.push((rest & 0x7f) | 0x80)
  }
}
