import test from 'ava'
import { linePrefix, placeKey } from '../../recipes/internal/line/claim.ts'
import { entryOf, isForeign } from '../../recipes/internal/line/entry.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { mapKey } from '../../src/wire/bytes.ts'

const PREFIX = 'lock/'

function kv(key: string | Uint8Array, lease: bigint) {
  return {
    key: Buffer.from(key as string),
    value: new Uint8Array(0),
    createRevision: 7n,
    modRevision: 8n,
    version: 2n,
    lease,
  }
}

function foreign(suffix: string, lease: bigint, keys: 'one' | 'many' = 'one'): boolean {
  return isForeign(entryOf(kv(PREFIX + suffix, lease)), PREFIX.length, keys)
}

test('a place is the prefix and the hex of the lease it goes with', t => {
  t.false(foreign('694d81417e35c80d', 0x694d81417e35c80dn))
  t.false(foreign('1', 1n))
  t.false(foreign('7fffffffffffffff', 2n ** 63n - 1n))
})

test('whatever else stands below the prefix is foreign', t => {
  t.true(foreign('694d81417e35c80d', 0n), 'it goes with no lease')
  t.true(foreign('694d81417e35c80d', 5n), 'with another lease')
  t.true(foreign('694D81417E35C80D', 0x694d81417e35c80dn), 'in capitals')
  t.true(foreign('0001', 1n), 'with zeros in front')
  t.true(foreign('below/1', 1n), 'the place of a longer name')
  t.true(foreign('1-2', 1n))
  t.true(foreign('', 1n))
})

test('where a session may stand more than once, a place has a number behind the lease', t => {
  t.false(foreign('a1-1', 0xa1n, 'many'))
  t.false(foreign('a1-27', 0xa1n, 'many'))
  for (const suffix of ['a1', 'a1-', 'a1-0', 'a1-01', 'a1-x', 'a1-1/1', 'a2-1', 'a1-1 ', 'a1--1'])
    t.true(foreign(suffix, 0xa1n, 'many'), suffix)
  t.true(foreign('a1-1', 0n, 'many'))
})

test('an entry knows its key byte by byte, and the revision it was created at', t => {
  const { name, createRevision, lease } = entryOf(kv(Buffer.of(0xff, 0x00, 0xe9), 3n))
  t.is(name, '\u00ff\u0000\u00e9')
  t.is(createRevision, 7n)
  t.is(lease, 3n)
})

test('a line lies behind a slash, whatever its name ends in, in its namespace', t => {
  const space = KeySpace.whole.within(Buffer.from('ns/'))
  t.is(mapKey(linePrefix(space, Buffer.from('a'))), 'ns/a/')
  t.is(mapKey(linePrefix(space, Buffer.from('a/'))), 'ns/a//')
  const prefix = linePrefix(space, Buffer.from('a'))
  t.is(mapKey(prefix), 'ns/a/')
  t.is(mapKey(placeKey(prefix, 0xabcn)), 'ns/a/abc')
})
