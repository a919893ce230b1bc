import test from 'ava'
import { type Entry, entryOf } from '../../recipes/internal/line/entry.ts'
import { Line } from '../../recipes/internal/line/line.ts'
import type { Place } from '../../recipes/internal/line/place.ts'
import { oneAtATime, type Rule } from '../../recipes/internal/line/rule.ts'
import { rules, valueIn } from '../../recipes/internal/read-write/read-write.ts'
import type { Engine } from '../../src/client/engine.ts'
import type { WatchSink, WatchSpec } from '../../src/client/watcher.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { Event, KeyValue } from '../../src/wire/gen/kv.g.ts'
import type { RangeResponse } from '../../src/wire/gen/rpc.g.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'

const PREFIX = Buffer.from('lock/')
const TTL_MS = 10_000
const NOTHING = new Uint8Array(0)

test('a place whose answer is from before the opening of the watch is read again', async t => {
  const scene = new Scene()
  const first = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(10n)
  await scene.answer(10n, [entry('a', 4n), first.mine])
  const second = scene.join(entry('c', 8n), 8n, [entry('a', 4n), entry('b', 5n), entry('x', 7n)])
  // `x` left between that answer and the opening: nobody will tell.
  t.is(scene.reads.at(-1)?.atLeast, 10n)
  await scene.answer(11n, [entry('a', 4n), first.mine, second.mine])
  await scene.deleted('a', 12n)
  t.true(first.hasTurn)
  t.false(second.hasTurn)
  scene.line.leave(first)
  await scene.deleted('b', 13n)
  t.true(second.hasTurn)
})

test('a deletion that comes while the line is being read counts against an answer from before it', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(6n)
  t.is(scene.reads.length, 1)
  await scene.deleted('a', 7n)
  t.false(place.hasTurn, 'the set is from before the watch')
  await scene.answer(6n, [entry('a', 4n), place.mine])
  await settle()
  t.true(place.hasTurn)
})

test('an own place with another create revision is not ours any more', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(9n)
  await scene.answer(9n, [entry('b', 8n)])
  await settle()
  t.false(place.hasTurn)
  t.deepEqual(place.ends, ['LOCK_LOST'])
})

test('an own place that is missing is lost, although nobody is ahead any more', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(9n)
  await scene.answer(9n, [])
  await settle()
  t.false(place.hasTurn)
  t.deepEqual(place.ends, ['LOCK_LOST'])
})

test('an answer from before a place was created does not end it', async t => {
  const scene = new Scene()
  const first = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(6n)
  const second = scene.join(entry('c', 8n), 8n, [entry('a', 4n), entry('b', 5n)])
  await scene.answer(6n, [entry('a', 4n), first.mine])
  await scene.deleted('a', 9n)
  t.true(first.hasTurn)
  t.deepEqual(second.ends, [])
})

test('sets belong to one opening of the watch: after a break the line is read again before anybody is granted', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(5n)
  t.is(scene.reads.length, 0, 'the set is from the revision of the opening')
  scene.watch.broken()
  scene.watch.opened(20n)
  t.is(scene.reads.at(-1)?.atLeast, 20n)
  t.false(place.hasTurn)
  await scene.answer(20n, [place.mine])
  await settle()
  t.true(place.hasTurn)
})

test('two deletions in one answer are both applied before a grant is decided', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(5n)
  scene.watch.revision(9n, [deletion('a', 9n), deletion('b', 9n)])
  await settle()
  t.false(place.hasTurn)
  t.deepEqual(place.ends, ['LOCK_LOST'])
})

test('an own place that is off its lease is lost', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(9n)
  await scene.answer(9n, [entry('a', 4n), { ...place.mine, lease: 0n }])
  t.deepEqual(place.ends, ['LOCK_LOST'])
})

test('the deletion of an earlier own key, come late, does not end the place taken since', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 9n), 9n, [entry('a', 8n)])
  scene.watch.opened(5n)
  await scene.deleted('b', 7n)
  t.deepEqual(place.ends, [])
  await scene.deleted('b', 10n)
  t.deepEqual(place.ends, ['LOCK_LOST'])
})

test('deletions seen while an acquisition is on its way count against its answer', async t => {
  const scene = new Scene()
  const first = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(5n)
  scene.line.begin()
  await scene.deleted('a', 7n)
  scene.line.leave(first)
  await scene.deleted('b', 8n)
  const second = new Standing(entry('c', 6n))
  scene.line.join(second, {
    revision: 6n,
    entries: [entry('a', 4n), entry('b', 5n), second.mine],
    truncated: false,
  })
  scene.line.answered()
  await settle()
  t.true(second.hasTurn)
})

