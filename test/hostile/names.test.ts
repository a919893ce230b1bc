import test from 'ava'
import fc from 'fast-check'
import { linePrefix, placeKey } from '../../recipes/internal/line/claim.ts'
import { KeyRange } from '../../src/client/key-range.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { compareBytes, concat, prefixEnd, toBytes } from '../../src/wire/bytes.ts'

const runs = { numRuns: Number(process.env.QUORATE_NAME_CASES ?? 5000) }

/** Few different bytes, so that names often begin alike: the first and the last one, a slash and its neighbours. */
const bytes = fc
  .uint8Array({ maxLength: 6 })
  .map(values => values.map(value => [0, 1, 0x2e, 0x2f, 0x30, 0x61, 0xfe, 0xff][value % 8]!))
const someBytes = bytes.filter(({ length }) => length > 0)
const leaseId = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n })

const startsWith = (key: Uint8Array, start: Uint8Array) =>
  Buffer.compare(key.subarray(0, start.length), start) === 0

/** Would etcd take this key for one of the range? */
function contains(
  { key, end }: { readonly key: Uint8Array; readonly end: Uint8Array },
  one: Uint8Array,
): boolean {
  if (end.length === 0) return compareBytes(key, one) === 0
  if (compareBytes(one, key) < 0) return false
  return (end.length === 1 && end[0] === 0) || compareBytes(one, end) < 0
}

test('the place of one lock stands in the line of another exactly when its name goes on behind a slash', t => {
  fc.assert(
    fc.property(bytes, someBytes, someBytes, leaseId, (at, held, wanted, id) => {
      const space = KeySpace.whole.within(at)
      const key = placeKey(linePrefix(space, held), id)
      const prefix = linePrefix(space, wanted)
      const slash = toBytes('/')
      t.is(
        contains({ key: prefix, end: prefixEnd(prefix) }, key),
        startsWith(concat(held, slash, toBytes(id.toString(16))), concat(wanted, slash)),
      )
    }),
    runs,
  )
})

test('whatever range is asked for in a namespace, no key outside is in it', t => {
  fc.assert(
    fc.property(someBytes, bytes, bytes, bytes, (at, key, end, outside) => {
      fc.pre(!startsWith(outside, at))
      t.false(contains(KeySpace.whole.within(at).range(new KeyRange(key, end)), outside))
    }),
    runs,
  )
})

test('a key of a namespace begins with its prefix, lies within, and is the same key when it comes back', t => {
  fc.assert(
    fc.property(bytes, bytes, bytes, (at, below, key) => {
      const space = KeySpace.whole.within(at).within(below)
      const there = space.key(key)
      t.true(startsWith(there, concat(at, below)))
      t.true(space.has(there))
      t.deepEqual(Uint8Array.from(space.local(there)), key)
    }),
    runs,
  )
})

test('different names are different keys, whatever Unicode makes of them', t => {
  const name = fc.string({ unit: 'binary', maxLength: 8 })
  fc.assert(
    fc.property(name, name, (a, b) => {
      t.is(compareBytes(toBytes(a), toBytes(b)) === 0, a === b)
      for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD']) {
        const normal = a.normalize(form)
        t.is(compareBytes(toBytes(a), toBytes(normal)) === 0, a === normal)
      }
    }),
    runs,
  )
})
