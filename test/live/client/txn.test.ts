import test from 'ava'
import { compare } from '../../../src/client/compare.ts'
import { prefix } from '../../../src/client/key-range.ts'
import { op } from '../../../src/client/op.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix } from '../../support/live.ts'
import { player } from '../../traits/arena.ts'
import { useClient } from './use-client.ts'

const live = useClient(test)

test('one side runs, and each answer has the type of its step', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const create = () =>
    etcd.txn({
      if: [compare(key).version.equals(0n)],
      then: [op.put(key, 'mine')],
      else: [op.get(key), op.range(prefix(key), { only: 'count' })],
    })
  const first = await create()
  if (!first.succeeded) return t.fail()
  t.is(first.results[0].revision, first.revision)
  const second = await create()
  if (second.succeeded) return t.fail()
  const [kv, range] = second.results
  t.is(kv?.text(), 'mine')
  t.is(range.count, 1)
  t.is(range.revision, second.revision)
})

test('everything in a transaction happens at one revision', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await etcd.put(`${at}gone`, 'v')
  const { revision } = await etcd.txn({
    then: [op.put(`${at}a`, '1'), op.put(`${at}b`, '2'), op.delete(`${at}gone`)],
  })
  const { kvs } = await etcd.range(prefix(at))
  t.deepEqual(
    kvs.map(kv => [kv.text(), kv.modRevision]),
    [
      ['1', revision],
      ['2', revision],
    ],
  )
})

test('a step sees what the steps before it wrote', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const result = await etcd.txn({
    then: [op.get(key), op.put(key, 'v', { previous: true }), op.get(key), op.range(key, { only: 'count' })],
  })
  if (!result.succeeded) return t.fail()
  const [before, put, after, range] = result.results
  t.is(before, undefined)
  t.is(put.previous, undefined)
  t.is(after?.text(), 'v')
  t.is(range.count, 1)
})

test('a transaction within a transaction decides for itself', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  await etcd.put(`${at}a`, '1')
  const result = await etcd.txn({
    if: [compare(`${at}a`).value.equals('1')],
    then: [
      op.txn({ if: [compare(`${at}b`).version.equals(0n)], then: [op.put(`${at}b`, '2')] }),
      op.txn({ if: [compare(`${at}a`).value.equals('2')], then: [], else: [op.get(`${at}a`)] }),
    ],
  })
  if (!result.succeeded) return t.fail()
  const [inner, other] = result.results
  t.true(inner.succeeded)
  t.is(inner.revision, result.revision)
  if (other.succeeded) return t.fail()
  t.is(other.results[0]?.text(), '1')
})

test('every number of a key is compared in every way', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { id } = await etcd.lease.grant(60)
  await etcd.put(key, 'v', { lease: id })
  await etcd.put(key, 'v', { lease: id })
  const kv = (await etcd.get(key))!
  for (const target of ['version', 'createRevision', 'modRevision', 'lease'] as const) {
    const number = kv[target]
    const start = compare(key)[target]
    const holds = [
      start.equals(number),
      start.notEquals(number + 1n),
      start.greaterThan(number - 1n),
      start.lessThan(number + 1n),
    ]
    const fails = [
      start.equals(number + 1n),
      start.notEquals(number),
      start.greaterThan(number),
      start.lessThan(number),
    ]
    t.true((await etcd.txn({ if: holds })).succeeded, target)
    for (const [index, condition] of fails.entries())
      t.false((await etcd.txn({ if: [condition] })).succeeded, `${target} ${index}`)
  }
})

test('values are compared byte by byte', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  await etcd.put(key, Uint8Array.of(0x80))
  const { value } = compare(key)
  const holds = [
    value.equals(Uint8Array.of(0x80)),
    value.notEquals('v'),
    value.greaterThan(Uint8Array.of(0x7f, 0xff)),
    value.lessThan(Uint8Array.of(0x80, 0)),
  ]
  for (const condition of holds) t.true((await etcd.txn({ if: [condition] })).succeeded)
  t.false((await etcd.txn({ if: [value.equals(Uint8Array.of(0x80, 0))] })).succeeded)
})

