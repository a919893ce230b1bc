import test from 'ava'
import { intervalOf } from '../../src/embedded/key-interval.ts'
import { Lessor } from '../../src/embedded/lessor.ts'
import { Store } from '../../src/embedded/store.ts'
import { text, toBytes } from '../../src/wire/bytes.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'

function setUp({ leaseScanMs = 500 } = {}) {
  const runtime = new FakeRuntime()
  const store = new Store()
  const lessor = new Lessor({ runtime, store, settings: { minLeaseTtl: 2, leaseScanMs } })
  const put = (key: string, lease: bigint) => {
    const write = store.begin()
    write.put(toBytes(key), toBytes('v'), lease)
    write.commit()
  }
  const keys = () => store.range(intervalOf(toBytes('\0'), toBytes('\0'))).kvs.map(kv => text(kv.key))
  return { runtime, store, lessor, put, keys }
}

test('a ttl below the shortest is raised, one beyond the longest refused', t => {
  const { lessor } = setUp()
  t.is(lessor.grant(1n, 1n).grantedTtl, 2n)
  t.is(lessor.grant(-1n, 2n).grantedTtl, 2n)
  t.is(lessor.grant(9_000_000_000n, 3n).grantedTtl, 9_000_000_000n)
  t.throws(() => lessor.grant(9_000_000_001n, 4n), { message: 'etcdserver: too large lease TTL' })
})

test('an id is given once, and those the server chooses are positive and differ', t => {
  const { lessor } = setUp()
  lessor.grant(5n, 7n)
  t.throws(() => lessor.grant(5n, 7n), { message: 'etcdserver: lease already exists' })
  const ids = new Set(Array.from({ length: 100 }, () => lessor.grant(5n, 0n).id))
  t.is(ids.size, 100)
  for (const id of ids) t.true(id > 0n && id < 2n ** 63n)
})

test('an expired lease takes its keys along in one revision, never early and at most half a second late', async t => {
  const { runtime, store, lessor, put, keys } = setUp()
  await runtime.advance(300)
  lessor.grant(3n, 7n)
  for (const key of ['b', 'a', 'c']) put(key, 7n)
  put('other', 0n)
  const before = store.revision
  await runtime.advance(3000)
  t.is(keys().length, 4)
  await runtime.advance(200)
  t.deepEqual(keys(), ['other'])
  t.is(store.revision, before + 1n)
  const [last] = [...store.since(store.revision)]
  t.deepEqual(
    last?.changes.map(change => change.name),
    ['a', 'b', 'c'],
  )
  t.false(lessor.has(7n))
  t.is(runtime.pendingTimers, 0)
})

test('without a scan a lease ends at its instant', async t => {
  const { runtime, lessor } = setUp({ leaseScanMs: 0 })
  await runtime.advance(123)
  lessor.grant(3n, 7n)
  await runtime.advance(2999)
  t.true(lessor.has(7n))
  await runtime.advance(1)
  t.false(lessor.has(7n))
})

test('a renewal gives the whole time again', async t => {
  const { runtime, lessor } = setUp()
  lessor.grant(3n, 7n)
  for (let round = 0; round < 5; round++) {
    await runtime.advance(2900)
    t.is(lessor.renew(7n)?.grantedTtl, 3n)
  }
  t.is(lessor.standing(7n)?.remainingMs, 3000)
})

test('a lease that ran out is not revived, though nobody has looked yet', async t => {
  const { runtime, lessor, put, keys } = setUp()
  await runtime.advance(300)
  lessor.grant(3n, 7n)
  put('a', 7n)
  await runtime.advance(3100)
  t.true(lessor.has(7n))
  t.is(lessor.renew(7n), undefined)
  t.deepEqual(keys(), [])
})

test('revoking a lease without keys makes no revision, and an unknown one is refused', t => {
  const { store, lessor } = setUp()
  lessor.grant(3n, 7n)
  lessor.revoke(7n)
  t.is(store.revision, 1n)
  t.throws(() => lessor.revoke(7n), { message: 'etcdserver: requested lease not found' })
})

test('a key that moved to another lease survives the first', t => {
  const { lessor, put, keys } = setUp()
  lessor.grant(3n, 7n)
  lessor.grant(3n, 8n)
  put('a', 7n)
  put('a', 8n)
  put('b', 7n)
  put('b', 0n)
  lessor.revoke(7n)
  t.deepEqual(keys(), ['a', 'b'])
  lessor.revoke(8n)
  t.deepEqual(keys(), ['b'])
})

test('nothing expires while it is held, and everything due does when it is released', async t => {
  const { runtime, lessor } = setUp()
  lessor.grant(3n, 7n)
  lessor.grant(30n, 8n)
  lessor.hold()
  await runtime.advance(10_000)
  t.true(lessor.has(7n))
  lessor.release()
  t.false(lessor.has(7n))
  t.true(lessor.has(8n))
})

test('a new leader gives every lease its whole time', async t => {
  const { runtime, lessor } = setUp()
  lessor.grant(10n, 7n)
  await runtime.advance(9000)
  lessor.renewAll()
  t.is(lessor.standing(7n)?.remainingMs, 10_000)
})

test('leases are listed by what they have left', async t => {
  const { runtime, lessor } = setUp()
  lessor.grant(20n, 1n)
  lessor.grant(10n, 2n)
  await runtime.advance(1000)
  lessor.grant(15n, 3n)
  t.deepEqual(
    lessor.list().map(({ id }) => id),
    [2n, 3n, 1n],
  )
})

test('no timer is left when it is closed', t => {
  const { runtime, lessor } = setUp()
  lessor.grant(20n, 1n)
  t.is(runtime.pendingTimers, 1)
  lessor.close()
  t.is(runtime.pendingTimers, 0)
})
