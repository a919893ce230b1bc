import test from 'ava'
import {
  type KeysState,
  untilKeys,
  type WatchedRange,
  watchKeys,
} from '../../recipes/internal/watched-keys.ts'
import type { Engine } from '../../src/client/engine.ts'
import type { WatchSink, WatchSpec } from '../../src/client/watcher.ts'
import { AbortFanOut } from '../../src/support/abort.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { Event, KeyValue } from '../../src/wire/gen/kv.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'

const RANGE: WatchedRange = { key: Buffer.from('a/'), rangeEnd: Buffer.from('a0') }
const EVERY_MS = 30_000

test('the watch begins from now and is opened from now again; the keys are read when it exists, at its revision', async t => {
  const { watches, reads } = arrange()
  t.like(watches[0]?.spec, { key: RANGE.key, onBreak: 'restart', filter: undefined })
  t.is(watches[0]?.spec.startRevision, undefined)
  t.is(reads.length, 0)
  watches[0]!.sink.opened(20n)
  t.is(reads[0]?.atLeast, 20n)
})

test('what there is is told first, then what happens above the revision it was read at', async t => {
  const { sink, reads, told } = opened(20n)
  sink.revision(21n, [put('b', 21n)])
  t.deepEqual(told, [], 'nothing is known before the keys were read')
  await reads[0]!.answer(22n, [key('a', 5n), key('b', 21n)])
  t.deepEqual(told, ['22: a b'])
  sink.revision(23n, [put('c', 23n), deletion('a', 23n)])
  t.deepEqual(told, ['22: a b', '23: b c'])
})

test('events above the reading that came while it was on its way are applied to it', async t => {
  const { sink, reads, told } = opened(20n)
  sink.revision(21n, [deletion('a', 21n)])
  sink.revision(24n, [put('c', 24n)])
  await reads[0]!.answer(22n, [key('b', 5n)])
  t.deepEqual(told, ['24: b c'])
})

test('an event at or below the revision of the reading is none any more', async t => {
  const { sink, reads, told } = opened(20n)
  await reads[0]!.answer(25n, [key('a', 25n)])
  sink.revision(24n, [deletion('a', 24n)])
  sink.revision(25n, [deletion('a', 25n)])
  t.deepEqual(told, ['25: a'])
})

test('that a watch breaks is no news; the keys are read again when it is back', async t => {
  const { sink, reads, told } = opened(20n)
  await reads[0]!.answer(20n, [key('a', 5n)])
  sink.broken()
  sink.opened(30n)
  t.is(reads[1]?.atLeast, 30n)
  sink.revision(31n, [put('c', 31n)])
  t.deepEqual(told, ['20: a'], 'what happened between the two watches may be missing')
  await reads[1]!.answer(30n, [key('b', 25n)])
  t.deepEqual(told, ['20: a', '31: b c'])
})

test('after a break on a member that lags, nothing older than what was told is read', async t => {
  const { sink, reads } = opened(20n)
  await reads[0]!.answer(40n, [])
  sink.broken()
  sink.opened(30n)
  t.is(reads[1]?.atLeast, 40n)
})

test('a reading that was overtaken by a new watch is not used', async t => {
  const { sink, reads, told } = opened(20n)
  sink.broken()
  sink.opened(30n)
  await reads[0]!.answer(20n, [key('a', 5n)])
  t.deepEqual(told, [])
  await reads[1]!.answer(30n, [])
  t.deepEqual(told, ['30:'])
})

test('now and then the keys are read again, and a lost event is found', async t => {
  const { sink, reads, told, unchanged, runtime } = opened(20n)
  await reads[0]!.answer(20n, [key('a', 5n)])
  await runtime.advance(EVERY_MS)
  t.is(reads.length, 2)
  sink.revision(33n, [put('c', 33n)])
  t.deepEqual(told, ['20: a', '33: a c'], 'events go on while it is on its way')
  await reads[1]!.answer(31n, [key('b', 22n)])
  t.deepEqual(told, ['20: a', '33: a c', '33: b c'])
  await runtime.advance(EVERY_MS)
  await reads[2]!.answer(35n, [key('b', 22n), key('c', 33n)])
  t.is(told.length, 3, 'the same again is no news')
  t.deepEqual(unchanged, [35n])
})

test('while the watch cannot be opened the keys are read all the same', async t => {
  const { reads, told, runtime } = arrange()
  await runtime.advance(EVERY_MS)
  await reads[0]!.answer(20n, [key('a', 5n)])
  t.deepEqual(told, ['20: a'])
})

test('a reading without an answer is made again, and is no news', async t => {
  const { reads, told, ended, runtime } = opened(20n)
  await reads[0]!.fail(new EtcdError('UNAVAILABLE', 'nobody there', { outcome: 'unknown' }))
  t.is(reads.length, 1)
  await runtime.advance(500)
  t.is(reads[1]?.atLeast, 20n)
  t.deepEqual([told, ended], [[], []])
})

for (const code of ['PERMISSION_DENIED', 'CLIENT_CLOSED'] as const) {
  test(`a reading that ends with ${code} ends the view, and leaves nothing`, async t => {
    const { reads, ended, watches, runtime } = opened(20n)
    await reads[0]!.fail(new EtcdError(code, 'no', { outcome: 'rejected' }))
    t.deepEqual(ended, [code])
    t.true(watches[0]?.cancelled)
    t.is(runtime.pendingTimers, 0)
  })
}

test('the end of the watch ends the view', t => {
  const { sink, ended, runtime } = opened(20n)
  sink.ended(new EtcdError('PERMISSION_DENIED', 'no', { outcome: 'rejected' }))
  t.deepEqual(ended, ['PERMISSION_DENIED'])
  t.is(runtime.pendingTimers, 0)
})