test('a missing key compares as zeros, and its value with nothing', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  for (const target of ['version', 'createRevision', 'modRevision', 'lease'] as const)
    t.true((await etcd.txn({ if: [compare(key)[target].equals(0n)] })).succeeded, target)
  const { value } = compare(key)
  for (const condition of [
    value.equals(''),
    value.notEquals('v'),
    value.greaterThan(''),
    value.lessThan('z'),
  ])
    t.false((await etcd.txn({ if: [condition] })).succeeded)
})

test('a comparison of a range holds if it does for every key in it', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const all = compare(prefix(at))
  t.true((await etcd.txn({ if: [all.version.equals(0n)] })).succeeded)
  await etcd.put(`${at}a`, 'v')
  const { revision } = await etcd.put(`${at}b`, 'v')
  t.true(
    (await etcd.txn({ if: [all.value.equals('v'), all.createRevision.lessThan(revision + 1n)] })).succeeded,
  )
  t.false((await etcd.txn({ if: [all.createRevision.lessThan(revision)] })).succeeded)
})

test('an empty transaction succeeds, and tells the revision', async t => {
  const { etcd } = live()
  const { revision } = await etcd.put(`${uniquePrefix(t)}k`, 'v')
  const result = await etcd.txn({})
  t.true(result.succeeded)
  t.deepEqual(result.results, [])
  t.true(result.revision >= revision)
})

test('the past can be read beside the present', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const { revision } = await etcd.put(key, 'old')
  await etcd.put(key, 'new')
  const result = await etcd.txn({ then: [op.get(key), op.get(key, { revision })] })
  if (!result.succeeded) return t.fail()
  t.deepEqual(
    result.results.map(kv => kv?.text()),
    ['new', 'old'],
  )
})

test('one key written twice in a transaction is refused', async t => {
  const { etcd } = live()
  const key = `${uniquePrefix(t)}k`
  const error = await t.throwsAsync(etcd.txn({ then: [op.put(key, '1'), op.put(key, '2')] }))
  t.true(EtcdError.is(error, 'DUPLICATE_KEY'))
  t.is(await etcd.get(key), undefined)
})

test('more than 128 steps are refused', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const then = Array.from({ length: 129 }, (_, index) => op.put(at + index, 'v'))
  t.true(EtcdError.is(await t.throwsAsync(etcd.txn({ then })), 'TOO_MANY_OPERATIONS'))
  t.true((await etcd.txn({ then: then.slice(1) })).succeeded)
})

test('a lease that does not exist fails the whole transaction', async t => {
  const { etcd } = live()
  const at = uniquePrefix(t)
  const then = [op.put(`${at}a`, '1'), op.put(`${at}b`, '2', { lease: 12345n })]
  const error = await t.throwsAsync(etcd.txn({ then }))
  t.true(EtcdError.is(error, 'LEASE_NOT_FOUND'))
  t.is((await etcd.range(prefix(at))).count, 0)
})

test('a transaction that only reads is not answered from before what its client was told, unless it asks for that', async t => {
  const { etcd, net } = await player(t, live().servers)
  const key = `${uniquePrefix(t)}k`
  const { revision: past } = await etcd.put(key, '1')
  const { revision } = await etcd.put(key, '2')
  for (const consistency of ['linearizable', 'serializable'] as const) {
    const requests = net.stopRequests(methods.txn)
    const reading = etcd.txn({ then: [op.get(key, { consistency })] })
    const request = await requests.caught()
    requests.off()
    const range = { kind: 'range' as const, value: { kvs: [], count: 0n } }
    await request.deliver({ header: { revision: past }, succeeded: true, responses: [{ response: range }] })
    const told = (await reading).revision
    // Others write to this server, too.
    t.true(consistency === 'linearizable' ? told >= revision : told === past, `${consistency}: ${told}`)
  }
})
