import test from 'ava'
import fc from 'fast-check'
import { intervalOf } from '../../src/embedded/key-interval.ts'
import { type Revision, Store } from '../../src/embedded/store.ts'
import { text, toBytes } from '../../src/wire/bytes.ts'
import type { KeyValue } from '../../src/wire/gen/kv.g.ts'

const NO_END = new Uint8Array(0)

/** The whole state after every revision, kept as plain copies. */
class NaiveStore {
  readonly states: Map<string, KeyValue>[] = [new Map(), new Map()]

  get now(): Map<string, KeyValue> {
    return this.states.at(-1)!
  }

  put(key: string, value: string, lease: bigint): void {
    const revision = BigInt(this.states.length)
    const before = this.now.get(key)
    const next = new Map(this.now)
    next.set(key, {
      key: toBytes(key),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0n) + 1n,
      value: toBytes(value),
      lease,
    })
    this.states.push(next)
  }

  delete(start: string, end: string): void {
    const kept = new Map(
      [...this.now].filter(([key]) => !(end === '' ? key === start : key >= start && key < end)),
    )
    if (kept.size < this.now.size) this.states.push(kept)
  }

  range(at: number, start: string, end: string): KeyValue[] {
    return [...this.states[at]!]
      .filter(([key]) => (end === '' ? key === start : key >= start && key < end))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, kv]) => kv)
  }
}

const key = fc.constantFrom('a', 'a/1', 'a/2', 'b', 'c')
const end = fc.constantFrom('', 'a0', 'b', 'z')
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('put' as const),
    key,
    value: fc.string({ maxLength: 3, unit: 'grapheme-ascii' }),
    lease: fc.constantFrom(0n, 1n, 2n),
  }),
  fc.record({ kind: fc.constant('delete' as const), key, end }),
  fc.record({ kind: fc.constant('compact' as const), back: fc.nat(5) }),
)

function plain(kv: KeyValue): unknown {
  return { ...kv, key: text(kv.key), value: text(kv.value) }
}

test('every revision that is not compacted reads as it was, whatever came after', t => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), fc.boolean(), (operations, reload) => {
      let store = new Store()
      const model = new NaiveStore()
      for (const one of operations) {
        const write = store.begin()
        if (one.kind === 'put') {
          write.put(toBytes(one.key), toBytes(one.value), one.lease)
          model.put(one.key, one.value, one.lease)
        } else if (one.kind === 'delete') {
          write.delete(intervalOf(toBytes(one.key), toBytes(one.end)))
          model.delete(one.key, one.end)
        } else {
          const revision = store.revision - BigInt(one.back)
          if (revision > store.compactRevision && revision >= 0n) store.compact(revision)
        }
        write.commit()
      }
      if (reload) store = Store.load(store.image())
      t.is(store.revision, BigInt(model.states.length - 1))
      const first = store.compactRevision > 1n ? Number(store.compactRevision) : 1
      for (let at = first; at < model.states.length; at++) {
        for (const [start, beyond] of [
          ['a', ''],
          ['a/1', ''],
          ['a', 'b'],
          ['', 'z'],
        ] as const) {
          const found = store.range(intervalOf(toBytes(start), toBytes(beyond)), { at: BigInt(at) })
          const expected = model.range(at, start, beyond)
          t.deepEqual(found.kvs.map(plain), expected.map(plain))
          t.is(found.count, expected.length)
        }
      }
      for (const lease of [1n, 2n]) {
        const attached = [...model.now.values()].filter(kv => kv.lease === lease).map(kv => text(kv.key))
        t.deepEqual(store.keysOfLease(lease).map(text), attached.sort())
      }
    }),
  )
})

test('the changes since a revision are those that lead from it to the present', t => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), operations => {
      const store = new Store()
      const told: Revision[] = []
      store.onCommit(commit => told.push(commit))
      for (const one of operations) {
        const write = store.begin()
        if (one.kind === 'put') write.put(toBytes(one.key), toBytes(one.value), one.lease)
        if (one.kind === 'delete') write.delete(intervalOf(toBytes(one.key), toBytes(one.end)))
        write.commit()
        if (one.kind === 'compact' && store.revision > store.compactRevision + 2n)
          store.compact(store.revision - 1n)
      }
      const expected = told.filter(({ revision }) => revision >= store.compactRevision)
      t.deepEqual([...store.since(0n)], expected)
    }),
  )
})

