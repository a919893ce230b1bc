import test from 'ava'
import { type Entry, entryOf } from '../../recipes/internal/line/entry.ts'
import { approach } from '../../recipes/internal/line/far-place.ts'
import { oneAtATime } from '../../recipes/internal/line/rule.ts'
import type { Engine } from '../../src/client/engine.ts'
import type { WatchSink, WatchSpec } from '../../src/client/watcher.ts'
import { AbortFanOut } from '../../src/support/abort.ts'
import { mapKey } from '../../src/wire/bytes.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { Event, KeyValue } from '../../src/wire/gen/kv.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'

const TTL_MS = 10_000
const MINE = entry('m', 100n)
const BEFORE = entry('l', 99n)
const DELETION = { type: 1, kv: undefined, prevKv: undefined } as Event
const HEAD = [entry('a', 1n), entry('b', 2n)]

test('far back only the predecessor and the own key are watched, from now on, for their deletion', async t => {
  const { look, watches } = arrange()
  await look(0, 110n, BEFORE)
  t.deepEqual(
    watches.map(({ spec }) => mapKey(spec.key)),
    ['lock/m', 'lock/l'],
  )
  for (const { spec } of watches) t.like(spec, { filter: 'no-puts', onBreak: 'restart' })
})

test('the departure of the predecessor costs one look, from then or later', async t => {
  const { look, watches, requests, result } = arrange()
  await look(0, 110n, BEFORE)
  watches[1]!.sink.revision(120n, [DELETION])
  await settle()
  t.true(watches.every(({ cancelled }) => cancelled))
  t.is(requests[1]?.atLeast, 120n)
  await look(1, 121n, undefined, [MINE])
  t.like(await result, { kind: 'near', reading: { revision: 121n } })
})

test('the own deletion rejects at once, without another look', async t => {
  const { look, watches, requests, result } = arrange()
  await look(0, 110n, BEFORE)
  watches[0]!.sink.revision(120n, [DELETION])
  const error = await t.throwsAsync(result)
  t.true(EtcdError.is(error, 'LOCK_LOST'))
  t.is(requests.length, 1)
  t.true(watches.every(({ cancelled }) => cancelled))
})

test('a deletion from before a key was created, come late, is none of it', async t => {
  const { look, watches, requests, state } = arrange()
  await look(0, 110n, BEFORE)
  watches[0]!.sink.revision(100n, [])
  watches[1]!.sink.revision(98n, [])
  await settle()
  t.is(state(), 'pending')
  t.is(requests.length, 1)
})

test('when both watches have begun both keys are read, from then or later', async t => {
  const { look, watches, requests } = arrange()
  await look(0, 110n, BEFORE)
  watches[0]!.sink.opened(115n)
  t.is(requests.length, 1)
  watches[1]!.sink.opened(117n)
  t.is(requests[1]?.atLeast, 117n)
  requests[1]!.answer(118n, [[MINE], []])
  await settle()
  t.is(requests[2]?.atLeast, 118n, 'the predecessor was gone: look again')
})

test('an own place that is gone is found by every look', async t => {
  const { result, requests } = arrange()
  await settle()
  requests[0]!.answer(110n, [[], HEAD, [BEFORE]])
  t.true(EtcdError.is(await t.throwsAsync(result), 'LOCK_LOST'))
})

test('no wait hangs on one event: after two TTLs it looks around again', async t => {
  const { look, requests, runtime } = arrange()
  await look(0, 110n, BEFORE)
  await runtime.advance(2 * TTL_MS)
  t.is(requests.length, 2)
})

test('whoever gives up leaves no watch and no timer', async t => {
  const { look, watches, runtime, result, leaving } = arrange()
  await look(0, 110n, BEFORE)
  const rejected = t.throwsAsync(result, { message: 'leaves' })
  leaving.abort(new Error('leaves'))
  await rejected
  t.true(watches.every(({ cancelled }) => cancelled))
  t.is(runtime.pendingTimers, 0)
})

interface Asked {
  readonly atLeast: bigint
  /** One list of keys per step. */
  answer(revision: bigint, steps: readonly (readonly Entry[])[], more?: boolean): void
}

function arrange() {
  const runtime = new FakeRuntime()
  const leaving = new AbortController()
  const watches: { readonly spec: WatchSpec; readonly sink: WatchSink; cancelled: boolean }[] = []
  const requests: Asked[] = []
  const engine = {
    aborts: new AbortFanOut(),
    runtime,
    recipeWatches: {
      watch: (spec: WatchSpec, sink: WatchSink) => {
        const watch = { spec, sink, cancelled: false }
        watches.push(watch)
        return {
          cancel: () => {
            watch.cancelled = true
          },
        }
      },
    },
    submitter: {
      submit: ({ atLeast }: { atLeast: bigint }) =>
        new Promise(resolve => {
          const answer: Asked['answer'] = (revision, steps, more = true) =>
            resolve({
              header: { revision },
              responses: steps.map(kvs => ({ response: { kind: 'range', value: { kvs, more } } })),
            })
          requests.push({ atLeast, answer })
        }),
    },
  }
  const result = approach({
    ours: 1,
    engine: engine as unknown as Engine,
    prefix: Buffer.from('lock/'),
    rule: oneAtATime,
    mine: MINE,
    ttlMs: TTL_MS,
    signal: leaving.signal,
  })
  let state: 'pending' | 'settled' = 'pending'
  const settled = () => {
    state = 'settled'
  }
  result.then(settled, settled)
  return {
    runtime,
    leaving,
    watches,
    requests,
    result,
    state: () => state,
    /** Answers the n-th request, a look around. */
    look: async (
      n: number,
      revision: bigint,
      predecessor: Entry | undefined,
      line: readonly Entry[] = HEAD,
    ) => {
      await settle()
      requests[n]!.answer(revision, [[MINE], line, predecessor === undefined ? [] : [predecessor]])
      await settle()
    },
  }
}

function entry(suffix: string, createRevision: bigint): Entry {
  return entryOf({
    key: Buffer.from(`lock/${suffix}`),
    createRevision,
    lease: 1n,
    value: new Uint8Array(0),
  } as unknown as KeyValue)
}
