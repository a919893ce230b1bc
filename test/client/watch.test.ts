import test from 'ava'
import fc from 'fast-check'
import { KeyRange, prefix } from '../../src/client/key-range.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import {
  type KeyMapping,
  Watch,
  type WatchEvent,
  type WatchedRevision,
  type WatchOptions,
} from '../../src/client/watch.ts'
import { WatchHub } from '../../src/client/watch-hub.ts'
import { AbortFanOut } from '../../src/support/abort.ts'
import { type Bytes, concat, toBytes } from '../../src/wire/bytes.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { WatchCreateRequest, WatchRequest, WatchResponse } from '../../src/wire/gen/rpc.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { FakeStreams } from '../support/fake-streams.ts'
import { eventOf, FakeWatchServer, response } from '../support/fake-watch-server.ts'

const CLOSED = new EtcdError('CLIENT_CLOSED', 'closed', { outcome: 'not-sent' })

function arrange() {
  const runtime = new FakeRuntime()
  const streams = new FakeStreams()
  const server = new FakeWatchServer(streams)
  const hub = new WatchHub(streams, runtime, { lane: 'data' })
  const aborts = new AbortFanOut()
  const watch = (options?: WatchOptions, target: Bytes | KeyRange = prefix(''), keys?: KeyMapping) =>
    new Watch({ hub, aborts }, target, options, keys)
  /** Lets the client reconnect and the server answer and catch up. */
  const quiesce = async () => {
    await runtime.advance(1000)
    server.read()
    server.deliver()
    await settle()
  }
  const lastCreate = (): WatchCreateRequest | undefined =>
    streams
      .stream<WatchRequest, WatchResponse>()
      .sent.flatMap(({ request }) => (request?.kind === 'create' ? [request.value] : []))
      .at(-1)
  return { runtime, streams, server, hub, watch, quiesce, lastCreate }
}

function told(event: WatchEvent): string {
  const name = event.type === 'put' ? event.kv.name() : new TextDecoder().decode(event.key)
  return `${event.revision} ${event.type} ${name}`
}

async function take(iterator: AsyncIterator<WatchEvent>, count: number): Promise<string[]> {
  const taken: string[] = []
  while (taken.length < count) {
    const next = await iterator.next()
    if (next.done) break
    taken.push(told(next.value))
  }
  return taken
}

test('a watch is started by its call and is ready with the revision after which every event comes', async t => {
  const { server, watch, quiesce } = arrange()
  server.write('+a')
  const watching = watch()
  await quiesce()
  t.is(await watching.ready, 2n)
  server.write('+b', '-a')
  server.deliver()
  t.deepEqual(await take(watching[Symbol.asyncIterator](), 2), ['3 put b', '3 delete a'])
})

test('the options reach the server', async t => {
  const { watch, quiesce, lastCreate } = arrange()
  watch({ from: 5n, only: 'put', previous: true, progress: false }, 'key')
  await quiesce()
  t.deepEqual(lastCreate(), {
    key: toBytes('key'),
    rangeEnd: new Uint8Array(0),
    startRevision: 5n,
    filters: [1],
    prevKv: true,
    progressNotify: false,
    watchId: 1n,
    fragment: true,
  })
  watch({ only: 'delete' })
  t.deepEqual(lastCreate()?.filters, [0])
  t.true(lastCreate()?.progressNotify)
})

test('wrong options are refused before any request', t => {
  const { streams, watch } = arrange()
  const wrong: [unknown, ErrorConstructor][] = [
    [{ from: 5 }, TypeError],
    [{ from: 0n }, RangeError],
    [{ from: -1n }, RangeError],
    [{ only: 'puts' }, TypeError],
    [{ previous: 1 }, TypeError],
    [{ progress: 'yes' }, TypeError],
    [{ signal: {} }, TypeError],
    [{ signal: null }, TypeError],
    [{ maxBuffered: '5' }, TypeError],
    [{ maxBuffered: 0 }, RangeError],
    [{ maxBuffered: 1.5 }, RangeError],
    [{ maxBuffered: Number.NaN }, RangeError],
  ]
  for (const [options, kind] of wrong) t.throws(() => watch(options as WatchOptions), { instanceOf: kind })
  t.throws(() => watch({}, ''), { instanceOf: RangeError })
  t.is(streams.openings.length, 0)
})

