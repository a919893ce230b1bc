import test from 'ava'
import { between, everything, from, prefix, rangeOf } from '../../src/client/key-range.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { text, toBytes } from '../../src/wire/bytes.ts'

const NS = new KeySpace(toBytes('ns/'))

test('the whole space changes nothing', t => {
  const range = prefix('a')
  t.is(KeySpace.whole.span(range), range)
  const key = toBytes('k')
  t.is(KeySpace.whole.key(key), key)
  t.is(KeySpace.whole.local(key), key)
})

test('a key gets the prefix of its namespace and loses it again', t => {
  t.is(text(NS.key(toBytes('k'))), 'ns/k')
  t.is(text(NS.local(NS.key(toBytes('k')))), 'k')
})

test('namespaces nest', t => {
  t.is(text(NS.within(toBytes('in/')).key(toBytes('k'))), 'ns/in/k')
})

const ranges = [
  ['one key', rangeOf('k'), 'ns/k', ''],
  ['a prefix', prefix('a'), 'ns/a', 'ns/b'],
  ['a part', between('a', 'c'), 'ns/a', 'ns/c'],
  ['from a key on, to the end of the namespace', from('b'), 'ns/b', 'ns0'],
  ['everything, to the end of the namespace', everything, 'ns/\0', 'ns0'],
  [
    'a prefix without a successor, to the end of the namespace',
    prefix(Uint8Array.of(0xff)),
    undefined,
    'ns0',
  ],
] as const

for (const [what, range, key, end] of ranges) {
  test(`a namespace maps ${what}`, t => {
    const mapped = NS.range(range)
    if (key !== undefined) t.is(text(mapped.key), key)
    t.is(text(mapped.end), end)
  })
}

test('a namespace whose prefix has no successor is open to the last key', t => {
  const space = new KeySpace(Uint8Array.of(0xff, 0xff))
  t.deepEqual(space.range(everything).end, Uint8Array.of(0))
  t.deepEqual(space.range(everything).key, Uint8Array.of(0xff, 0xff, 0))
})
