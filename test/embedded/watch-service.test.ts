import test from 'ava'
import type { EmbeddedOptions } from '../../src/embedded/index.ts'
import { text, toBytes } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { FilterType, type WatchCreateRequest, type WatchResponse } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, startDirect } from './direct.ts'

async function setUp(options: EmbeddedOptions = {}) {
  const { caller, server } = await startDirect(options)
  const put = (key: string, value = 'v') =>
    caller.call(methods.put, { key: toBytes(key), value: toBytes(value) })
  const remove = (key: string, end = '') =>
    caller.call(methods.deleteRange, { key: toBytes(key), rangeEnd: toBytes(end) })
  const stream = caller.stream(methods.watch)
  const create = async (request: Init<WatchCreateRequest>) => {
    stream.send({ request: { kind: 'create', value: request } })
    await arrive()
  }
  const take = async () => {
    await arrive()
    return stream.received.splice(0)
  }
  return { caller, server, put, remove, stream, create, take }
}

function shown({ events }: WatchResponse): string {
  return events
    .map(({ type, kv }) => `${type === 0 ? '+' : '-'}${text(kv!.key)}@${kv!.modRevision}`)
    .join(' ')
}

test('a watch from now is told of each revision in one response', async t => {
  const { put, remove, create, take } = await setUp()
  await put('a/0')
  await create({ key: toBytes('a/'), rangeEnd: toBytes('a0') })
  t.like((await take())[0], { created: true, watchId: 0n, header: { revision: 2n } })
  await put('a/1')
  await put('b')
  await remove('a/', 'a0')
  const responses = await take()
  t.deepEqual(responses.map(shown), ['+a/1@3', '-a/0@5 -a/1@5'])
  t.deepEqual(
    responses.map(response => response.header?.revision),
    [3n, 5n],
  )
})

test('a watch from the past is brought what it missed, then what comes', async t => {
  const { put, create, take } = await setUp()
  for (let at = 0; at < 5; at++) await put('a')
  await create({ key: toBytes('a'), startRevision: 3n })
  await put('a')
  t.deepEqual((await take()).slice(1).map(shown), ['+a@3 +a@4 +a@5 +a@6', '+a@7'])
})

test('a watch from the future is told of nothing before it', async t => {
  const { put, create, take } = await setUp()
  await create({ key: toBytes('a'), startRevision: 4n })
  for (let at = 0; at < 4; at++) await put('a')
  t.deepEqual((await take()).slice(1).map(shown), ['+a@4', '+a@5'])
})

test('catching up over many revisions is cut between revisions, losing and repeating none', async t => {
  const { put, create, take } = await setUp()
  for (let at = 0; at < 2500; at++) await put('a')
  await create({ key: toBytes('a'), startRevision: 2n })
  const responses = (await take()).slice(1)
  t.is(responses.length, 3)
  const revisions = responses.flatMap(({ events }) => events.map(({ kv }) => kv!.modRevision))
  t.deepEqual(
    revisions,
    Array.from({ length: 2500 }, (_, at) => BigInt(at + 2)),
  )
})

test('filters leave out what nobody asked for, and previous values come when asked for', async t => {
  const { put, remove, create, take } = await setUp()
  await put('a', 'old')
  await create({ key: toBytes('a'), filters: [FilterType.noPut], prevKv: true })
  await create({ key: toBytes('a'), filters: [FilterType.noDelete], prevKv: true })
  await take()
  await put('a', 'new')
  await remove('a')
  const responses = await take()
  t.deepEqual(
    responses.map(response => [response.watchId, shown(response)]),
    [
      [1n, '+a@3'],
      [0n, '-a@4'],
    ],
  )
  t.deepEqual(
    responses.map(({ events }) => text(events[0]!.prevKv!.value)),
    ['old', 'new'],
  )
})

test('of a key that is deleted and put in one revision, the deletion alone tells what it was', async t => {
  const { caller, put, create, take } = await setUp()
  await put('a', 'old')
  await create({ key: toBytes('a'), prevKv: true })
  await take()
  await caller.call(methods.txn, {
    success: [
      { request: { kind: 'deleteRange', value: { key: toBytes('a'), rangeEnd: Uint8Array.of(0) } } },
      { request: { kind: 'put', value: { key: toBytes('a'), value: toBytes('new') } } },
    ],
  })
  const [response] = await take()
  t.is(shown(response!), '-a@3 +a@3')
  t.deepEqual(
    response!.events.map(({ prevKv }) => prevKv && text(prevKv.value)),
    ['old', undefined],
  )
})

test('ids are given from 0 on, or chosen, but not twice', async t => {
  const { create, take } = await setUp()
  await create({ key: toBytes('a'), watchId: 1n })
  await create({ key: toBytes('a') })
  await create({ key: toBytes('a') })
  await create({ key: toBytes('a'), watchId: 1n })
  const responses = await take()
  t.deepEqual(
    responses.map(({ watchId }) => watchId),
    [1n, 0n, 2n, -1n],
  )
  t.like(responses[3], {
    created: true,
    canceled: true,
    cancelReason: 'mvcc: duplicate watch ID provided on the WatchStream',
  })
})