test('a watch on keys too long for a request is refused, by the length they have on the server', async t => {
  const { watch, quiesce, lastCreate } = arrange()
  const space = new KeySpace(new Uint8Array(800_000))
  const within: KeyMapping = { toServer: range => space.range(range), fromServer: key => space.local(key) }
  const name = new Uint8Array(800_000).fill(97)
  t.throws(() => watch({}, name, within), { instanceOf: RangeError, message: /1600000 bytes/ })
  t.throws(() => watch({}, prefix(name)), { instanceOf: RangeError })
  watch({}, name)
  await quiesce()
  t.is(lastCreate()?.key.length, 800_000)
})

test('an event carries what the key was before', async t => {
  const { streams, watch, quiesce } = arrange()
  const watching = watch({ previous: true })
  await quiesce()
  const before = eventOf('+a', 2n).kv
  streams.stream<WatchRequest, WatchResponse>().answer({
    ...response(4n, 1n),
    events: [
      { ...eventOf('+a', 3n), prevKv: before },
      { ...eventOf('-a', 4n), prevKv: before },
    ],
  })
  const iterator = watching[Symbol.asyncIterator]()
  const events = [await iterator.next(), await iterator.next()].map(next => next.value)
  t.deepEqual(
    events.map(event => [event?.type, event?.previous?.text(), event?.previous?.modRevision]),
    [
      ['put', '2', 2n],
      ['delete', '2', 2n],
    ],
  )
})

test('keys are those of the view', async t => {
  const { server, watch, quiesce } = arrange()
  const view: KeyMapping = {
    toServer: ({ key, end }) => new KeyRange(concat(toBytes('/app/'), key), concat(toBytes('/app/'), end)),
    fromServer: key => key.subarray(5),
  }
  const watching = watch({}, prefix('a'), view)
  await quiesce()
  server.write('+/app/a1', '-/app/a2', '+a3')
  server.deliver()
  t.deepEqual(await take(watching[Symbol.asyncIterator](), 2), ['2 put a1', '2 delete a2'])
})

test('a loop over revisions sees at once what was written at once', async t => {
  const { server, watch, quiesce } = arrange()
  const watching = watch()
  await quiesce()
  server.write('+a', '+b')
  server.write('+c')
  server.deliver()
  const revisions: WatchedRevision[] = []
  for await (const revision of watching.revisions()) {
    revisions.push(revision)
    if (revisions.length === 2) break
  }
  t.deepEqual(
    revisions.map(({ revision, events }) => [revision, ...events.map(told)]),
    [
      [2n, '2 put a', '2 put b'],
      [3n, '3 put c'],
    ],
  )
})

test('several calls of next at once are answered in order', async t => {
  const { server, watch, quiesce } = arrange()
  const watching = watch()
  await quiesce()
  const iterator = watching[Symbol.asyncIterator]()
  const answers = Promise.all([iterator.next(), iterator.next(), iterator.next()])
  server.write('+a', '+b')
  server.write('+c')
  server.deliver()
  t.deepEqual(
    (await answers).map(({ value }) => told(value!)),
    ['2 put a', '2 put b', '3 put c'],
  )
})

test('a watch has one loop', async t => {
  const { watch } = arrange()
  const watching = watch()
  watching[Symbol.asyncIterator]()
  t.throws(() => watching[Symbol.asyncIterator](), { instanceOf: TypeError })
  t.throws(() => watching.revisions(), { instanceOf: TypeError })
})

test('leaving the loop closes the watch', async t => {
  const { server, watch, quiesce } = arrange()
  const watching = watch()
  await quiesce()
  server.write('+a')
  server.deliver()
  for await (const _ of watching) break
  server.read()
  t.deepEqual(server.watches, [])
})

test('closing ends the loop in good order, any number of times', async t => {
  const { server, watch, quiesce } = arrange()
  const watching = watch()
  await quiesce()
  server.write('+a')
  server.deliver()
  const iterator = watching[Symbol.asyncIterator]()
  t.is((await take(iterator, 1)).length, 1)
  const waiting = [iterator.next(), iterator.next()]
  await watching.close()
  await watching.close()
  await watching[Symbol.asyncDispose]()
  for (const next of [...waiting, iterator.next()]) t.deepEqual(await next, { done: true, value: undefined })
  server.read()
  t.deepEqual(server.watches, [])
})

