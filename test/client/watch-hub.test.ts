import test from 'ava'
import fc from 'fast-check'
import { everything, prefix, rangeOf } from '../../src/client/key-range.ts'
import type { StreamSource } from '../../src/client/streams.ts'
import { type WatchHandle, WatchHub } from '../../src/client/watch-hub.ts'
import type { WatchSink, WatchSpec } from '../../src/client/watcher.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { WatchCreateRequest, WatchRequest, WatchResponse } from '../../src/wire/gen/rpc.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { type FakeStream, FakeStreams } from '../support/fake-streams.ts'
import { changeOf, type Delivery, eventOf, FakeWatchServer, response } from '../support/fake-watch-server.ts'

const CLOSED = new EtcdError('CLIENT_CLOSED', 'closed', { outcome: 'not-sent' })
const UNAUTHENTICATED = new EtcdError('UNAUTHENTICATED', 'invalid auth token', { outcome: 'rejected' })
const TOO_LARGE = new EtcdError('TOO_LARGE', 'larger than max', { outcome: 'unknown' })

/** Everything the longest backoff could take. */
const BACKOFF_MS = 1000
const LINGER_MS = 5000

/** Writes down what a watch is told. */
class Recorder implements WatchSink {
  readonly told: string[] = []
  readonly delivered: { readonly revision: bigint; readonly changes: string[] }[] = []
  /** Where in `delivered` each opening begins, and at which revision. */
  readonly openings: { readonly revision: bigint; readonly from: number }[] = []
  error: EtcdError | undefined
  /** Runs after each revision is written down. */
  afterwards: (revision: bigint) => void = () => {}

  opened(revision: bigint): void {
    this.told.push(`opened ${revision}`)
    this.openings.push({ revision, from: this.delivered.length })
  }

  revision(revision: bigint, events: Parameters<WatchSink['revision']>[1]): void {
    const changes = events.map(changeOf)
    this.told.push(`${revision} ${changes.join(' ')}`)
    this.delivered.push({ revision, changes })
    this.afterwards(revision)
  }

  progress(revision: bigint, kind: string): void {
    this.told.push(`${kind} progress ${revision}`)
  }

  broken(): void {
    this.told.push('broken')
  }

  ended(error: EtcdError): void {
    this.told.push(`ended ${error.code}`)
    this.error = error
  }
}

function arrange(...addresses: string[]) {
  const runtime = new FakeRuntime()
  const streams = new FakeStreams(...addresses)
  const server = new FakeWatchServer(streams)
  const hub = new WatchHub(streams, runtime, { lane: 'control' })
  const watch = (policy: WatchSpec['onBreak'], spec: Partial<WatchSpec> = {}) => {
    const sink = new Recorder()
    const range = { key: everything.key, rangeEnd: everything.end }
    return { sink, handle: hub.watch({ ...range, onBreak: policy, ...spec }, sink) }
  }
  /** Lets the hub reconnect and the server answer and catch up. */
  const quiesce = async () => {
    await runtime.advance(BACKOFF_MS)
    server.read()
    server.deliver()
  }
  return { runtime, streams, server, hub, watch, quiesce }
}

function lastStream(streams: FakeStreams): FakeStream<WatchRequest, WatchResponse> {
  return streams.stream()
}

function creates(streams: FakeStreams, index?: number): WatchCreateRequest[] {
  const { sent } = streams.stream<WatchRequest, WatchResponse>(index)
  return sent.flatMap(({ request }) => (request?.kind === 'create' ? [request.value] : []))
}

function cancels(streams: FakeStreams, index?: number): bigint[] {
  const { sent } = streams.stream<WatchRequest, WatchResponse>(index)
  return sent.flatMap(({ request }) => (request?.kind === 'cancel' ? [request.value.watchId] : []))
}

