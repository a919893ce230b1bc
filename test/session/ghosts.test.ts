import test from 'ava'
import type { Engine } from '../../src/client/engine.ts'
import type { WatchSink, WatchSpec } from '../../src/client/watcher.ts'
import { OwnKey } from '../../src/session/own-key.ts'
import { AbortFanOut } from '../../src/support/abort.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { Event } from '../../src/wire/gen/kv.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'

const KEY = Buffer.from('lock/1')

test('from an unanswered attempt on the key is watched for what appears, from now', t => {
  const { own, watches } = arrange()
  own.unanswered()
  own.unanswered()
  t.is(watches.length, 1, 'one watch for all of them')
  t.like(watches[0]?.spec, { key: KEY, filter: 'no-deletes', onBreak: 'restart' })
  t.is(watches[0]?.spec.startRevision, undefined)
})

test('what was there before the watch is read once it has begun, and deleted under its own revision', async t => {
  const { own, watches, reads, deletions } = arrange()
  own.unanswered()
  watches[0]!.sink.opened(12n)
  await settle()
  reads[0]!(10n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [10n])
  t.false(watches[0]!.cancelled, 'not before it is known to be gone')
  deletions[0]!.resolve()
  await settle()
  t.true(watches[0]!.cancelled)
})

test('what appears later is read and deleted then', async t => {
  const { own, watches, reads, deletions } = arrange()
  own.unanswered()
  watches[0]!.sink.opened(12n)
  await settle()
  reads[0]!(undefined)
  await settle()
  t.is(deletions.length, 0)
  watches[0]!.sink.revision(15n, [put(15n)])
  await settle()
  reads[1]!(15n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [15n])
})

test('each unanswered attempt is watched for until it is accounted for', async t => {
  const { own, watches, reads, deletions } = arrange()
  own.unanswered()
  own.unanswered()
  watches[0]!.sink.revision(15n, [put(15n)])
  await settle()
  reads[0]!(15n)
  await settle()
  deletions[0]!.resolve()
  await settle()
  t.false(watches[0]!.cancelled)
  own.ghostFound()
  t.true(watches[0]!.cancelled)
})

test('a key that somebody was told is theirs is no ghost', async t => {
  const { own, watches, reads } = arrange()
  own.unanswered()
  own.granted(15n)
  watches[0]!.sink.revision(15n, [put(15n)])
  await settle()
  t.is(reads.length, 0)
})

test('a ghost waits for the turn of whoever deals with the key', async t => {
  const { own, watches, reads } = arrange()
  const turn = own.tryEnter()
  own.unanswered()
  watches[0]!.sink.revision(15n, [put(15n)])
  await settle()
  t.is(reads.length, 0)
  turn?.end()
  await settle()
  t.is(reads.length, 1)
})

test('a ghost goes while whoever has the turn waits for another', async t => {
  const { own, watches, reads, deletions } = arrange()
  const turn = own.tryEnter()
  own.unanswered()
  own.unanswered()
  watches[0]!.sink.revision(15n, [put(15n)])
  await settle()
  t.is(reads.length, 0)
  own.rest()
  await settle()
  reads[0]!(15n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [15n])
  t.false(own.mayAdopt(15n), 'whoever goes on before it is gone does not take it over')
  watches[0]!.sink.revision(17n, [put(17n)])
  await settle()
  own.goOn()
  reads[1]!(17n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [15n], 'whoever has gone on finds it itself')
  t.true(own.mayAdopt(17n))
  turn?.end()
})

test('what was read before whoever has the turn went on is not laid while it rests again', async t => {
  const { own, watches, reads, deletions } = arrange()
  const turn = own.tryEnter()
  own.unanswered()
  watches[0]!.sink.revision(15n, [put(15n)])
  own.rest()
  await settle()
  own.goOn()
  own.ghostFound()
  own.unanswered()
  own.rest()
  reads[0]!(15n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [], 'it was accounted for meanwhile')
  turn?.end()
})

test('a deletion without an answer is made again until it is known, a minute later too', async t => {
  const { own, deletions, runtime } = arrange()
  let gone = false
  const removing = own.remove(10n).then(() => {
    gone = true
  })
  for (const outcome of ['unknown', 'not-sent', 'unknown'] as const) {
    await settle()
    deletions.at(-1)!.reject(new EtcdError('UNAVAILABLE', 'no answer', { outcome }))
    await runtime.advance(20_000)
    t.false(gone)
  }
  t.deepEqual(revisionsOf(deletions), [10n, 10n, 10n, 10n])
  deletions.at(-1)!.resolve()
  await removing
})