test('closing leaves out what the loop has not taken', async t => {
  const { server, watch, quiesce } = arrange()
  const watching = watch()
  await quiesce()
  server.write('+a')
  server.deliver()
  await watching.close()
  t.deepEqual(await take(watching[Symbol.asyncIterator](), 1), [])
})

test('closing before the watch is ready rejects ready, and nobody has to listen', async t => {
  const { watch } = arrange()
  const watching = watch()
  await watching.close()
  await t.throwsAsync(watching.ready, { instanceOf: EtcdError, code: 'CANCELLED' })
  await settle()
})

test('an abort rejects the loop at once with its reason, leaving out what was not taken', async t => {
  const { server, watch, quiesce } = arrange()
  const controller = new AbortController()
  const watching = watch({ signal: controller.signal })
  await quiesce()
  server.write('+a', '+b')
  server.deliver()
  const iterator = watching[Symbol.asyncIterator]()
  t.deepEqual(await take(iterator, 1), ['2 put a'])
  const reason = new Error('enough')
  controller.abort(reason)
  t.is(await iterator.next().catch(error => error), reason)
  t.deepEqual(await iterator.next(), { done: true, value: undefined })
  server.read()
  t.deepEqual(server.watches, [])
})

test('an abort rejects a call of next that waits, and ready', async t => {
  const { watch } = arrange()
  const controller = new AbortController()
  const watching = watch({ signal: controller.signal })
  const next = watching[Symbol.asyncIterator]().next()
  const reason = new Error('enough')
  controller.abort(reason)
  t.is(await next.then(undefined, error => error), reason)
  t.is(await watching.ready.then(undefined, error => error), reason)
})

test('a signal that has aborted before makes no request', async t => {
  const { streams, watch } = arrange()
  const reason = new Error('too late')
  const watching = watch({ signal: AbortSignal.abort(reason) })
  t.is(await watching.ready.then(undefined, error => error), reason)
  t.is(
    await watching[Symbol.asyncIterator]()
      .next()
      .then(undefined, error => error),
    reason,
  )
  t.is(streams.openings.length, 0)
})

test('ended resolves however the watch ends, and not before', async t => {
  const endings: ((watching: Watch, hub: WatchHub, controller: AbortController) => unknown)[] = [
    watching => watching.close(),
    (_, hub) => hub.close(CLOSED),
    (_, _hub, controller) => controller.abort(),
    watching => watching[Symbol.asyncIterator]().return?.(),
  ]
  for (const end of endings) {
    const { hub, watch, quiesce } = arrange()
    const controller = new AbortController()
    const watching = watch({ signal: controller.signal })
    let ended = false
    void watching.ended.then(() => {
      ended = true
    })
    await quiesce()
    t.false(ended)
    end(watching, hub, controller)
    await watching.ended
    t.true(ended)
  }
  const { watch } = arrange()
  await t.notThrowsAsync(watch({ signal: AbortSignal.abort() }).ended)
})

test('no listener stays on the signal, however the watch ends', async t => {
  const endings: ((watching: Watch, hub: WatchHub) => unknown)[] = [
    watching => watching.close(),
    (_, hub) => hub.close(CLOSED),
    watching => watching[Symbol.asyncIterator]().return?.(),
  ]
  for (const end of endings) {
    const { hub, watch } = arrange()
    const { signal } = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...given: unknown[]) => {
      listeners++
      Reflect.apply(addEventListener, signal, given)
    }
    signal.removeEventListener = (...given: unknown[]) => {
      listeners--
      Reflect.apply(removeEventListener, signal, given)
    }
    const watching = watch({ signal })
    t.is(listeners, 1)
    await end(watching, hub)
    t.is(listeners, 0)
  }
})