test('a view that was stopped tells nothing and leaves nothing', async t => {
  const { sink, reads, told, stop, watches, runtime } = opened(20n)
  stop()
  t.true(reads[0]?.signal.aborted)
  await reads[0]!.answer(20n, [key('a', 5n)])
  sink.revision(21n, [put('b', 21n)])
  await runtime.advance(2 * EVERY_MS)
  t.deepEqual(told, [])
  t.true(watches[0]?.cancelled)
  t.is(runtime.pendingTimers, 0)
})

test('where only deletions are told, those of keys the view has never shown count as departures', async t => {
  const { sink, reads, states, watches } = opened(20n, { ...RANGE, only: 'deletions' })
  t.is(watches[0]?.spec.filter, 'no-puts')
  sink.revision(21n, [deletion('c', 21n)])
  await reads[0]!.answer(22n, [key('a', 5n)])
  t.is(states.at(-1)?.departures, 1)
  sink.revision(23n, [deletion('d', 23n)])
  t.is(states.at(-1)?.departures, 2)
  sink.broken()
  sink.opened(30n)
  await reads[1]!.answer(30n, [key('a', 29n)])
  t.is(states.at(-1)?.departures, 3, 'created anew is gone in between')
})

test('keys only: values are left out also of events', async t => {
  const { sink, reads, states } = opened(20n, { ...RANGE, keysOnly: true })
  await reads[0]!.answer(20n, [])
  sink.revision(21n, [put('b', 21n)])
  t.is([...states.at(-1)!.kvs.values()][0]?.value.length, 0)
})

test('a wait resolves with what satisfies it, rejects with what that throws, and leaves nothing', async t => {
  for (const outcome of ['found', 'thrown', 'aborted', 'aborted before', 'ended'] as const) {
    const scene = new Scene()
    const leaving = new AbortController()
    if (outcome === 'aborted before') leaving.abort(new Error('enough'))
    const waiting = untilKeys(
      scene.engine,
      RANGE,
      ({ kvs }) => {
        if (outcome === 'thrown') throw new Error('no such state')
        return kvs.size > 1 ? kvs.size : undefined
      },
      [undefined, leaving.signal, new AbortController().signal],
    )
    const settled = waiting.then(
      found => `found ${found}`,
      (error: Error) => error.message,
    )
    if (outcome !== 'aborted before') {
      scene.watches[0]!.sink.opened(20n)
      if (outcome === 'ended')
        scene.watches[0]!.sink.ended(new EtcdError('PERMISSION_DENIED', 'no', { outcome: 'rejected' }))
      else await scene.reads[0]!.answer(20n, [key('a', 5n)])
      if (outcome === 'aborted') leaving.abort(new Error('enough'))
      if (outcome === 'found') scene.watches[0]!.sink.revision(21n, [put('b', 21n)])
    }
    const expected = {
      found: 'found 2',
      thrown: 'no such state',
      aborted: 'enough',
      'aborted before': 'enough',
      ended: 'no',
    }
    t.is(await settled, expected[outcome])
    t.true(scene.watches.every(({ cancelled }) => cancelled))
    t.is(scene.runtime.pendingTimers, 0, outcome)
  }
})

interface Read {
  readonly atLeast: bigint
  readonly signal: AbortSignal
  answer(revision: bigint, kvs: readonly KeyValue[]): Promise<void>
  fail(error: EtcdError): Promise<void>
}

class Scene {
  readonly runtime = new FakeRuntime()
  readonly watches: { readonly spec: WatchSpec; readonly sink: WatchSink; cancelled: boolean }[] = []
  readonly reads: Read[] = []
  readonly engine = {
    runtime: this.runtime,
    aborts: new AbortFanOut(),
    recipeWatches: {
      watch: (spec: WatchSpec, sink: WatchSink) => {
        const watch = { spec, sink, cancelled: false }
        this.watches.push(watch)
        return {
          cancel: () => {
            watch.cancelled = true
          },
        }
      },
    },
    submitter: {
      submit: ({ atLeast, signal }: { atLeast: bigint; signal: AbortSignal }) =>
        new Promise((resolve, reject) => {
          this.reads.push({
            atLeast,
            signal,
            answer: (revision, kvs) => {
              resolve({ header: { revision }, kvs })
              return settle()
            },
            fail: error => {
              reject(error)
              return settle()
            },
          })
        }),
    },
  } as unknown as Engine
}

function arrange(range = RANGE) {
  const scene = new Scene()
  const told: string[] = []
  const states: KeysState[] = []
  const unchanged: bigint[] = []
  const ended: string[] = []
  const { stop } = watchKeys(scene.engine, range, {
    changed: state => {
      states.push(state)
      const names = [...state.kvs.keys()].toSorted().map(name => ` ${name}`)
      told.push(`${state.revision}:${names.join('')}`)
    },
    unchanged: revision => unchanged.push(revision),
    ended: ({ code }) => ended.push(code),
  })
  const { runtime, watches, reads } = scene
  return { runtime, watches, reads, told, states, unchanged, ended, stop }
}

function opened(revision: bigint, range = RANGE) {
  const arranged = arrange(range)
  const { sink } = arranged.watches[0]!
  sink.opened(revision)
  return { ...arranged, sink }
}

function key(name: string, revision: bigint): KeyValue {
  return {
    key: Buffer.from(name),
    value: Buffer.from('value'),
    createRevision: revision,
    modRevision: revision,
    version: 1n,
    lease: 1n,
  } as KeyValue
}

function put(name: string, revision: bigint): Event {
  return { type: 0, kv: key(name, revision) } as unknown as Event
}

function deletion(name: string, revision: bigint): Event {
  return { type: 1, kv: { key: Buffer.from(name), modRevision: revision } } as unknown as Event
}
