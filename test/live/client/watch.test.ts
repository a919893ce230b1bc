import test from 'ava'
import { everything, from, prefix } from '../../../src/client/key-range.ts'
import { op } from '../../../src/client/op.ts'
import type { Watch, WatchEvent } from '../../../src/client/watch.ts'
import { connect } from '../../../src/facade/connect.ts'
import { text } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { uniquePrefix } from '../../support/live.ts'
import { startProxy } from '../../support/tcp-proxy.ts'
import { useClient } from './use-client.ts'

const live = useClient(test)

test('a watch tells of everything after it was ready', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await using watch = etcd.watch(prefix(at))
  const since = await watch.ready
  const put = await etcd.put(`${at}a`, '1')
  t.true(put.revision > since)
  await etcd.put(`${at}a`, '2')
  const gone = await etcd.delete(`${at}a`)
  const events = await take(watch, 3)
  t.deepEqual(events.map(shown), [`put ${at}a 1`, `put ${at}a 2`, `delete ${at}a`])
  t.is(events[0]?.revision, put.revision)
  t.is(events[2]?.revision, gone.revision)
})

test('a watch begins in the past where asked to', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const { revision } = await etcd.put(`${at}a`, '1')
  await etcd.put(`${at}a`, '2')
  await using watch = etcd.watch(`${at}a`, { from: revision })
  t.deepEqual((await take(watch, 2)).map(shown), [`put ${at}a 1`, `put ${at}a 2`])
})

test('a watch leaves out the other kind of event', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await using puts = etcd.watch(prefix(at), { only: 'put' })
  await using deletions = etcd.watch(prefix(at), { only: 'delete' })
  await Promise.all([puts.ready, deletions.ready])
  await etcd.put(`${at}a`, '1')
  await etcd.delete(`${at}a`)
  await etcd.put(`${at}a`, '2')
  await etcd.delete(`${at}a`)
  t.deepEqual((await take(puts, 2)).map(shown), [`put ${at}a 1`, `put ${at}a 2`])
  t.deepEqual((await take(deletions, 2)).map(shown), [`delete ${at}a`, `delete ${at}a`])
})

test('a watch tells what a key was before, where asked to', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  await using watch = etcd.watch(key, { previous: true })
  await watch.ready
  await etcd.put(key, '1')
  await etcd.put(key, '2')
  await etcd.delete(key)
  const events = await take(watch, 3)
  t.deepEqual(
    events.map(event => event.previous?.text()),
    [undefined, '1', '2'],
  )
})

test('one transaction is one revision of a watch', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await using watch = etcd.watch(prefix(at))
  await watch.ready
  const { revision } = await etcd.txn({ then: [op.put(`${at}a`, '1'), op.put(`${at}b`, '2')] })
  for await (const change of watch.revisions()) {
    t.is(change.revision, revision)
    t.is(change.events.length, 2)
    break
  }
})

test('revisions larger than a message come whole', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const value = new Uint8Array(400 * 1024).fill(0x61)
  const writes: bigint[] = []
  for (let round = 0; round < 3; round++) {
    const then = ['a', 'b', 'c'].map(name => op.put(at + name, value))
    writes.push((await etcd.txn({ then })).revision)
  }
  await using watch = etcd.watch(prefix(at), { from: writes[0] ?? 1n, previous: true })
  let index = 0
  for await (const change of watch.revisions()) {
    t.is(change.revision, writes[index] ?? 0n)
    t.is(change.events.length, 3)
    for (const event of change.events) t.is(event.type === 'put' && event.kv.value.length, value.length)
    if (++index === writes.length) break
  }
})

test('a watch goes on where its connection was cut, without a gap and without a repeat', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await using proxy = await startProxy(live().servers.endpoint)
  await using watcher = await connect(proxy.endpoint)
  await using watch = watcher.watch(prefix(at))
  await watch.ready
  const written: string[] = []
  const seen: string[] = []
  const events = watch[Symbol.asyncIterator]()
  for (let round = 0; round < 5; round++) {
    for (let index = 0; index < 5; index++) {
      written.push(`${round}.${index}`)
      await etcd.put(`${at}k`, `${round}.${index}`)
      if (index === 2) proxy.reset()
    }
    while (seen.length < written.length) {
      const { value } = await events.next()
      seen.push(value?.type === 'put' ? value.kv.text() : 'no put')
    }
  }
  t.deepEqual(seen, written)
  t.true(proxy.accepted > 1)
})

