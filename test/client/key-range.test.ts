import test from 'ava'
import { between, everything, from, KeyRange, prefix, rangeOf } from '../../src/client/key-range.ts'

function hex({ key, end }: KeyRange): [string, string] {
  return [Buffer.from(key).toString('hex'), Buffer.from(end).toString('hex')]
}

test('a prefix ends at the first key that does not have it', t => {
  t.deepEqual(hex(prefix('ab')), ['6162', '6163'])
  t.deepEqual(hex(prefix(Uint8Array.of(0x61, 0xff))), ['61ff', '62'])
  t.deepEqual(hex(prefix(Uint8Array.of(0))), ['00', '01'])
})

test('a prefix of the highest bytes has no end', t => {
  t.deepEqual(hex(prefix(Uint8Array.of(0xff, 0xff))), ['ffff', '00'])
})

test('the empty prefix is everything', t => {
  t.is(prefix(''), everything)
  t.is(prefix(new Uint8Array(0)), everything)
  t.deepEqual(hex(everything), ['00', '00'])
})

test('a range from a key on has no end', t => {
  t.deepEqual(hex(from('ab')), ['6162', '00'])
})

test('a range between two keys leaves out the second', t => {
  t.deepEqual(hex(between('a', 'b')), ['61', '62'])
  t.deepEqual(hex(between('a', Uint8Array.of(0x61, 0))), ['61', '6100'])
})

test('a range that ends before it begins is refused, by bytes and not by characters', t => {
  const expected = { instanceOf: RangeError, message: /a range that ends before it begins/ }
  t.throws(() => between('b', 'a'), expected)
  t.throws(() => between('a', 'a'), expected)
  t.throws(() => between('a', Uint8Array.of(0)), expected)
  t.notThrows(() => between('\uffee', '\u{1f600}'))
  t.throws(() => between('\u{1f600}', '\uffee'), expected)
})

test('an empty key is refused wherever a key is needed', t => {
  for (const make of [() => rangeOf(''), () => from(''), () => between('', 'a'), () => between('a', '')]) {
    t.throws(make, { instanceOf: RangeError, message: /empty key/ })
  }
})

test('what is neither name nor bytes is refused', t => {
  for (const wrong of [undefined, null, 5, {}, { key: 'a', end: 'b' }, ['a']]) {
    t.throws(() => rangeOf(wrong as never), { instanceOf: TypeError })
    t.throws(() => prefix(wrong as never), { instanceOf: TypeError })
  }
})

test('a name is the range of one key, and a range is itself', t => {
  t.deepEqual(hex(rangeOf('ab')), ['6162', ''])
  t.deepEqual(hex(rangeOf(Uint8Array.of(0))), ['00', ''])
  const range = prefix('a')
  t.is(rangeOf(range), range)
})

test('a range is told from bytes that carry its fields', t => {
  const bytes = Object.assign(Uint8Array.of(1), { key: Uint8Array.of(2), end: Uint8Array.of(3) })
  t.false(KeyRange.is(bytes))
  t.deepEqual(hex(rangeOf(bytes)), ['01', ''])
  t.true(KeyRange.is(prefix('a')))
  for (const other of [undefined, null, 'a', {}]) t.false(KeyRange.is(other))
})

test('a range does not change with the bytes it was made from, nor otherwise', t => {
  const bytes = Uint8Array.of(0x61)
  const ranges = [prefix(bytes), from(bytes), rangeOf(bytes), between(bytes, 'b')]
  bytes[0] = 0x7a
  for (const range of ranges) {
    t.is(hex(range)[0], '61')
    t.throws(() => Object.assign(range, { key: bytes }), { instanceOf: TypeError })
  }
})
