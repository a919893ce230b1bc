import test from 'ava'
import { compare } from '../../../src/client/compare.ts'
import { between, everything, from, prefix } from '../../../src/client/key-range.ts'
import type { KeyValue } from '../../../src/client/key-value.ts'
import { op } from '../../../src/client/op.ts'
import type { Watch, WatchEvent } from '../../../src/client/watch.ts'
import { text } from '../../../src/wire/bytes.ts'
import { uniquePrefix } from '../../support/live.ts'
import { useClient } from './use-client.ts'

const live = useClient(test)

test('a namespace writes below its prefix and reads without it', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const view = etcd.namespace(at)
  await view.put('k', 'v')
  t.is((await etcd.get(`${at}k`))?.text(), 'v')
  t.is((await view.get('k'))?.name(), 'k')
  t.is((await view.put('k', 'w', { previous: true })).previous?.name(), 'k')
  t.is((await view.delete('k', { previous: true })).previous[0]?.name(), 'k')
  t.is(await etcd.get(`${at}k`), undefined)
})

test('no range leaves its namespace', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const view = etcd.namespace(`${at}in/`)
  for (const name of ['in', 'in.', 'in0', 'jn/a']) await etcd.put(at + name, 'outside')
  for (const name of ['a', 'b', 'c']) await view.put(name, 'inside')
  t.deepEqual(names((await view.range(everything)).kvs), ['a', 'b', 'c'])
  t.deepEqual(names((await view.range(prefix(''))).kvs), ['a', 'b', 'c'])
  t.deepEqual(names((await view.range(from('b'))).kvs), ['b', 'c'])
  t.deepEqual(names((await view.range(between('a', 'c'))).kvs), ['a', 'b'])
  const seen: string[] = []
  for await (const page of view.pages(everything, { pageSize: 1 })) seen.push(...names(page.kvs))
  t.deepEqual(seen, ['a', 'b', 'c'])
  t.is((await view.delete(everything)).deleted, 3)
  t.is((await etcd.range(prefix(at))).count, 4)
})

test('a namespace within a namespace is both', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await etcd.namespace(at).namespace('in/').put('k', 'v')
  t.is((await etcd.get(`${at}in/k`))?.text(), 'v')
})

test('a transaction lies in its namespace, compares and nested steps too', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const view = etcd.namespace(at)
  await view.put('a', '1')
  const result = await view.txn({
    if: [compare('a').value.equals('1'), compare(from('b')).version.equals(0n)],
    then: [
      op.put('b', '2'),
      op.txn({ if: [compare('a').version.greaterThan(0n)], then: [op.range(everything)] }),
    ],
  })
  if (!result.succeeded) return t.fail()
  const [, nested] = result.results
  if (!nested.succeeded) return t.fail()
  t.deepEqual(names(nested.results[0].kvs), ['a', 'b'])
  t.is((await etcd.get(`${at}b`))?.text(), '2')
})

test('a watch sees its namespace only, and names keys as it does', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const view = etcd.namespace(`${at}in/`)
  await using watch = view.watch(everything, { previous: true })
  await watch.ready
  await etcd.put(`${at}in0`, 'outside')
  await view.put('a', '1')
  await view.put('a', '2')
  await view.delete('a')
  const events = await take(watch, 3)
  t.deepEqual(
    events.map(event => (event.type === 'put' ? event.kv.name() : `-${text(event.key)}`)),
    ['a', 'a', '-a'],
  )
  t.deepEqual(
    events.map(event => event.previous?.name()),
    [undefined, 'a', 'a'],
  )
})

test('the keys of a lease are named as the namespace knows them', async t => {
  const { etcd } = live()
  const view = etcd.namespace(uniquePrefix(t))
  const { id } = await view.lease.grant(60)
  await view.put('k', 'v', { lease: id })
  t.deepEqual((await view.lease.timeToLive(id, { keys: true }))?.keys.map(text), ['k'])
  t.is((await etcd.lease.timeToLive(id))?.id, id)
})

test('closing a namespace ends its watches and leaves the client open', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const view = etcd.namespace(at)
  const inner = view.watch('k')
  await using outer = etcd.watch(`${at}k`)
  await Promise.all([inner.ready, outer.ready])
  await view.close()
  await inner.ended
  await etcd.put(`${at}k`, 'v')
  t.is((await take(outer, 1)).length, 1)
  t.throws(() => view.watch('k'), { code: 'CLIENT_CLOSED' })
})

test('an empty prefix is no namespace', t => {
  t.throws(() => live().etcd.namespace(''), { instanceOf: RangeError })
})

function names(kvs: readonly KeyValue[]): readonly string[] {
  return kvs.map(kv => kv.name())
}

async function take(watch: Watch, count: number): Promise<readonly WatchEvent[]> {
  const events: WatchEvent[] = []
  for await (const event of watch) {
    events.push(event)
    if (events.length === count) break
  }
  return events
}