test('creates go out together, each under an id of its own, without waiting for an answer', async t => {
  const { streams, watch } = arrange()
  watch('resume', { key: prefix('a').key, rangeEnd: prefix('a').end })
  watch('resume', { startRevision: 7n, filter: 'no-puts', previous: true, progress: true })
  await settle()
  watch('restart', { filter: 'no-deletes' })
  t.deepEqual(creates(streams), [
    {
      key: Uint8Array.of(0x61),
      rangeEnd: Uint8Array.of(0x62),
      startRevision: 0n,
      progressNotify: false,
      filters: [],
      prevKv: false,
      watchId: 1n,
      fragment: true,
    },
    {
      key: everything.key,
      rangeEnd: everything.end,
      startRevision: 7n,
      progressNotify: true,
      filters: [0],
      prevKv: true,
      watchId: 2n,
      fragment: true,
    },
    {
      key: everything.key,
      rangeEnd: everything.end,
      startRevision: 0n,
      progressNotify: false,
      filters: [1],
      prevKv: false,
      watchId: 3n,
      fragment: true,
    },
  ])
  t.is(streams.openings.length, 1)
  t.is(streams.openings[0]?.options.lane, 'control')
})

test('no stream is opened before there is a watch', async t => {
  const { runtime, streams } = arrange()
  await runtime.advance(BACKOFF_MS)
  t.is(streams.openings.length, 0)
})

test('events of one revision arrive in one call, and those of several in one answer in several', async t => {
  const { server, watch, quiesce } = arrange()
  const { sink } = watch('restart')
  await quiesce()
  server.write('+a', '-b')
  server.write('+c')
  server.deliver()
  t.deepEqual(sink.told, ['opened 1', '2 +a -b', '3 +c'])
})

test('a revision that is torn over fragments is put together again', async t => {
  const { server, watch, quiesce } = arrange()
  const { sink } = watch('resume')
  await quiesce()
  server.write('+a', '+b', '+c')
  server.write('+d', '+e')
  server.deliver({ fragmentSize: 2 })
  t.deepEqual(sink.told, ['opened 1', '2 +a +b +c', '3 +d +e'])
})

test('a revision is delivered as soon as a fragment of the next one arrives', async t => {
  const { streams, watch, quiesce } = arrange()
  const { sink } = watch('resume')
  await quiesce()
  const events = [eventOf('+a', 2n), eventOf('+b', 3n)]
  lastStream(streams).answer({ ...response(3n, 1n), events, fragment: true })
  t.deepEqual(sink.told, ['opened 1', '2 +a'])
  lastStream(streams).answer({ ...response(3n, 1n), events: [eventOf('+c', 3n)] })
  t.deepEqual(sink.told, ['opened 1', '2 +a', '3 +b +c'])
})

test('half a revision is forgotten with its stream and asked for again', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const { sink } = watch('resume')
  await quiesce()
  server.write('+a', '+b')
  server.deliver({ fragmentSize: 1, breakAfter: 1 })
  await quiesce()
  t.deepEqual(sink.told, ['opened 1', 'broken', '2 +a +b'])
  t.is(creates(streams)[0]?.startRevision, 2n)
})

test('what was delivered is not delivered again, whatever the server repeats', async t => {
  const { server, watch, quiesce } = arrange()
  const { sink } = watch('resume')
  await quiesce()
  for (const key of ['+a', '+b', '+c']) {
    server.write(key)
    server.deliver({ goBack: 3 })
  }
  t.deepEqual(sink.told, ['opened 1', '2 +a', '3 +b', '4 +c'])
})

test('a watch from now delivers nothing at or below the revision it was opened at', async t => {
  const { server, streams, watch } = arrange()
  server.write('+a')
  const { sink } = watch('restart')
  await settle()
  lastStream(streams).answer({ ...response(5n, 1n), created: true })
  lastStream(streams).answer({ ...response(6n, 1n), events: [eventOf('+b', 5n), eventOf('+c', 6n)] })
  t.deepEqual(sink.told, ['opened 5', '6 +c'])
})

test('a watch of the future is not told of the past', async t => {
  const { streams, watch } = arrange()
  const { sink } = watch('resume', { startRevision: 10n })
  await settle()
  lastStream(streams).answer({ ...response(5n, 1n), created: true })
  for (const revision of [6n, 9n, 10n]) {
    lastStream(streams).answer({ ...response(revision, 1n), events: [eventOf('+a', revision)] })
  }
  t.deepEqual(sink.told, ['opened 5', '10 +a'])
})

