import test from 'ava'
import { between, everything, from, prefix } from '../../../src/client/key-range.ts'
import type { KeyValue } from '../../../src/client/key-value.ts'
import type { Etcd } from '../../../src/facade/etcd.ts'
import { concat, toBytes } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix } from '../../support/live.ts'
import { player } from '../../traits/arena.ts'
import { useClient } from './use-client.ts'

const live = useClient(test)

test('a value is read back with everything etcd knows of its key', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const first = await etcd.put(key, 'one')
  const second = await etcd.put(key, 'two')
  const kv = await etcd.get(key)
  t.is(kv?.name(), key)
  t.is(kv?.text(), 'two')
  t.is(kv?.createRevision, first.revision)
  t.is(kv?.modRevision, second.revision)
  t.is(kv?.version, 2n)
  t.is(kv?.lease, 0n)
})

test('a key that does not exist is undefined', async t => {
  const { etcd } = live()
  t.is(await etcd.get(`${uniquePrefix(t)}k`), undefined)
})

const values: readonly [what: string, value: Uint8Array][] = [
  ['an empty value', new Uint8Array(0)],
  ['every byte there is', Uint8Array.from({ length: 256 }, (_, byte) => byte)],
  ['bytes that are no UTF-8', Uint8Array.of(0xff, 0xfe, 0x00, 0xc0, 0x80)],
  ['a mebibyte', new Uint8Array(1024 * 1024).fill(0xab)],
]

for (const [what, value] of values) {
  test(`${what} comes back as it was written`, async t => {
    const { etcd } = live()
    const key = `${uniquePrefix(t)}k`
    await etcd.put(key, value)
    const kv = await etcd.get(key)
    t.true(kv?.value instanceof Uint8Array && !Buffer.isBuffer(kv.value))
    t.deepEqual(Buffer.from(kv?.value ?? []), Buffer.from(value))
  })
}

test('a key is any bytes', async t => {
  const { etcd } = live()
  const start = toBytes(uniquePrefix(t))
  for (const ending of [
    Uint8Array.of(0),
    Uint8Array.of(0xff),
    Uint8Array.of(0xff, 0xff, 0),
    Uint8Array.of(0xc0),
  ]) {
    const key = concat(start, ending)
    await etcd.put(key, 'v')
    t.deepEqual((await etcd.get(key))?.key, key)
  }
  t.is((await etcd.range(prefix(start))).count, 4)
  t.is((await etcd.range(prefix(concat(start, Uint8Array.of(0xff))))).count, 2)
})