test('compaction refuses what is gone and what is not there yet, and reading what it took', t => {
  const store = new Store()
  const put = () => {
    const write = store.begin()
    write.put(toBytes('a'), toBytes('v'), 0n)
    write.commit()
  }
  put()
  put()
  put()
  t.throws(() => store.compact(5n), { message: 'etcdserver: mvcc: required revision is a future revision' })
  store.compact(3n)
  t.throws(() => store.compact(3n), { message: 'etcdserver: mvcc: required revision has been compacted' })
  const a = intervalOf(toBytes('a'), NO_END)
  t.throws(() => store.range(a, { at: 2n }), {
    message: 'etcdserver: mvcc: required revision has been compacted',
  })
  t.is(store.range(a, { at: 3n }).kvs[0]?.version, 2n)
  t.throws(() => store.range(a, { at: 5n }), {
    message: 'etcdserver: mvcc: required revision is a future revision',
  })
})

test('compaction gives back what deleted keys and old versions took', t => {
  const store = new Store()
  for (let at = 0; at < 100; at++) {
    const write = store.begin()
    write.put(toBytes(`k${at % 10}`), toBytes('v'.repeat(100)), 0n)
    write.commit()
  }
  const write = store.begin()
  write.delete(intervalOf(toBytes('\0'), toBytes('\0')))
  write.commit()
  t.true(store.bytes > 10_000)
  store.compact(store.revision)
  t.is(store.bytes, 0)
  t.is(store.image().changes.length, 0)
})

test('an explicit revision inside a write reads the time before it', t => {
  const store = new Store()
  const a = intervalOf(toBytes('a'), NO_END)
  const write = store.begin()
  write.put(toBytes('a'), toBytes('v'), 0n)
  t.is(store.range(a).count, 1)
  t.is(store.range(a, { at: 1n }).count, 0)
})

test('keys and values are kept apart from the requests they came in', t => {
  const store = new Store()
  const request = toBytes('key-value')
  const write = store.begin()
  write.put(request.subarray(0, 3), request.subarray(4), 0n)
  write.commit()
  request.fill(0)
  const [kv] = store.range(intervalOf(toBytes('key'), NO_END)).kvs
  t.is(text(kv!.key), 'key')
  t.is(text(kv!.value), 'value')
})

test('a range costs what it returns among a hundred thousand keys', t => {
  const store = new Store()
  const write = store.begin()
  for (let at = 0; at < 100_000; at++) write.put(toBytes(`k${String(at).padStart(6, '0')}`), NO_END, 0n)
  write.commit()
  const startedMs = performance.now()
  for (let at = 0; at < 1000; at++) {
    const start = `k${String(at * 100).padStart(6, '0')}`
    const { kvs, count } = store.range(intervalOf(toBytes(start), toBytes('l')), { limit: 3 })
    t.is(kvs.length, 3)
    t.is(count, 100_000 - at * 100)
  }
  // Visiting all keys each time takes more than a second on any machine.
  t.true(performance.now() - startedMs < 500)
})

test('a change tells what it replaced, and what there was at the revision before', t => {
  const store = new Store()
  const key = toBytes('k')
  const old = store.begin()
  old.put(key, toBytes('old'), 0n)
  old.commit()
  let told: Revision | undefined
  store.onCommit(commit => {
    told = commit
  })
  const write = store.begin()
  write.put(key, toBytes('new'), 0n)
  write.delete(intervalOf(key, NO_END))
  write.commit()
  const deletion = told!.changes.at(-1)!
  t.is(text(deletion.previous!.value), 'new')
  t.is(text(deletion.before!.value), 'old')
})

test('what happened in an interval is found among all that happened, whatever was compacted', t => {
  const store = new Store()
  const put = (key: string) => {
    const write = store.begin()
    write.put(toBytes(key), toBytes('v'), 0n)
    write.commit()
  }
  const remove = (key: string) => {
    const write = store.begin()
    write.delete(intervalOf(toBytes(key), toBytes('')))
    write.commit()
  }
  const revisionsOf = (from: bigint, key: string) =>
    [...store.since(from, intervalOf(toBytes(key), toBytes('')))]
      .filter(({ changes }) => changes.some(({ kv }) => text(kv.key) === key))
      .map(({ revision }) => revision)
  for (const key of ['a', 'b', 'a', 'c']) put(key)
  remove('a')
  for (const key of ['b', 'c', 'a', 'b', 'c']) put(key)
  t.deepEqual(revisionsOf(0n, 'a'), [2n, 4n, 6n, 9n])
  t.deepEqual(revisionsOf(5n, 'a'), [6n, 9n])
  // Of a few revisions it looks at no more than those among many.
  t.is([...store.since(2n, intervalOf(toBytes('a'), toBytes('')))].length, 4)
  store.compact(6n)
  t.deepEqual(revisionsOf(6n, 'a'), [6n, 9n])
  t.deepEqual(revisionsOf(6n, 'b'), [7n, 10n])
  t.deepEqual(revisionsOf(10n, 'a'), [])
})