test('a broken watch that resumes goes on elsewhere with the first revision it has not delivered', async t => {
  const { server, streams, watch, quiesce } = arrange('a:1', 'b:1')
  const { sink } = watch('resume')
  await quiesce()
  server.write('+a')
  server.deliver()
  server.cut()
  server.write('+b')
  t.is(streams.live.length, 0)
  await quiesce()
  t.is(streams.openings[1]?.stream.endpoint.address, 'b:1')
  t.is(creates(streams)[0]?.startRevision, 3n)
  t.deepEqual(sink.told, ['opened 1', '2 +a', 'broken', '3 +b'])
})

test('a broken watch that restarts is opened from now and never asks for history', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const { sink } = watch('restart')
  await quiesce()
  server.write('+a')
  server.deliver()
  server.cut()
  server.write('+b')
  await quiesce()
  server.write('+c')
  server.deliver()
  t.is(creates(streams)[0]?.startRevision, 0n)
  t.deepEqual(sink.told, ['opened 1', '2 +a', 'broken', 'opened 3', '4 +c'])
})

test('a watch from now that was never created is asked for from now again, and not told of the break', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const { sink } = watch('resume')
  await settle()
  server.write('+a')
  server.cut()
  await quiesce()
  t.is(creates(streams)[0]?.startRevision, 0n)
  t.deepEqual(sink.told, ['opened 2'])
})

test('reopening backs off, and no attempt is made before its time', async t => {
  const { runtime, streams, server, watch } = arrange()
  watch('resume')
  await settle()
  for (let attempt = 1; attempt < 12; attempt++) {
    t.is(streams.openings.length, attempt)
    server.cut()
    await settle()
    t.is(streams.openings.length, attempt)
    t.is(runtime.pendingTimers, 1)
    await runtime.advance(BACKOFF_MS)
  }
})

test('the backoff begins anew once a watch has been created', async t => {
  const { runtime, streams, server, watch } = arrange()
  watch('resume')
  await settle()
  for (let failure = 0; failure < 8; failure++) {
    server.cut()
    await runtime.advance(BACKOFF_MS)
  }
  server.read()
  server.cut()
  const opened = streams.openings.length
  await runtime.advance(25)
  t.is(streams.openings.length, opened + 1)
})

test('a stream that was left is not listened to, though it goes on talking', async t => {
  const { runtime, streams, server } = arrange()
  const voices: ((message: WatchResponse) => void)[] = []
  const impolite: StreamSource = {
    open: (method, options, handlers) => {
      // The only method of a watch hub is `watch`.
      voices.push(message => handlers.onMessage(message as never))
      return streams.open(method, options, handlers)
    },
    forgetToken: () => {},
  }
  const hub = new WatchHub(impolite, runtime, { lane: 'control' })
  const sink = new Recorder()
  hub.watch({ key: everything.key, rangeEnd: everything.end, onBreak: 'resume' }, sink)
  await settle()
  server.read()
  server.cut()
  await runtime.advance(BACKOFF_MS)
  server.read()
  voices[0]?.({ ...response(9n, 1n), events: [eventOf('+a', 9n)] })
  t.deepEqual(sink.told, ['opened 1', 'broken'])
  hub.close(CLOSED)
})

test('periodic progress moves the cursor, requested progress does not', async t => {
  const { server, streams, hub, watch, quiesce } = arrange()
  const quiet = watch('resume', { ...only('x'), progress: true })
  const silent = watch('resume', only('y'))
  await quiesce()
  server.write('+a')
  server.write('+b')
  server.deliver()
  server.progress()
  hub.requestProgress()
  server.read()
  server.cut()
  await quiesce()
  t.deepEqual(quiet.sink.told, ['opened 1', 'periodic progress 3', 'requested progress 3', 'broken'])
  t.deepEqual(silent.sink.told, ['opened 1', 'requested progress 3', 'broken'])
  t.deepEqual(
    creates(streams).map(create => create.startRevision),
    [4n, 2n],
  )
})