test('text is UTF-8', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}ключ-🔑`
  await etcd.put(key, 'значение-🔒')
  const kv = await etcd.get(key)
  t.is(kv?.name(), key)
  t.is(kv?.text(), 'значение-🔒')
})

test('a range is a prefix, a part, or everything from a key on', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await fill(etcd, at, ['a', 'b', 'b/1', 'c'])
  const names = async (range: Parameters<Etcd['range']>[0]) =>
    (await etcd.range(range)).kvs
      .map(kv => kv.name())
      .filter(name => name.startsWith(at))
      .map(name => name.slice(at.length))
  t.deepEqual(await names(prefix(at)), ['a', 'b', 'b/1', 'c'])
  t.deepEqual(await names(prefix(`${at}b`)), ['b', 'b/1'])
  t.deepEqual(await names(between(`${at}a`, `${at}b/1`)), ['a', 'b'])
  t.deepEqual(await names(from(`${at}b/1`)), ['b/1', 'c'])
  t.deepEqual(await names(`${at}b`), ['b'])
  t.deepEqual(await names(everything), ['a', 'b', 'b/1', 'c'])
})

test('a limit leaves out the rest, and says that there is more', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await fill(etcd, at, ['a', 'b', 'c'])
  const some = await etcd.range(prefix(at), { limit: 2 })
  t.deepEqual(shortNames(at, some.kvs), ['a', 'b'])
  t.true(some.more)
  t.is(some.count, 3)
  const all = await etcd.range(prefix(at), { limit: 3 })
  t.false(all.more)
  t.is((await etcd.range(prefix(at), { limit: 0 })).kvs.length, 3)
})

test('keys come sorted by whatever is asked for', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await etcd.put(`${at}b`, '1')
  await etcd.put(`${at}c`, '3')
  await etcd.put(`${at}a`, '2')
  await etcd.put(`${at}b`, '1')
  const sorted = async (
    by: 'key' | 'version' | 'createRevision' | 'modRevision' | 'value',
    order: 'ascending' | 'descending',
  ) => shortNames(at, (await etcd.range(prefix(at), { sort: { by, order } })).kvs).join('')
  t.is(await sorted('key', 'ascending'), 'abc')
  t.is(await sorted('key', 'descending'), 'cba')
  t.is(await sorted('createRevision', 'ascending'), 'bca')
  t.is(await sorted('createRevision', 'descending'), 'acb')
  t.is(await sorted('modRevision', 'ascending'), 'cab')
  t.is(await sorted('modRevision', 'descending'), 'bac')
  t.is(await sorted('value', 'ascending'), 'bac')
  t.is(await sorted('value', 'descending'), 'cab')
  t.is((await sorted('version', 'descending'))[0], 'b')
})

test('a limit applies after sorting', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await fill(etcd, at, ['a', 'b', 'c'])
  const { kvs, more } = await etcd.range(prefix(at), { limit: 1, sort: { by: 'key', order: 'descending' } })
  t.deepEqual(shortNames(at, kvs), ['c'])
  t.true(more)
})

test('keys alone come without values, a count without keys', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await fill(etcd, at, ['a', 'b'])
  const keys = await etcd.range(prefix(at), { only: 'keys' })
  t.deepEqual(
    keys.kvs.map(kv => kv.value.length),
    [0, 0],
  )
  t.deepEqual(shortNames(at, keys.kvs), ['a', 'b'])
  const count = await etcd.range(prefix(at), { only: 'count' })
  t.is(count.count, 2)
  t.deepEqual(count.kvs, [])
})

test('bounds on revisions leave out keys, but not from the count', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const [first, second, third] = (await fill(etcd, at, ['a', 'b', 'c'])) as [bigint, bigint, bigint]
  await etcd.put(`${at}a`, 'again')
  const named = async (options: Parameters<Etcd['range']>[1]) =>
    shortNames(at, (await etcd.range(prefix(at), options)).kvs)
  t.deepEqual(await named({ minCreateRevision: second }), ['b', 'c'])
  t.deepEqual(await named({ maxCreateRevision: second }), ['a', 'b'])
  t.deepEqual(await named({ minModRevision: third }), ['a', 'c'])
  t.deepEqual(await named({ maxModRevision: third, minModRevision: first }), ['b', 'c'])
  t.is((await etcd.range(prefix(at), { minCreateRevision: third })).count, 3)
})

test('the past is read at its revision', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { revision } = await etcd.put(key, 'old')
  const changed = await etcd.put(key, 'new')
  const deleted = await etcd.delete(key)
  t.is((await etcd.get(key, { revision }))?.text(), 'old')
  t.is((await etcd.get(key, { revision: changed.revision }))?.text(), 'new')
  t.is(await etcd.get(key, { revision: deleted.revision }), undefined)
})

test('a revision that is still to come is an error', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { revision } = await etcd.put(key, 'v')
  const error = await t.throwsAsync(etcd.get(key, { revision: revision + 1_000_000n }))
  t.true(EtcdError.is(error, 'FUTURE_REVISION'))
})

test('a serializable read is answered', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  await etcd.put(key, 'v')
  t.is((await etcd.get(key, { consistency: 'serializable' }))?.text(), 'v')
})

test('a put answers with what the key was, where asked for', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  t.is((await etcd.put(key, 'one', { previous: true })).previous, undefined)
  t.is((await etcd.put(key, 'two', { previous: true })).previous?.text(), 'one')
  t.is((await etcd.put(key, 'three')).previous, undefined)
})

test('a put can leave the value or the lease as it is', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { id } = await etcd.lease.grant(60)
  const other = await etcd.lease.grant(60)
  await etcd.put(key, 'v', { lease: id })
  await etcd.put(key, 'w', { keep: 'lease' })
  t.like(await etcd.get(key), { lease: id })
  t.is((await etcd.get(key))?.text(), 'w')
  await etcd.put(key, '', { keep: 'value', lease: other.id })
  t.like(await etcd.get(key), { lease: other.id })
  t.is((await etcd.get(key))?.text(), 'w')
  await etcd.put(key, 'x')
  t.like(await etcd.get(key), { lease: 0n })
})

test('there is nothing to keep of a key that does not exist', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  for (const keep of ['value', 'lease'] as const) {
    const error = await t.throwsAsync(etcd.put(key, '', { keep }))
    t.true(EtcdError.is(error, 'NOT_FOUND') || EtcdError.is(error, 'INVALID_ARGUMENT'), String(error))
  }
})

test('a delete says how many keys there were, and which where asked for', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await fill(etcd, at, ['a', 'b', 'c'])
  const one = await etcd.delete(`${at}a`, { previous: true })
  t.is(one.deleted, 1)
  t.deepEqual(shortNames(at, one.previous), ['a'])
  const rest = await etcd.delete(prefix(at))
  t.is(rest.deleted, 2)
  t.deepEqual(rest.previous, [])
  const none = await etcd.delete(prefix(at))
  t.is(none.deleted, 0)
})

test('pages show one revision, whatever is written meanwhile', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const names = Array.from({ length: 25 }, (_, index) => String(index).padStart(3, '0'))
  await fill(etcd, at, names)
  const seen: string[] = []
  const revisions = new Set<string>()
  for await (const page of etcd.pages(prefix(at), { pageSize: 4 })) {
    seen.push(...shortNames(at, page.kvs))
    for (const kv of page.kvs) revisions.add(kv.text())
    await etcd.put(`${at}${names.at(-1)}`, 'changed')
    await etcd.put(`${at}${String(seen.length).padStart(3, '0')}x`, 'added')
    await etcd.delete(`${at}${names.at(-2)}`)
  }
  t.deepEqual(seen, names)
  t.false(revisions.has('changed') || revisions.has('added'))
})

test('pages of nothing are one empty page', async t => {
  const { etcd } = live()
  const pages = []
  for await (const page of etcd.pages(prefix(uniquePrefix(t)))) pages.push(page)
  t.is(pages.length, 1)
  t.is(pages[0]?.kvs.length, 0)
})

test('an aborted call rejects with its reason', async t => {
  const { etcd } = live()
  const reason = new Error('enough')
  const abort = new AbortController()
  const answer = etcd.put(`${uniquePrefix(t)}k`, 'v', { signal: abort.signal })
  abort.abort(reason)
  t.is(await t.throwsAsync(answer), reason)
})

test.serial('what was compacted can no longer be read, and compacting it again is an error', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { revision } = await etcd.put(key, 'old')
  const latest = await etcd.put(key, 'new')
  await etcd.compact(latest.revision, { physical: true })
  t.true(EtcdError.is(await t.throwsAsync(etcd.get(key, { revision })), 'COMPACTED'))
  t.true(EtcdError.is(await t.throwsAsync(etcd.compact(revision)), 'COMPACTED'))
  t.true(EtcdError.is(await t.throwsAsync(etcd.compact(latest.revision + 1_000_000n)), 'FUTURE_REVISION'))
  t.is((await etcd.get(key, { revision: latest.revision }))?.text(), 'new')
})

test.serial('pages whose revision is compacted on the way end with COMPACTED', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await fill(etcd, at, ['a', 'b', 'c'])
  const pages = etcd.pages(prefix(at), { pageSize: 1 })[Symbol.asyncIterator]()
  await pages.next()
  const { revision } = await etcd.put(`${at}d`, 'v')
  await etcd.compact(revision)
  t.true(EtcdError.is(await t.throwsAsync(pages.next()), 'COMPACTED'))
})

/** Returns the revision of each put. */
async function fill(etcd: Etcd, at: string, names: readonly string[]): Promise<readonly bigint[]> {
  const revisions: bigint[] = []
  for (const name of names) revisions.push((await etcd.put(at + name, name)).revision)
  return revisions
}

function shortNames(at: string, kvs: readonly KeyValue[]): readonly string[] {
  return kvs.map(kv => kv.name().slice(at.length))
}

test('a write that is given up says why, also when its transport tells of the end of the call at once', async t => {
  const { etcd, net } = await player(t, live().servers)
  const requests = net.stopRequests(methods.put)
  const leaving = new AbortController()
  const left = t.throwsAsync(etcd.put('k', 'v', { signal: leaving.signal }), { message: 'enough' })
  await requests.caught()
  leaving.abort(new Error('enough'))
  await left
  await t.throwsAsync(etcd.put('k', 'v', { timeoutMs: 20 }), { code: 'TIMEOUT' })
  const closed = t.throwsAsync(etcd.put('k', 'v'), { code: 'CLIENT_CLOSED' })
  await requests.caught(3)
  await etcd.close()
  await closed
})
