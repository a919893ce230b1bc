import test from 'ava'
import { watchOwnKeys } from '../../recipes/internal/line/own-key-watch.ts'
import type { WatchSink, WatchSpec } from '../../src/client/watcher.ts'
import type { SessionContext } from '../../src/session/session-context.ts'
import type { Event } from '../../src/wire/gen/kv.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'

const KEY = Buffer.from('lock/1')
const OURS = 1n
const CREATED = 10n

test('the key of a hold is watched from its first second on, from now and again after every break', async t => {
  const scene = new Scene()
  await scene.runtime.advance(999)
  t.is(scene.watches.length, 0)
  await scene.runtime.advance(1)
  t.like(scene.watches[0]?.spec, { key: KEY, onBreak: 'restart' })
  t.is(scene.watches[0]?.spec.startRevision, undefined)
})

test('a hold that ends within its first second leaves nothing', async t => {
  const scene = new Scene()
  scene.stop()
  t.is(scene.runtime.pendingTimers, 0)
  await scene.runtime.advance(5000)
  t.is(scene.watches.length, 0)
})

test('a deletion is told at once', async t => {
  const { sink, lost } = await armed()
  sink.revision(12n, [deletion(12n)])
  t.deepEqual(lost, ['LOCK_LOST'])
})

test('the deletion of an earlier key of that name, come late, is none of ours', async t => {
  const { sink, lost } = await armed()
  sink.revision(8n, [deletion(8n)])
  sink.revision(CREATED, [deletion(CREATED)])
  t.deepEqual(lost, [])
})

test('a write that takes the key off its lease is told, one that keeps it is not', async t => {
  const { sink, lost } = await armed()
  sink.revision(11n, [put(CREATED, OURS)])
  t.deepEqual(lost, [])
  sink.revision(12n, [put(CREATED, 0n)])
  t.deepEqual(lost, ['LOCK_LOST'])
})

for (const [what, kv, isLost] of [
  ['is still there', { createRevision: CREATED, lease: OURS }, false],
  ['is gone', undefined, true],
  ['was created anew', { createRevision: 12n, lease: OURS }, true],
  ['is off its lease', { createRevision: CREATED, lease: 0n }, true],
] as const) {
  test(`whether the key ${what} is read when the watch has begun, from then or later`, async t => {
    const { scene, sink, lost } = await armed()
    sink.opened(20n)
    t.is(scene.reads.at(-1)?.atLeast, 20n)
    scene.reads
      .at(-1)!
      .answer({ header: { revision: 21n }, kvs: kv === undefined ? [] : [{ key: KEY, ...kv }] })
    await settle()
    t.deepEqual(lost, isLost ? ['LOCK_LOST'] : [])
  })
}

test('nothing is told after the hold has ended', async t => {
  const { scene, sink, lost } = await armed()
  sink.opened(20n)
  scene.stop()
  scene.reads[0]!.answer({ header: { revision: 21n }, kvs: [] })
  sink.revision(22n, [deletion(22n)])
  await settle()
  t.deepEqual(lost, [])
  t.true(scene.watches[0]?.cancelled)
})

interface Read {
  readonly atLeast: bigint
  answer(response: unknown): void
}

class Scene {
  readonly runtime = new FakeRuntime()
  readonly watches: { readonly spec: WatchSpec; readonly sink: WatchSink; cancelled: boolean }[] = []
  readonly reads: Read[] = []
  readonly lost: string[] = []
  readonly stop: () => void

  constructor() {
    const engine = {
      runtime: this.runtime,
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
        submit: ({ atLeast }: { atLeast: bigint }) =>
          new Promise(answer => void this.reads.push({ atLeast, answer })),
      },
    }
    const session = { engine, leaseId: OURS } as unknown as SessionContext
    const { stop } = watchOwnKeys(session, [KEY], CREATED, ({ code }) => this.lost.push(code))
    this.stop = stop
  }
}

async function armed() {
  const scene = new Scene()
  await scene.runtime.advance(1000)
  return { scene, sink: scene.watches[0]!.sink, lost: scene.lost }
}

function deletion(modRevision: bigint): Event {
  return { type: 1, kv: { key: KEY, modRevision } } as unknown as Event
}

function put(createRevision: bigint, lease: bigint): Event {
  return { type: 0, kv: { key: KEY, createRevision, lease } } as unknown as Event
}