test('a compaction rejects the loop after what was delivered before', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const watching = watch()
  await quiesce()
  server.write('+a', '+b')
  server.deliver()
  streams
    .stream<WatchRequest, WatchResponse>()
    .answer({ ...response(9n, 1n), canceled: true, compactRevision: 7n })
  const iterator = watching[Symbol.asyncIterator]()
  t.deepEqual(await take(iterator, 2), ['2 put a', '2 put b'])
  const error = await t.throwsAsync<EtcdError>(iterator.next(), { code: 'COMPACTED' })
  t.is(error?.compactRevision, 7n)
  t.deepEqual(await iterator.next(), { done: true, value: undefined })
})

test('closing the client rejects the loop that waits', async t => {
  const { hub, watch, quiesce } = arrange()
  const watching = watch()
  await quiesce()
  const iterator = watching[Symbol.asyncIterator]()
  const [first, second] = [iterator.next(), iterator.next()]
  hub.close(CLOSED)
  t.is(await first.then(undefined, error => error), CLOSED)
  t.deepEqual(await second, { done: true, value: undefined })
})

test('a full buffer makes the server hold back, and half an empty one lets it go on', async t => {
  const { server, watch, quiesce, lastCreate } = arrange()
  const watching = watch({ maxBuffered: 4 })
  await quiesce()
  for (let revision = 0; revision < 6; revision++) server.write(`+${revision}`, '+x')
  server.deliver()
  server.read()
  t.deepEqual(server.watches, [])
  const iterator = watching[Symbol.asyncIterator]()
  t.deepEqual(await take(iterator, 2), ['2 put 0', '2 put x'])
  server.read()
  t.deepEqual(server.watches, [])
  t.deepEqual(await take(iterator, 1), ['3 put 1'])
  server.read()
  t.is(server.watches.length, 1)
  t.is(lastCreate()?.startRevision, 4n)
  server.deliver()
  t.deepEqual(await take(iterator, 3), ['3 put x', '4 put 2', '4 put x'])
})

test('a buffer takes a revision whole though it goes beyond the bound', async t => {
  const { server, watch, quiesce } = arrange()
  const watching = watch({ maxBuffered: 1 })
  await quiesce()
  server.write('+a', '+b', '+c')
  server.deliver({ fragmentSize: 1 })
  server.read()
  t.deepEqual(server.watches, [])
  const { value } = await watching.revisions().next()
  t.deepEqual(value?.events.map(told), ['2 put a', '2 put b', '2 put c'])
  server.read()
  t.is(server.watches.length, 1)
})

test('a compaction that overtakes a watch held back is told after what was delivered', async t => {
  const { server, watch, quiesce } = arrange()
  const watching = watch({ maxBuffered: 1 })
  await quiesce()
  server.write('+a')
  server.write('+b')
  server.deliver()
  server.read()
  server.compacted = 3n
  const iterator = watching[Symbol.asyncIterator]()
  t.deepEqual(await take(iterator, 1), ['2 put a'])
  server.read()
  await t.throwsAsync(iterator.next(), { code: 'COMPACTED' })
})

test('however slow the loop and small the buffer, it sees every event once and in order', async t => {
  const steps = fc.array(fc.constantFrom('write', 'deliver', 'read', 'take', 'cut', 'wait'), {
    maxLength: 60,
  })
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), steps, async (maxBuffered, steps) => {
      const { server, watch, quiesce, runtime, hub, streams } = arrange()
      const watching = watch({ maxBuffered, from: 2n })
      const iterator = watching[Symbol.asyncIterator]()
      const taken: string[] = []
      let asked = 0
      const ask = () => {
        asked++
        void iterator.next().then(
          ({ value }) => value && taken.push(told(value)),
          () => {},
        )
      }
      const written: string[] = []
      for (const step of steps) {
        if (step === 'write') {
          const revision = server.write('+a', '-b')
          written.push(`${revision} put a`, `${revision} delete b`)
        } else if (step === 'deliver') server.deliver({ fragmentSize: 3 })
        else if (step === 'read') server.read()
        else if (step === 'take') ask()
        else if (step === 'cut') server.cut()
        else await runtime.advance(300)
      }
      while (asked < written.length) ask()
      for (let round = 0; taken.length < written.length && round < written.length + 2; round++)
        await quiesce()
      t.deepEqual(taken, written)
      hub.close(CLOSED)
      await settle()
      t.is(runtime.pendingTimers, 0)
      t.is(streams.live.length, 0)
    }),
    { numRuns: 300 },
  )
})