test('a range that holds no key is refused as a watch', async t => {
  const { create, take } = await setUp()
  await create({ key: toBytes('b'), rangeEnd: toBytes('a') })
  t.like((await take())[0], {
    watchId: -1n,
    created: true,
    canceled: true,
    cancelReason: 'mvcc: watcher range is empty',
  })
})

test('a cancelled watch is told nothing more', async t => {
  const { put, create, stream, take } = await setUp()
  await create({ key: toBytes('a') })
  stream.send({ request: { kind: 'cancel', value: { watchId: 0n } } })
  stream.send({ request: { kind: 'cancel', value: { watchId: 7n } } })
  await put('a')
  const responses = await take()
  t.deepEqual(
    responses.map(({ canceled }) => canceled),
    [false, true],
  )
})

test('a watch that starts before the compaction is cancelled with its revision, one at it is served', async t => {
  const { caller, put, create, take } = await setUp()
  for (let at = 0; at < 4; at++) await put('a')
  await caller.call(methods.compact, { revision: 4n })
  await create({ key: toBytes('a'), startRevision: 3n })
  await create({ key: toBytes('a'), startRevision: 4n, prevKv: true })
  const [, compacted, , served] = await take()
  t.like(compacted, { watchId: 0n, canceled: true, compactRevision: 4n, cancelReason: '' })
  t.is(shown(served!), '+a@4 +a@5')
  // Of the first the value before is gone.
  t.deepEqual(
    served!.events.map(({ prevKv }) => prevKv?.modRevision),
    [undefined, 4n],
  )
})

test('with a tick the past waits for it, and meanwhile nobody is told of progress', async t => {
  const runtime = new FakeRuntime()
  const { put, create, stream, take } = await setUp({ runtime, watchTickMs: 100 })
  await put('a')
  await create({ key: toBytes('a'), startRevision: 2n })
  stream.send({ request: { kind: 'progress', value: {} } })
  t.is((await take()).length, 1)
  await put('a')
  t.is((await take()).length, 0)
  await runtime.advance(100)
  t.deepEqual((await take()).map(shown), ['+a@2 +a@3'])
  stream.send({ request: { kind: 'progress', value: {} } })
  t.like((await take())[0], { watchId: -1n, header: { revision: 3n } })
})

test('an idle watch is told of progress at intervals, a busy one is not', async t => {
  const runtime = new FakeRuntime()
  const { put, create, take } = await setUp({ runtime, progressNotifyMs: 1000 })
  await create({ key: toBytes('a'), progressNotify: true })
  await take()
  await put('b')
  const told = { watchId: 0n, header: { revision: 2n }, events: [] }
  await runtime.advance(1100)
  t.like(await take(), [told])
  await runtime.advance(1100)
  t.like(await take(), [told])
  await put('a')
  await take()
  await runtime.advance(1100)
  t.is((await take()).length, 0)
})

test('what is larger than a request may be comes in fragments to those who want them', async t => {
  const { caller, create, take } = await setUp({ maxRequestBytes: 1000 })
  await create({ key: toBytes('a'), rangeEnd: toBytes('b'), fragment: true })
  await create({ key: toBytes('a'), rangeEnd: toBytes('b') })
  await take()
  const large = 'v'.repeat(900)
  for (let at = 0; at < 900; at++)
    await caller.call(methods.put, { key: toBytes(`a${at}`), value: toBytes(large) })
  await take()
  await create({ key: toBytes('a'), rangeEnd: toBytes('b'), startRevision: 2n, fragment: true })
  await create({ key: toBytes('a'), rangeEnd: toBytes('b'), startRevision: 2n })
  const responses = (await take()).filter(({ created }) => !created)
  t.deepEqual(
    responses.map(({ watchId, fragment }) => [watchId, fragment]),
    [
      [2n, true],
      [2n, false],
      [3n, false],
    ],
  )
  t.is(responses[0]!.events.length + responses[1]!.events.length, 900)
  const bytes = methods.watch.response.encode(responses[0]!).length
  t.true(bytes < 1000 + 512 * 1024 && bytes > 500 * 1024)
})

test('each of ten thousand watches is told of its own key only', async t => {
  const { put, stream, take } = await setUp()
  for (let at = 0; at < 10_000; at++)
    stream.send({
      request: { kind: 'create', value: { key: toBytes(`k${at}/`), rangeEnd: toBytes(`k${at}0`) } },
    })
  await take()
  const startedMs = performance.now()
  for (let at = 0; at < 1000; at++) await put(`k${at * 10}/x`)
  const responses = await take()
  t.deepEqual(
    responses.map(({ watchId }) => watchId),
    Array.from({ length: 1000 }, (_, at) => BigInt(at * 10)),
  )
  t.true(performance.now() - startedMs < 5000)
})

test('ranges that are no prefixes are watched as well', async t => {
  const { put, create, take } = await setUp()
  await create({ key: toBytes('b'), rangeEnd: toBytes('d') })
  await create({ key: toBytes('c'), rangeEnd: toBytes('\0') })
  await take()
  for (const key of ['a', 'b', 'c', 'cc', 'd']) await put(key)
  t.deepEqual(
    (await take()).map(response => `${response.watchId}${shown(response)}`),
    ['0+b@3', '0+c@4', '1+c@4', '0+cc@5', '1+cc@5', '1+d@6'],
  )
})