test('an old word of progress moves nothing back', async t => {
  const { streams, watch, quiesce } = arrange()
  const { sink } = watch('resume', { progress: true })
  await quiesce()
  lastStream(streams).answer(response(9n, 1n))
  lastStream(streams).answer(response(4n, 1n))
  lastStream(streams).answer({ ...response(9n, 1n), events: [eventOf('+a', 9n)] })
  t.deepEqual(sink.told, ['opened 1', 'periodic progress 9'])
})

test('a failed create is told to the watch whose turn it was, though the answer names none', async t => {
  const { server, watch, quiesce } = arrange()
  server.refuse = ({ watchId }) => (watchId === 2n ? 'etcdserver: permission denied' : undefined)
  const [first, second, third] = [watch('resume'), watch('restart'), watch('resume')]
  await quiesce()
  server.write('+a')
  server.deliver()
  t.deepEqual(first.sink.told, ['opened 1', '2 +a'])
  t.deepEqual(second.sink.told, ['ended PERMISSION_DENIED'])
  t.deepEqual(third.sink.told, ['opened 1', '2 +a'])
})

test('the failure of a cancelled create is not told to another watch', async t => {
  const { server, watch } = arrange()
  server.refuse = ({ watchId }) => (watchId === 1n ? 'etcdserver: permission denied' : undefined)
  const [first, second] = [watch('resume'), watch('resume')]
  await settle()
  first.handle.cancel()
  server.read()
  t.deepEqual(first.sink.told, [])
  t.deepEqual(second.sink.told, ['opened 1'])
})

test('a watch cancelled before it is created is cancelled on the server too, and hears nothing', async t => {
  const { server, streams, watch } = arrange()
  const { handle, sink } = watch('resume')
  watch('resume')
  await settle()
  handle.cancel()
  handle.cancel()
  server.read()
  server.write('+a')
  server.deliver()
  t.deepEqual(cancels(streams), [1n])
  t.deepEqual(
    server.watches.map(({ watchId }) => watchId),
    [2n],
  )
  t.deepEqual(sink.told, [])
})

test('events that were on their way to a cancelled watch find nobody', async t => {
  const { server, watch, quiesce } = arrange()
  const { handle, sink } = watch('resume')
  const other = watch('resume')
  await quiesce()
  server.write('+a')
  handle.cancel()
  server.deliver()
  t.deepEqual(sink.told, ['opened 1'])
  t.deepEqual(other.sink.told, ['opened 1', '2 +a'])
})

test('answers about watches nobody made are ignored', async t => {
  const { streams, watch, quiesce } = arrange()
  const { sink } = watch('resume')
  await quiesce()
  const stream = lastStream(streams)
  stream.answer({ ...response(9n, 77n), events: [eventOf('+a', 9n)] })
  stream.answer({ ...response(9n, 0n), canceled: true, cancelReason: 'etcdserver: permission denied' })
  stream.answer({ ...response(9n, 0n), created: true })
  stream.answer({
    ...response(9n, -1n),
    created: true,
    canceled: true,
    cancelReason: 'etcdserver: permission denied',
  })
  t.deepEqual(sink.told, ['opened 1'])
})

test('a compaction ends a watch that resumes, and names the revision', async t => {
  const { server, watch, quiesce } = arrange()
  const { sink } = watch('resume', { startRevision: 2n })
  server.write('+a')
  server.write('+b')
  server.compacted = 2n
  await quiesce()
  t.deepEqual(sink.told, ['opened 3', 'ended COMPACTED'])
  t.is(sink.error?.compactRevision, 2n)
})

test('a compaction restarts a watch that restarts, on the same stream', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const { sink } = watch('restart', { startRevision: 2n })
  server.write('+a')
  server.write('+b')
  server.compacted = 2n
  await quiesce()
  server.write('+c')
  server.deliver()
  t.deepEqual(sink.told, ['opened 3', 'broken', 'opened 3', '4 +c'])
  t.is(streams.openings.length, 1)
  t.deepEqual(
    creates(streams).map(({ watchId }) => watchId),
    [1n, 2n],
  )
})