test('a watch notices a connection that has gone silent', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await using proxy = await startProxy(live().servers.endpoint)
  await using watcher = await connect(proxy.endpoint)
  await using watch = watcher.watch(prefix(at))
  await watch.ready
  proxy.blackhole('both')
  await etcd.put(`${at}k`, 'unheard')
  const again = proxy.nextConnection()
  const events = take(watch, 1)
  await again
  await proxy.heal()
  t.deepEqual((await events).map(shown), [`put ${at}k unheard`])
})

test('many watches share a client, each with its own events', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const watches = Array.from({ length: 50 }, (_, index) => etcd.watch(`${at}${index}`))
  await Promise.all(watches.map(watch => watch.ready))
  await Promise.all(watches.map((_, index) => etcd.put(`${at}${index}`, String(index))))
  for (const [index, watch] of watches.entries())
    t.deepEqual((await take(watch, 1)).map(shown), [`put ${at}${index} ${index}`])
})

test('everything, and everything from a key on, can be watched', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await using all = etcd.watch(everything)
  await using late = etcd.watch(from(`${at}b`))
  await Promise.all([all.ready, late.ready])
  await etcd.put(`${at}a`, '1')
  await etcd.put(`${at}b`, '2')
  const own = (event: WatchEvent) => shown(event).includes(at)
  t.deepEqual((await takeWhere(all, 2, own)).map(shown), [`put ${at}a 1`, `put ${at}b 2`])
  t.deepEqual((await takeWhere(late, 1, own)).map(shown), [`put ${at}b 2`])
})

test('an expired lease is seen as the deletion of its keys', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { id } = await etcd.lease.grant(2)
  await using watch = etcd.watch(key, { only: 'delete', previous: true })
  await watch.ready
  await etcd.put(key, 'v', { lease: id })
  const [event] = await take(watch, 1)
  t.is(event?.previous?.lease, id)
})

test('a watch that is aborted rejects with the reason', async t => {
  const { etcd } = live()
  const abort = new AbortController()
  const reason = new Error('enough')
  const watch = etcd.watch(uniquePrefix(t), { signal: abort.signal })
  await watch.ready
  const next = watch[Symbol.asyncIterator]().next()
  abort.abort(reason)
  t.is(await t.throwsAsync(Promise.resolve(next)), reason)
})

test('closing a client ends its watches', async t => {
  const client = await connect(live().servers.endpoint)
  const watch = client.watch(uniquePrefix(t))
  await watch.ready
  await client.close()
  await watch.ended
  t.throws(() => client.watch('k'), { code: 'CLIENT_CLOSED' })
})

test.serial('a watch from a compacted revision says COMPACTED, and how far', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { revision } = await etcd.put(key, '1')
  const latest = await etcd.put(key, '2')
  await etcd.compact(latest.revision)
  await using watch = etcd.watch(key, { from: revision })
  const error = await t.throwsAsync(take(watch, 1))
  t.true(EtcdError.is(error, 'COMPACTED'))
  t.is((error as unknown as EtcdError).compactRevision, latest.revision)
})

async function take(watch: Watch, count: number): Promise<readonly WatchEvent[]> {
  return takeWhere(watch, count, () => true)
}

async function takeWhere(
  watch: Watch,
  count: number,
  wanted: (event: WatchEvent) => boolean,
): Promise<readonly WatchEvent[]> {
  const events: WatchEvent[] = []
  for await (const event of watch) {
    if (wanted(event)) events.push(event)
    if (events.length === count) break
  }
  return events
}

function shown(event: WatchEvent): string {
  return event.type === 'put' ? `put ${event.kv.name()} ${event.kv.text()}` : `delete ${text(event.key)}`
}
