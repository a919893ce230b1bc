import test from 'ava'
import fc from 'fast-check'
import {
  type Bytes,
  compareBytes,
  concat,
  equalBytes,
  fromMapKey,
  hexOfLease,
  mapKey,
  prefixEnd,
  printable,
  text,
  toBytes,
} from '../../src/wire/bytes.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)

test('a string becomes its UTF-8 and comes back', t => {
  t.deepEqual(toBytes('aß€😀\0'), bytes(0x61, 0xc3, 0x9f, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0))
  t.deepEqual(toBytes(''), bytes())
  fc.assert(fc.property(fc.string({ unit: 'binary' }), value => text(toBytes(value)) === value))
})

test('a byte order mark survives', t => {
  t.is(text(toBytes('\ufeffa')), '\ufeffa')
})

test('bytes are taken as they are', t => {
  const given = bytes(1, 2)
  t.is(toBytes(given), given)
})

test('half a surrogate pair is refused, for two such names would be one key', t => {
  for (const value of ['\ud800', 'a\udc00b', '😀\ud83d', '\ude00\ud83d']) {
    t.throws(() => toBytes(value), { instanceOf: TypeError, message: /surrogate/ })
  }
  t.notThrows(() => toBytes('😀'))
})

test('anything else is refused by what it is', t => {
  const refuse = (value: unknown, name: RegExp) => {
    t.throws(() => toBytes(value as Bytes), { instanceOf: TypeError, message: name })
  }
  refuse(undefined, /got undefined/)
  refuse(null, /got null/)
  refuse(5, /got number/)
  refuse([1, 2], /class Array/)
  refuse(new ArrayBuffer(2), /class ArrayBuffer/)
  refuse(Object.create(null), /got an object/)
})

test('the end of a prefix is the next prefix of the same length, 0xff tails cut', t => {
  t.deepEqual(prefixEnd(toBytes('a')), toBytes('b'))
  t.deepEqual(prefixEnd(toBytes('/locks/x/')), toBytes('/locks/x0'))
  t.deepEqual(prefixEnd(bytes(1, 0xff)), bytes(2))
  t.deepEqual(prefixEnd(bytes(1, 0xfe, 0xff, 0xff)), bytes(1, 0xff))
  t.deepEqual(prefixEnd(bytes(0)), bytes(1))
})

test('a prefix without a next one ends nowhere', t => {
  for (const prefix of [bytes(), bytes(0xff), bytes(0xff, 0xff)]) t.deepEqual(prefixEnd(prefix), bytes(0))
})

test('the end of a prefix does not touch the prefix', t => {
  const prefix = bytes(1, 2, 0xff)
  prefixEnd(prefix)
  t.deepEqual(prefix, bytes(1, 2, 0xff))
})

test('between a prefix and its end are exactly the keys that have the prefix', t => {
  const byte = fc.constantFrom(0, 1, 0x61, 0xfe, 0xff)
  const prefixes = fc
    .uint8Array({ minLength: 1, maxLength: 3 })
    .filter(prefix => prefix.some(each => each !== 0xff))
  const keys = fc.array(byte, { maxLength: 3 }).map(each => Uint8Array.from(each))
  fc.assert(
    fc.property(prefixes, keys, fc.boolean(), (prefix, tail, related) => {
      const key = related ? concat(prefix, tail) : tail
      const inside = compareBytes(key, prefix) >= 0 && compareBytes(key, prefixEnd(prefix)) < 0
      return inside === equalBytes(key.subarray(0, prefix.length), prefix)
    }),
  )
  t.pass()
})

test('concatenation keeps order and copies', t => {
  const first = bytes(1)
  const whole = concat(first, bytes(), bytes(2, 3))
  t.deepEqual(whole, bytes(1, 2, 3))
  first[0] = 9
  t.is(whole[0], 1)
  t.deepEqual(concat(), bytes())
})

test('bytes compare as etcd sorts keys', t => {
  t.true(compareBytes(bytes(1), bytes(1, 0)) < 0)
  t.true(compareBytes(bytes(0x80), bytes(0x7f)) > 0)
  t.is(compareBytes(bytes(1, 2), bytes(1, 2)), 0)
  t.true(equalBytes(bytes(1, 2), Buffer.from([1, 2])))
  t.false(equalBytes(bytes(1, 2), bytes(1, 3)))
  t.false(equalBytes(bytes(1), bytes(1, 0)))
})

test('map keys tell all bytes apart and lead back to them', t => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      t.deepEqual(fromMapKey(mapKey(a)), a)
      return (mapKey(a) === mapKey(b)) === equalBytes(a, b)
    }),
  )
  const view = bytes(7, 0x80, 0xff, 7).subarray(1, 3)
  t.deepEqual(fromMapKey(mapKey(view)), bytes(0x80, 0xff))
})

test('names of Object.prototype are keys like others', t => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const map = new Map([[mapKey(toBytes(name)), 1]])
    t.is(map.get(mapKey(toBytes(name))), 1)
    t.is(text(fromMapKey(mapKey(toBytes(name)))), name)
  }
})

test('a lease id is printed as Go prints it', t => {
  t.is(hexOfLease(7587862094037385479n), '694d805f4fc00107')
  t.is(hexOfLease(10n), 'a')
  t.is(hexOfLease(-10n), '-a')
  t.is(hexOfLease(2n ** 63n - 1n), '7fffffffffffffff')
})

test('printable bytes are one short line', t => {
  t.is(printable(toBytes('/locks/x')), "'/locks/x'")
  t.is(printable(bytes(0, 10, 0x27, 0x5c, 0xff)), "'\\x00\\x0a\\'\\\\\\xff'")
  t.is(printable(new Uint8Array(70).fill(0x61)), `'${'a'.repeat(64)}' and 6 more bytes`)
})