test('a refused token is forgotten, and all watches move to a fresh stream', async t => {
  const { server, streams, watch, quiesce } = arrange('a:1')
  const resumed = watch('resume')
  const restarted = watch('restart')
  await quiesce()
  server.write('+a')
  server.deliver()
  server.refuse = () => 'rpc error: code = Unauthenticated desc = etcdserver: invalid auth token'
  const late = watch('resume')
  server.read()
  t.deepEqual(
    streams.forgotten.map(({ address }) => address),
    ['a:1'],
  )
  t.is(streams.stream(0).state, 'cancelled')
  server.refuse = () => undefined
  server.write('+b')
  await quiesce()
  t.is(streams.openings[1]?.options.avoid, undefined)
  t.deepEqual(resumed.sink.told, ['opened 1', '2 +a', 'broken', '3 +b'])
  t.deepEqual(restarted.sink.told, ['opened 1', '2 +a', 'broken', 'opened 3'])
  t.deepEqual(late.sink.told, ['opened 3'])
})

test('a stream that ends for its token is followed by one with another token', async t => {
  const { streams, watch, quiesce } = arrange('a:1', 'b:1')
  const { sink } = watch('resume')
  await quiesce()
  lastStream(streams).end(UNAUTHENTICATED)
  t.deepEqual(
    streams.forgotten.map(({ address }) => address),
    ['a:1'],
  )
  await quiesce()
  t.is(streams.openings[1]?.options.avoid, undefined)
  t.deepEqual(sink.told, ['opened 1', 'broken'])
  t.is(streams.live.length, 1)
})

test('a watch whose every token is refused ends instead of asking for ever', async t => {
  const { runtime, streams, server, watch } = arrange()
  server.refuse = () => 'etcdserver: invalid auth token'
  const { sink } = watch('restart')
  for (let round = 0; round < 20; round++) {
    await runtime.advance(BACKOFF_MS)
    server.read()
  }
  t.deepEqual(sink.told, ['ended UNAUTHENTICATED'])
  t.is(streams.openings.length, 6)
  t.is(streams.live.length, 0)
  t.is(runtime.pendingTimers, 0)
})

test('a watch cancelled for a member without a leader goes on at another member', async t => {
  const { streams, watch, quiesce } = arrange('a:1', 'b:1')
  const { sink } = watch('resume')
  await quiesce()
  lastStream(streams).answer({ ...response(1n, 1n), canceled: true, cancelReason: 'etcdserver: no leader' })
  await quiesce()
  t.is(streams.openings[1]?.stream.endpoint.address, 'b:1')
  t.is(streams.stream(0).state, 'cancelled')
  t.deepEqual(sink.told, ['opened 1', 'broken'])
})

test('a watch whose keys no server would read ends alone, and the others go on', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const first = watch('resume')
  await quiesce()
  const huge = watch('resume', { key: new Uint8Array(3_000_000) })
  const late = watch('resume', { key: new Uint8Array(1000) })
  lastStream(streams).end(TOO_LARGE)
  t.deepEqual(huge.sink.told, ['ended TOO_LARGE'])
  await quiesce()
  server.write('+a')
  server.deliver()
  t.deepEqual(first.sink.told, ['opened 1', 'broken', '2 +a'])
  t.deepEqual(late.sink.told, ['opened 1', '2 +a'])
  t.is(streams.openings.length, 2)
})

test('a stream that ends over the size of something else ends no watch', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const first = watch('resume')
  await quiesce()
  const late = watch('resume')
  lastStream(streams).end(TOO_LARGE)
  await quiesce()
  server.write('+a')
  server.deliver()
  t.deepEqual(first.sink.told, ['opened 1', 'broken', '2 +a'])
  t.deepEqual(late.sink.told, ['opened 1', '2 +a'])
})

test('an error that trying again cannot mend ends all watches, and a later watch tries anew', async t => {
  const { runtime, streams, watch } = arrange()
  streams.doorkeeper = 'waits'
  const first = watch('resume')
  const second = watch('restart')
  streams.openings[0]?.refuse(new EtcdError('AUTH_FAILED', 'wrong password', { outcome: 'rejected' }))
  await settle()
  t.deepEqual([first.sink.told, second.sink.told], [['ended AUTH_FAILED'], ['ended AUTH_FAILED']])
  t.is(runtime.pendingTimers, 0)
  watch('resume')
  t.is(streams.openings.length, 2)
})

