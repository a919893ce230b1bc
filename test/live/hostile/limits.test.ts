import test from 'ava'
import { compare, EtcdError, type Outcome, op, prefix } from '../../../src/index.ts'
import { equalBytes } from '../../../src/wire/bytes.ts'
import { uniquePrefix } from '../../support/live.ts'
import { useClient } from '../client/use-client.ts'

const live = useClient(test)

const MIB = 2 ** 20
const INT64_MAX = 2n ** 63n - 1n

test.serial('a value of 1.4 MiB is written, read and watched as it is', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const value = Uint8Array.from({ length: Math.floor(1.4 * MIB) }, (_, index) => (index * 31) % 256)
  const watch = etcd.watch(prefix(at), { previous: true })
  await watch.ready
  await etcd.put(`${at}k`, value)
  // Compared as a whole: what ava does byte by byte would stop the process for seconds, and with it the connection.
  t.true(equalBytes((await etcd.get(`${at}k`))!.value, value))
  const { value: event } = await watch[Symbol.asyncIterator]().next()
  t.true(event?.type === 'put' && equalBytes(event.kv.value, value))
  await watch.close()
})

const TOO_LARGE: readonly (readonly [what: string, bytes: number, outcome: Outcome])[] = [
  ['1.5 MiB', 1.5 * MIB, 'rejected'],
  ['1.9 MiB', Math.floor(1.9 * MIB), 'rejected'],
  ['2 MiB', 2 * MIB, 'not-sent'],
  ['4 MiB', 4 * MIB, 'not-sent'],
  ['64 MiB', 64 * MIB, 'not-sent'],
]

for (const [what, length, outcome] of TOO_LARGE) {
  test.serial(`a value of ${what} is TOO_LARGE and ${outcome}, whichever call carries it`, async t => {
    const { etcd } = live()
    const at = uniquePrefix(t)
    const value = new Uint8Array(length)
    for (const call of [
      () => etcd.put(`${at}k`, value),
      () => etcd.txn({ then: [op.put(`${at}k`, value)] }),
      () => etcd.txn({ if: [compare(`${at}k`).value.equals(value)], else: [op.put(`${at}k`, '')] }),
    ]) {
      const error = await t.throwsAsync(call, { code: 'TOO_LARGE' })
      t.true(EtcdError.is(error))
      t.is((error as unknown as EtcdError).outcome, outcome)
      t.true((error?.message.length ?? 0) < 1000)
    }
    t.is(await etcd.get(`${at}k`), undefined)
  })
}

test.serial('a lock with a name of a megabyte is TOO_LARGE, and leaves nothing', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const session = await etcd.session({ ttl: 60 })
  await t.throwsAsync(session.mutex(at + 'x'.repeat(MIB)).lock(), { code: 'TOO_LARGE' })
  await t.throwsAsync(session.mutex(at + 'x'.repeat(MIB)).tryLock(), { code: 'TOO_LARGE' })
  const hold = await session.mutex(`${at}x`).lock()
  await hold.unlock()
  await session.close()
  t.is((await etcd.range(prefix(at))).count, 0)
})

test.serial('a watch on a name of megabytes is refused, and no other watch hears of it', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const watch = etcd.watch(prefix(at))
  await watch.ready
  t.throws(() => etcd.watch(at + 'x'.repeat(3 * MIB)), { instanceOf: RangeError })
  await etcd.put(`${at}k`, 'v')
  const { value: event } = await watch[Symbol.asyncIterator]().next()
  t.is(event?.type === 'put' && event.kv.name(), `${at}k`)
  await watch.close()
})

test.serial('answers of many megabytes come whole, at once and revision by revision', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const value = new Uint8Array(MIB).fill(7)
  const { revision } = await etcd.put(`${at}0`, value)
  for (let index = 1; index < 5; index++) await etcd.put(`${at}${index}`, value)
  const { kvs } = await etcd.range(prefix(at))
  t.is(
    kvs.reduce((sum, kv) => sum + kv.value.length, 0),
    5 * MIB,
  )
  const watch = etcd.watch(prefix(at), { from: revision })
  let seen = 0
  for await (const event of watch) {
    if (event.type === 'put') t.is(event.kv.value.length, MIB)
    seen++
    if (seen === 5) break
  }
  t.is((await etcd.delete(prefix(at), { previous: true })).previous.length, 5)
})