test('a look for a ghost that is refused is made again until it is answered, and nobody waits for it', async t => {
  const { own, watches, reads, deletions, runtime } = arrange()
  own.unanswered()
  watches[0]!.sink.opened(12n)
  await settle()
  for (const n of [1, 2, 3]) {
    t.is(reads.length, n)
    reads[n - 1]!(denied())
    await settle()
    own.tryEnter()!.end()
    await runtime.advance(2000)
  }
  reads[3]!(10n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [10n])
  deletions[0]!.resolve()
  await settle()
  await runtime.advance(60_000)
  t.is(reads.length, 4, 'it is gone')
})

test('a look while whoever has the turn waits for another is made again, too, when it is refused', async t => {
  const { own, watches, reads, deletions, runtime } = arrange()
  own.tryEnter()
  own.rest()
  own.unanswered()
  watches[0]!.sink.revision(15n, [put(15n)])
  await settle()
  reads[0]!(denied())
  await runtime.advance(2000)
  reads[1]!(15n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [15n])
})

test('a watch for ghosts that has ended is opened again', async t => {
  const { own, watches, reads, deletions, runtime } = arrange()
  own.unanswered()
  for (const n of [1, 2, 3]) {
    t.is(watches.length, n)
    watches[n - 1]!.sink.ended(denied())
    await runtime.advance(2000)
    // Also what is seen without a watch goes.
    reads[n - 1]!(undefined)
    await settle()
  }
  watches[3]!.sink.revision(15n, [put(15n)])
  await settle()
  reads[3]!(15n)
  await settle()
  t.deepEqual(revisionsOf(deletions), [15n])
})

test('what is refused is asked for no more once the session closes, or is over, or its client is closed', async t => {
  const asked = async (how: 'closes' | 'over' | 'over-before' | 'client') => {
    const { own, watches, reads, runtime, closing } = arrange()
    own.unanswered()
    watches[0]!.sink.opened(12n)
    await settle()
    const gone = new EtcdError('CLIENT_CLOSED', 'closed', { outcome: 'not-sent' })
    const error = how === 'client' ? gone : denied()
    if (how === 'over-before') own.end()
    else watches[0]!.sink.ended(error)
    reads[0]!(error)
    await settle()
    if (how === 'closes') closing.abort()
    if (how === 'over') own.end()
    await runtime.advance(60_000)
    return { reads: reads.length, watches: watches.length, timers: runtime.pendingTimers }
  }
  for (const how of ['closes', 'over', 'over-before', 'client'] as const)
    t.deepEqual(await asked(how), { reads: 1, watches: 1, timers: 0 }, how)
})

test('the end of the session ends the watch', t => {
  const { own, watches } = arrange()
  own.unanswered()
  own.end()
  t.true(watches[0]?.cancelled)
})

interface Deletion {
  readonly createRevision: unknown
  resolve(): void
  reject(error: EtcdError): void
}

function arrange() {
  const watches: { readonly spec: WatchSpec; readonly sink: WatchSink; cancelled: boolean }[] = []
  /** Each tells what a reading found: the create revision of the key, or that it was refused. */
  const reads: ((found: bigint | EtcdError | undefined) => void)[] = []
  const deletions: Deletion[] = []
  const runtime = new FakeRuntime()
  const closing = new AbortController()
  const engine = {
    runtime,
    aborts: new AbortFanOut(),
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
      submit: ({ request }: { request: { compare?: readonly { operand: { value: unknown } }[] } }) =>
        new Promise((resolve, reject) => {
          if (request.compare === undefined) {
            reads.push(found => {
              if (found instanceof EtcdError) reject(found)
              else resolve({ kvs: found === undefined ? [] : [{ createRevision: found }] })
            })
          } else {
            const createRevision = request.compare[0]?.operand.value
            deletions.push({ createRevision, resolve: () => resolve({}), reject })
          }
        }),
    },
  }
  const session = {
    engine: engine as unknown as Engine,
    signal: new AbortController().signal,
    closing: closing.signal,
    resumed: false,
    background: () => {},
  }
  return { own: new OwnKey(KEY, session, () => {}), watches, reads, deletions, runtime, closing }
}

function revisionsOf(deletions: readonly Deletion[]): unknown[] {
  return deletions.map(({ createRevision }) => createRevision)
}

function denied(): EtcdError {
  return new EtcdError('PERMISSION_DENIED', 'permission denied', { outcome: 'rejected' })
}

function put(createRevision: bigint): Event {
  return { type: 0, kv: { key: KEY, createRevision } } as unknown as Event
}