test('a stream that ends in the moment it opens is followed by another', async t => {
  const { streams, watch, quiesce } = arrange()
  streams.doorkeeper = 'waits'
  const { sink } = watch('resume')
  streams.openings[0]?.admit()
  lastStream(streams).end()
  streams.doorkeeper = 'admits'
  await quiesce()
  await quiesce()
  t.is(streams.openings.length, 2)
  t.deepEqual(sink.told, ['opened 1'])
})

test('the stream outlives its last watch by the linger, and a watch within it finds it open', async t => {
  const { runtime, streams, watch, quiesce } = arrange()
  const first = watch('resume')
  await quiesce()
  first.handle.cancel()
  await runtime.advance(LINGER_MS - 1)
  const second = watch('resume')
  await runtime.advance(LINGER_MS * 2)
  t.is(streams.openings.length, 1)
  t.is(streams.live.length, 1)
  second.handle.cancel()
  await runtime.advance(LINGER_MS)
  t.is(streams.live.length, 0)
  t.is(runtime.pendingTimers, 0)
  watch('resume')
  t.is(streams.openings.length, 2)
})

test('a lingering stream that breaks is not replaced', async t => {
  const { runtime, streams, server, watch, quiesce } = arrange()
  const { handle } = watch('resume')
  await quiesce()
  handle.cancel()
  server.cut()
  await runtime.advance(BACKOFF_MS)
  t.is(streams.openings.length, 1)
  t.is(runtime.pendingTimers, 0)
})

test('an attempt to open ends with the last watch, and a stream that opens too late is ended', async t => {
  const { streams, runtime, watch } = arrange()
  streams.doorkeeper = 'waits'
  const { handle } = watch('resume')
  const opening = streams.openings[0]
  opening?.admit()
  handle.cancel()
  await settle()
  t.true(opening?.options.signal.aborted)
  t.is(opening?.stream.state, 'cancelled')
  t.is(runtime.pendingTimers, 0)
})

test('the wait for another attempt ends with the last watch', async t => {
  const { streams, runtime, server, watch, quiesce } = arrange()
  const { handle } = watch('resume')
  await quiesce()
  server.cut()
  t.is(runtime.pendingTimers, 1)
  handle.cancel()
  t.is(runtime.pendingTimers, 0)
  await runtime.advance(BACKOFF_MS)
  t.is(streams.openings.length, 1)
})

test('closing ends every watch and leaves neither timers nor streams, in whatever state', async t => {
  const situations: ((arranged: ReturnType<typeof arrange>) => Promise<void> | void)[] = [
    () => {},
    ({ streams }) => {
      streams.doorkeeper = 'waits'
    },
    ({ quiesce }) => quiesce(),
    async ({ quiesce, server }) => {
      await quiesce()
      server.cut()
    },
  ]
  for (const situation of situations) {
    const arranged = arrange()
    const { hub, runtime, streams, watch } = arranged
    const { sink } = watch('resume')
    const { sink: other, handle } = watch('restart')
    handle.pause()
    await situation(arranged)
    hub.close(CLOSED)
    hub.close(UNAUTHENTICATED)
    await runtime.advance(LINGER_MS)
    t.is(sink.told.at(-1), 'ended CLIENT_CLOSED')
    t.is(other.told.at(-1), 'ended CLIENT_CLOSED')
    t.is(runtime.pendingTimers, 0)
    t.is(streams.live.length, 0)
    t.true(streams.openings.length <= 1)
  }
})

test('closing while lingering leaves nothing', async t => {
  const { hub, runtime, streams, watch, quiesce } = arrange()
  const { handle } = watch('resume')
  await quiesce()
  handle.cancel()
  hub.close(CLOSED)
  t.is(runtime.pendingTimers, 0)
  t.is(streams.live.length, 0)
})

test('a watch on a closed hub ends at once, but not before its call returns', async t => {
  const { hub, streams, watch } = arrange()
  hub.close(CLOSED)
  const { sink } = watch('resume')
  const cancelled = watch('resume')
  cancelled.handle.cancel()
  t.deepEqual(sink.told, [])
  await settle()
  t.deepEqual(sink.told, ['ended CLIENT_CLOSED'])
  t.deepEqual(cancelled.sink.told, [])
  t.is(streams.openings.length, 0)
})

