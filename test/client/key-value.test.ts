import { inspect } from 'node:util'
import test from 'ava'
import { KeyValue } from '../../src/client/key-value.ts'
import { toBytes } from '../../src/wire/bytes.ts'
import type { KeyValue as WireKeyValue } from '../../src/wire/gen/kv.g.ts'

function wire(fields: Partial<WireKeyValue> = {}): WireKeyValue {
  return {
    key: toBytes('/kéy'),
    value: toBytes('{"a":[1,"ü"]}'),
    createRevision: 2n,
    modRevision: 9007199254740993n,
    version: 3n,
    lease: 7587862094834221n,
    ...fields,
  }
}

test('a key value knows what etcd said', t => {
  const { key, value, createRevision, modRevision, version, lease } = new KeyValue(wire())
  t.deepEqual({ key, value, createRevision, modRevision, version, lease }, wire())
})

test('key and value can be read as text, and the value as JSON', t => {
  const kv = new KeyValue(wire())
  t.is(kv.name(), '/kéy')
  t.is(kv.text(), '{"a":[1,"ü"]}')
  t.deepEqual(kv.json<{ a: unknown[] }>().a, [1, 'ü'])
  t.throws(() => new KeyValue(wire({ value: toBytes('{') })).json(), { instanceOf: SyntaxError })
})

test('a key value can be written as JSON without losing a digit', t => {
  t.deepEqual(JSON.parse(JSON.stringify(new KeyValue(wire({ value: toBytes('v') })))), {
    key: '/kéy',
    value: 'v',
    createRevision: '2',
    modRevision: '9007199254740993',
    version: '3',
    lease: '7587862094834221',
  })
})

test('the key may be another than the one on the wire', t => {
  t.is(new KeyValue(wire(), toBytes('key')).name(), 'key')
})

test('a small key does not keep a large message alive, and a large value is not copied', t => {
  const message = new Uint8Array(1000).fill(0x61)
  const kv = new KeyValue(wire({ key: message.subarray(0, 3), value: message.subarray(3, 900) }))
  t.is(kv.name(), 'aaa')
  t.is(kv.key.buffer.byteLength, 3)
  t.is(kv.value.buffer, message.buffer)
})

test('a key value is shown with key and value as text', t => {
  const kv = new KeyValue(wire())
  const { createRevision, modRevision, version, lease } = kv
  const facts = { key: '/kéy', value: '{"a":[1,"ü"]}', createRevision, modRevision, version, lease }
  t.is(inspect(kv), `KeyValue ${inspect(facts)}`)
  t.is(inspect({ a: { b: { c: kv } } }, { depth: 2 }), '{ a: { b: { c: [KeyValue] } } }')
})