test('a downgrade that comes while the line is being read counts against an answer from before it', async t => {
  const scene = new Scene(rules.read)
  const writer = entry('a', 4n, valueIn('write', NOTHING))
  const place = scene.join(entry('b', 5n, valueIn('read', NOTHING)), 5n, [writer])
  scene.watch.opened(6n)
  await scene.written('a', 4n, 7n, valueIn('read', NOTHING))
  t.false(place.hasTurn, 'the set is from before the watch')
  await scene.answer(6n, [writer, place.mine])
  await settle()
  t.true(place.hasTurn)
})

test('a downgrade seen while an acquisition is on its way counts against its answer, and against no other key of that name', async t => {
  const scene = new Scene(rules.read)
  const first = scene.join(entry('b', 5n, valueIn('read', NOTHING)), 5n, [
    entry('a', 4n, valueIn('write', NOTHING)),
  ])
  scene.watch.opened(5n)
  scene.line.begin()
  await scene.written('a', 4n, 8n, valueIn('read', NOTHING))
  t.true(first.hasTurn)
  const join = (ahead: Entry, revision: bigint) => {
    const place = new Standing(entry('c', 7n, valueIn('read', NOTHING)), { rule: rules.read })
    scene.line.join(place, { revision, entries: [ahead, place.mine], truncated: false })
    return place
  }
  const [earlier, another, later] = [
    join(entry('a', 4n, valueIn('write', NOTHING)), 7n),
    join(entry('a', 6n, valueIn('write', NOTHING)), 7n),
    join(entry('a', 4n, valueIn('write', NOTHING)), 9n),
  ]
  scene.line.answered()
  await settle()
  t.true(earlier.hasTurn)
  t.false(another.hasTurn)
  t.false(later.hasTurn, 'what it shows has been written since')
})

test('a lost event is made up for by the reading every two TTLs', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(5n)
  await scene.runtime.advance(2 * TTL_MS)
  t.is(scene.reads.length, 1)
  await scene.answer(30n, [place.mine])
  t.true(place.hasTurn)
})

test('a lost event is made up for within two of the own TTL, however long the others of the client wait', async t => {
  const scene = new Scene()
  const patient = scene.join(entry('b', 5n), 5n, [entry('a', 4n)], 3_600_000)
  scene.watch.opened(5n)
  await scene.runtime.advance(1000)
  const place = scene.join(entry('c', 6n), 6n, [entry('a', 4n), patient.mine])
  await scene.runtime.advance(2 * TTL_MS - 1)
  t.is(scene.reads.length, 0)
  await scene.runtime.advance(1)
  t.is(scene.reads.length, 1)
  await scene.answer(30n, [place.mine])
  t.true(place.hasTurn)
  t.deepEqual(patient.ends, ['LOCK_LOST'])
  await scene.runtime.advance(2 * TTL_MS)
  t.is(scene.reads.length, 2, 'and again')
  scene.line.leave(place)
  t.is(scene.runtime.pendingTimers, 0)
})

test('a place that is not seen among others of its creation is not lost by that', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(5n)
  await scene.runtime.advance(2 * TTL_MS)
  await scene.answer(6n, [entry('a', 4n), entry('c', 5n)], true)
  t.deepEqual(place.ends, [])
  await scene.runtime.advance(2 * TTL_MS)
  await scene.answer(7n, [entry('a', 4n), entry('d', 6n)], true)
  t.deepEqual(place.ends, ['LOCK_LOST'], 'whoever came later is seen instead')
})

test('a reading shows all keys created together with that of a place', async t => {
  const scene = new Scene()
  const place = new Standing(entry('b', 5n), { ours: 64 })
  scene.line.join(new Standing(entry('c', 6n)), undefined)
  scene.line.join(place, undefined)
  scene.watch.opened(7n)
  t.is(scene.reads.at(-1)?.limit, 64n + 64n)
  scene.line.leave(place)
  await scene.runtime.advance(2 * TTL_MS)
  await scene.answer(8n, [entry('c', 6n)])
  await scene.runtime.advance(2 * TTL_MS)
  t.is(scene.reads.at(-1)?.limit, 64n + 1n)
})

test('the watch is from now on, without writes where values are ignored, and never resumed', t => {
  const scene = new Scene()
  scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  const [spec] = scene.specs
  t.is(spec?.startRevision, undefined)
  t.is(spec?.filter, 'no-puts')
  t.is(spec?.onBreak, 'restart')
})

test('the watch is kept while an acquisition is on its way', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(5n)
  scene.line.leave(place)
  scene.line.settle()
  await scene.runtime.advance(2999)
  scene.line.begin()
  await scene.runtime.advance(5000)
  t.false(scene.cancelled)
  scene.line.answered()
  scene.line.settle()
  await scene.runtime.advance(3000)
  t.true(scene.cancelled)
})