test('a sink that throws harms neither the others nor itself, and its error surfaces', async t => {
  const { runtime, server, watch, quiesce } = arrange()
  const surfaced: unknown[] = []
  runtime.defer = action => {
    try {
      action()
    } catch (error) {
      surfaced.push(error)
    }
  }
  const bad = watch('resume')
  const good = watch('resume')
  const failure = new Error('thrown by the sink')
  bad.sink.afterwards = () => {
    throw failure
  }
  await quiesce()
  server.write('+a')
  server.write('+b')
  server.deliver()
  t.deepEqual(surfaced, [failure, failure])
  t.deepEqual(bad.sink.told, ['opened 1', '2 +a', '3 +b'])
  t.deepEqual(good.sink.told, ['opened 1', '2 +a', '3 +b'])
})

test('a sink may cancel in the middle of an answer and hears nothing more', async t => {
  const { server, watch, quiesce } = arrange()
  const { sink, handle } = watch('resume')
  sink.afterwards = () => handle.cancel()
  await quiesce()
  server.write('+a')
  server.write('+b')
  server.deliver()
  t.deepEqual(sink.told, ['opened 1', '2 +a'])
})

test('a paused watch is gone from the server and goes on with what it has not delivered', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const { sink, handle } = watch('resume')
  await quiesce()
  sink.afterwards = () => handle.pause()
  server.write('+a')
  server.write('+b')
  server.deliver()
  server.read()
  t.deepEqual(server.watches, [])
  t.deepEqual(sink.told, ['opened 1', '2 +a'])
  sink.afterwards = () => {}
  handle.resume()
  handle.resume()
  server.read()
  server.deliver()
  t.deepEqual(sink.told, ['opened 1', '2 +a', '3 +b'])
  t.deepEqual(
    creates(streams).map(create => [create.watchId, create.startRevision]),
    [
      [1n, 0n],
      [2n, 3n],
    ],
  )
})

test('a sink may pause and resume in the middle of an answer', async t => {
  const { server, streams, watch, quiesce } = arrange()
  const resumed = watch('resume')
  const restarted = watch('restart')
  await quiesce()
  for (const { sink, handle } of [resumed, restarted]) {
    sink.afterwards = () => {
      sink.afterwards = () => {}
      handle.pause()
      handle.resume()
    }
  }
  server.write('+a')
  server.write('+b')
  server.deliver()
  t.deepEqual(
    creates(streams).map(create => create.startRevision),
    [0n, 0n, 3n, 0n],
  )
  server.read()
  server.deliver()
  t.deepEqual(resumed.sink.told, ['opened 1', '2 +a', '3 +b'])
  t.deepEqual(restarted.sink.told, ['opened 1', '2 +a', 'opened 3'])
})

test('a paused watch stays paused when the stream is replaced', async t => {
  const { server, watch, quiesce } = arrange()
  const { sink, handle } = watch('resume')
  watch('resume', only('x'))
  await quiesce()
  handle.pause()
  server.write('+a')
  server.cut()
  await quiesce()
  t.is(server.watches.length, 1)
  handle.resume()
  await quiesce()
  t.deepEqual(sink.told, ['opened 1', '2 +a'])
})

test('a watch that restarts and was paused is opened again from now', async t => {
  const { server, watch, quiesce } = arrange()
  const { sink, handle } = watch('restart')
  await quiesce()
  handle.pause()
  server.write('+a')
  handle.resume()
  server.read()
  server.write('+b')
  server.deliver()
  t.deepEqual(sink.told, ['opened 1', 'opened 2', '3 +b'])
})

test('watches started from within a sink are served like any other', async t => {
  const { server, hub, watch, quiesce } = arrange()
  const started: Recorder[] = []
  const start = () => {
    const sink = new Recorder()
    started.push(sink)
    hub.watch({ key: everything.key, rangeEnd: everything.end, onBreak: 'resume' }, sink)
  }
  const { sink } = watch('resume')
  sink.afterwards = start
  sink.broken = start
  await quiesce()
  server.write('+a')
  server.deliver()
  server.read()
  server.cut()
  await quiesce()
  server.write('+b')
  server.deliver()
  t.is(started.length, 3)
  for (const each of started.slice(0, 2)) t.is(each.told.at(-1), '3 +b')
})