test.serial('128 steps are one transaction, 129 are TOO_MANY_OPERATIONS, wherever they stand', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const steps = (count: number) => Array.from({ length: count }, (_, index) => op.put(`${at}${index}`, ''))
  const compares = (count: number) =>
    Array.from({ length: count }, (_, index) => compare(`${at}${index}`).version.equals(0n))
  t.true((await etcd.txn({ if: compares(128), then: steps(128), else: steps(128) })).succeeded)
  t.is((await etcd.range(prefix(at), { only: 'count' })).count, 128)
  for (const spec of [{ then: steps(129) }, { else: steps(129) }, { if: compares(129) }]) {
    await t.throwsAsync(etcd.txn(spec), { code: 'TOO_MANY_OPERATIONS' })
  }
})

test.serial('a TTL is a whole number of seconds from 1 to nine billion', async t => {
  const { etcd } = live()
  for (const ttl of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 9_000_000_001, 2 ** 53]) {
    await t.throwsAsync(etcd.lease.grant(ttl), { instanceOf: RangeError }, String(ttl))
    await t.throwsAsync(etcd.session({ ttl }), { instanceOf: RangeError }, String(ttl))
  }
  for (const ttl of ['10', 10n, null, {}]) {
    await t.throwsAsync(etcd.lease.grant(ttl as unknown as number), { instanceOf: TypeError })
    await t.throwsAsync(etcd.session({ ttl: ttl as unknown as number }), { instanceOf: TypeError })
  }
  const longest = await etcd.lease.grant(9_000_000_000)
  t.is(longest.ttl, 9_000_000_000)
  await etcd.lease.revoke(longest.id)
  // A timer of 285 years: Node's own would ring after a millisecond.
  const session = await etcd.session({ ttl: 9_000_000_000 })
  t.is(session.state, 'active')
  t.true(session.remainingMs > 8e12)
  await session.close()
})

test.serial('a lease id is any positive int64, to the last bit', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  for (const id of [1n, 2n ** 53n + 1n, 2n ** 62n + 12_345n, INT64_MAX - 1n, INT64_MAX]) {
    const granted = await etcd.lease.grant(60, { id })
    t.is(granted.id, id)
    await etcd.put(`${at}k`, 'v', { lease: id })
    t.is((await etcd.get(`${at}k`))?.lease, id)
    t.true((await etcd.lease.list()).includes(id))
    t.is((await etcd.lease.timeToLive(id, { keys: true }))?.keys.length, 1)
    t.true((await etcd.txn({ if: [compare(`${at}k`).lease.equals(id)] })).succeeded)
    await etcd.lease.revoke(id)
    t.is(await etcd.get(`${at}k`), undefined)
  }
  for (const id of [0n, -1n, 2n ** 63n, -(2n ** 63n)]) {
    await t.throwsAsync(etcd.lease.grant(60, { id }), { instanceOf: RangeError })
    await t.throwsAsync(etcd.lease.revoke(id), { instanceOf: RangeError })
    await t.throwsAsync(etcd.session({ resume: id }), { instanceOf: RangeError })
  }
})

test.serial('revisions and numbers to compare with are told apart to the last bit', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { revision } = await etcd.put(key, 'v')
  const holds = async (condition: ReturnType<ReturnType<typeof compare>['version']['equals']>) =>
    (await etcd.txn({ if: [condition] })).succeeded
  const { modRevision, lease, version } = compare(key)
  t.true(await holds(modRevision.equals(revision)))
  t.true(await holds(modRevision.lessThan(INT64_MAX)))
  t.true(await holds(version.lessThan(2n ** 32n + 1n)))
  t.false(await holds(version.equals(2n ** 32n + 1n)))
  t.false(await holds(version.equals(2n ** 53n + 1n)))
  t.true(await holds(lease.lessThan(INT64_MAX)))
  await t.throwsAsync(etcd.get(key, { revision: INT64_MAX }), { code: 'FUTURE_REVISION' })
  for (const beyond of [2n ** 63n, -1n]) {
    await t.throwsAsync(etcd.get(key, { revision: beyond }), { instanceOf: RangeError })
    t.throws(() => version.equals(beyond), { instanceOf: RangeError })
  }
})

test.serial('a limit is any safe integer that is not negative', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await etcd.put(`${at}k`, 'v')
  t.is((await etcd.range(prefix(at), { limit: Number.MAX_SAFE_INTEGER })).kvs.length, 1)
  for (const limit of [-1, 0.5, 2 ** 53, Number.NaN]) {
    await t.throwsAsync(etcd.range(prefix(at), { limit }), { instanceOf: RangeError })
  }
})

test.serial('an empty value is a value', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  await etcd.put(key, '')
  t.deepEqual((await etcd.get(key))?.value, new Uint8Array(0))
  t.true((await etcd.txn({ if: [compare(key).value.equals('')] })).succeeded)
})