test('a reading that fails in passing is made again, and one that is refused ends the wait', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(6n)
  scene.reads[0]!.fail('UNAVAILABLE')
  await scene.runtime.advance(1000)
  t.is(scene.reads.length, 2)
  t.is(scene.reads[1]?.atLeast, 6n, 'no older than the first was to be')
  scene.reads[1]!.fail('PERMISSION_DENIED')
  await settle()
  t.deepEqual(place.ends, ['PERMISSION_DENIED'])
})

test('a line nobody stands in any more leaves neither watch nor timer', async t => {
  const scene = new Scene()
  const place = scene.join(entry('b', 5n), 5n, [entry('a', 4n)])
  scene.watch.opened(5n)
  scene.line.leave(place)
  scene.line.settle()
  t.false(scene.cancelled)
  await scene.runtime.advance(3000)
  t.true(scene.cancelled)
  t.true(scene.emptied)
  t.is(scene.runtime.pendingTimers, 0)
})

class Scene {
  readonly runtime = new FakeRuntime()
  readonly reads: Read[] = []
  readonly specs: WatchSpec[] = []
  cancelled = false
  emptied = false
  readonly line: Line
  readonly #rule: Rule
  #sink: WatchSink | undefined

  constructor(rule: Rule = oneAtATime) {
    this.#rule = rule
    const engine = {
      runtime: this.runtime,
      recipeWatches: {
        watch: (spec: WatchSpec, sink: WatchSink) => {
          this.specs.push(spec)
          this.#sink = sink
          return {
            cancel: () => {
              this.cancelled = true
            },
          }
        },
      },
      submitter: {
        submit: ({ atLeast, request }: { atLeast: bigint; request: { limit: bigint } }) =>
          new Promise((resolve, reject) => {
            this.reads.push({
              atLeast,
              limit: request.limit,
              answer: resolve,
              fail: code => reject(new EtcdError(code, 'refused', { outcome: 'rejected' })),
            })
          }),
      },
    }
    this.line = new Line(engine as unknown as Engine, PREFIX, rule.values, () => {
      this.emptied = true
    })
  }

  get watch(): WatchSink {
    return this.#sink!
  }

  /** Stands in the line, as the answer to its creation showed it. */
  join(mine: Entry, revision: bigint, ahead: readonly Entry[], ttlMs = TTL_MS): Standing {
    const place = new Standing(mine, { rule: this.#rule, ttlMs })
    this.line.begin()
    this.line.join(place, { revision, entries: [...ahead, mine], truncated: false })
    this.line.answered()
    return place
  }

  /** Answers the latest reading. */
  async answer(revision: bigint, entries: readonly Entry[], more = false): Promise<void> {
    const kvs = entries.map(({ key, createRevision, lease, value }) => ({
      key,
      createRevision,
      lease,
      value,
    }))
    this.reads.at(-1)!.answer({ header: { revision }, kvs, more } as unknown as RangeResponse)
    await settle()
  }

  async deleted(suffix: string, revision: bigint): Promise<void> {
    await settle()
    this.watch.revision(revision, [deletion(suffix, revision)])
    await settle()
  }

  async written(suffix: string, createRevision: bigint, revision: bigint, value: Uint8Array): Promise<void> {
    await settle()
    const kv = { ...entry(suffix, createRevision, value), modRevision: revision }
    this.watch.revision(revision, [{ type: 0, kv } as unknown as Event])
    await settle()
  }
}

interface Read {
  readonly atLeast: bigint
  readonly limit: bigint
  answer(response: RangeResponse): void
  fail(code: 'UNAVAILABLE' | 'PERMISSION_DENIED'): void
}

class Standing implements Place {
  readonly mine: Entry
  readonly rule: Rule
  readonly ttlMs: number
  readonly ours: number
  hasTurn = false
  readonly ends: string[] = []

  constructor(mine: Entry, { rule = oneAtATime, ttlMs = TTL_MS, ours = 1 }: Partial<Place> = {}) {
    this.mine = mine
    this.rule = rule
    this.ttlMs = ttlMs
    this.ours = ours
  }

  onTurn(): void {
    this.hasTurn = true
  }

  onEnd(error: EtcdError): void {
    this.ends.push(error.code)
  }
}

function entry(suffix: string, createRevision: bigint, value: Uint8Array = NOTHING): Entry {
  return entryOf({
    key: Buffer.from(`lock/${suffix}`),
    createRevision,
    lease: 1n,
    value,
  } as unknown as KeyValue)
}

function deletion(suffix: string, modRevision: bigint): Event {
  return { type: 1, kv: { key: Buffer.from(`lock/${suffix}`), modRevision } } as unknown as Event
}