// Whatever happens between client and server.

type Step =
  | { readonly kind: 'write'; readonly changes: string[] }
  | { readonly kind: 'deliver'; readonly delivery: Delivery }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'read' | 'cut' | 'pause' | 'resume' | 'progress' }

const change = fc.tuple(fc.constantFrom('+', '-'), fc.constantFrom('a', 'b', 'c', 'd'))
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .uniqueArray(change, { minLength: 1, maxLength: 4, selector: ([, key]) => key })
      .map(changes => ({ kind: 'write' as const, changes: changes.map(parts => parts.join('')) })),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('deliver' as const),
      delivery: fc.record(
        {
          fragmentSize: fc.integer({ min: 1, max: 4 }),
          breakAfter: fc.integer({ min: 0, max: 3 }),
          goBack: fc.integer({ min: 0, max: 3 }),
          revisions: fc.integer({ min: 1, max: 3 }),
        },
        { requiredKeys: [] },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 1000 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'read' as const,
        'read' as const,
        'cut' as const,
        'pause' as const,
        'resume' as const,
        'progress' as const,
      ),
    }),
  },
)

async function play(
  arranged: ReturnType<typeof arrange>,
  handle: WatchHandle,
  steps: readonly Step[],
): Promise<void> {
  const { server, runtime, quiesce } = arranged
  for (const step of steps) {
    switch (step.kind) {
      case 'write':
        server.write(...step.changes)
        break
      case 'deliver':
        server.deliver(step.delivery)
        break
      case 'wait':
        await runtime.advance(step.ms)
        break
      case 'pause':
        handle.pause()
        break
      case 'resume':
        handle.resume()
        break
      default:
        server[step.kind]()
    }
  }
  handle.resume()
  await quiesce()
  await quiesce()
}

/** What a watch of the keys `b` and `c` should see of the history from `start` on. */
function expected(server: FakeWatchServer, start: bigint): { revision: bigint; changes: string[] }[] {
  return server.history
    .filter(({ revision }) => revision >= start)
    .map(({ revision, events }) => ({
      revision,
      changes: events.map(changeOf).filter(change => /[bc]/.test(change)),
    }))
    .filter(({ changes }) => changes.length > 0)
}

const SOME = { key: rangeOf('b').key, rangeEnd: rangeOf('d').key, progress: true }

test('a watch that resumes delivers its history, each revision once, whole and in order, whatever happens', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.option(fc.bigInt(1n, 6n), { nil: undefined }),
      fc.array(step, { maxLength: 40 }),
      async (startRevision, steps) => {
        const arranged = arrange()
        const { sink, handle } = arranged.watch('resume', { ...SOME, startRevision })
        await play(arranged, handle, steps)
        const start = startRevision ?? sink.openings[0]!.revision + 1n
        t.deepEqual(sink.delivered, expected(arranged.server, start))
        t.is(sink.openings.length, 1)
        arranged.hub.close(CLOSED)
        t.is(arranged.runtime.pendingTimers, 0)
        t.is(arranged.streams.live.length, 0)
      },
    ),
    { numRuns: 400 },
  )
  t.pass()
})

test('a watch that restarts delivers after each opening what happened since, without gaps, whatever happens', async t => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const arranged = arrange()
      const { sink, handle } = arranged.watch('restart', SOME)
      await play(arranged, handle, steps)
      for (const [index, { revision, from }] of sink.openings.entries()) {
        const until = sink.openings[index + 1]?.from
        const since = expected(arranged.server, revision + 1n)
        const delivered = sink.delivered.slice(from, until)
        t.deepEqual(delivered, until === undefined ? since : since.slice(0, delivered.length))
      }
      t.true(sink.openings.length > 0)
    }),
    { numRuns: 400 },
  )
  t.pass()
})

function only(key: string): Pick<WatchSpec, 'key' | 'rangeEnd'> {
  const range = rangeOf(key)
  return { key: range.key, rangeEnd: range.end }
}
