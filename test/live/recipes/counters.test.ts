import test from 'ava'
import { EtcdError, prefix } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { player, quiet } from '../../traits/arena.ts'

const server = useEtcd(test)

test('a counter counts through several clients, and many at once cost few commits', async t => {
  const one = await player(t, server())
  const other = await player(t, server())
  const name = `${uniquePrefix(t)}visits`
  t.is(await one.etcd.counter(name).get(), 0n)
  const before = one.net.count(methods.txn)
  const sums = await Promise.all(Array.from({ length: 50 }, () => one.etcd.counter(name).add()))
  t.true(one.net.count(methods.txn) - before < 10)
  t.is(new Set(sums).size, 50)
  await Promise.all([one.etcd.counter(name).add(5), other.etcd.counter(name).add(-3n)])
  t.is(await other.etcd.counter(name).get(), 52n)
  t.is((await one.etcd.get(name))?.text(), '52')
})

test('a counter is set only from the number expected, and updated by a function', async t => {
  const { etcd } = await player(t, server())
  const counter = etcd.counter(`${uniquePrefix(t)}n`)
  t.true(await counter.compareAndSet(0, 7))
  t.false(await counter.compareAndSet(0n, 8n))
  t.is(await counter.update(n => n * 6n), 42n)
  t.is(await counter.get(), 42n)
})

test('a counter does not leave 64 bits, and does not count what is no number', async t => {
  const { etcd } = await player(t, server())
  const name = `${uniquePrefix(t)}n`
  const counter = etcd.counter(name)
  await counter.add(2n ** 63n - 1n)
  await t.throwsAsync(counter.add(1n), { instanceOf: RangeError })
  await t.throwsAsync(counter.compareAndSet(2n ** 63n - 1n, 2n ** 63n), { instanceOf: RangeError })
  await t.throwsAsync(
    counter.update(number => number * 2n),
    { instanceOf: RangeError },
  )
  t.is(await counter.get(), 2n ** 63n - 1n)
  t.is(await counter.add(-(2n ** 63n)), -1n)
  await etcd.put(name, '+5')
  t.is(await counter.add(2 ** 53 - 1), 2n ** 53n + 4n)
  await t.throwsAsync(counter.add(2 ** 53), { instanceOf: RangeError })
  await etcd.put(name, 'many')
  await t.throwsAsync(counter.add(), { code: 'FAILED_PRECONDITION' })
  await t.throwsAsync(counter.get(), { code: 'FAILED_PRECONDITION' })
  await t.throwsAsync(counter.add(0.5), { instanceOf: RangeError })
  await t.throwsAsync(counter.add('1' as never), { instanceOf: TypeError })
  t.throws(() => etcd.counter(''), { instanceOf: RangeError })
})

test('an addition without an answer is made exactly once, applied or not', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const name = `${p}n`
  const counter = etcd.counter(name)
  for (const applied of [true, false]) {
    const trap = net.stopRequests(methods.txn, ({ success }: TxnRequest) =>
      success.some(({ request }) => request?.kind === 'put' && mapKey(request.value.key) === name),
    )
    const adding = counter.add(1, { exactlyOnce: { prefix: `${p}markers/` } })
    const call = await trap.caught()
    trap.off()
    if (applied) await call.apply()
    call.lose()
    await adding
  }
  t.is(await counter.get(), 2n)
})

test('a watched counter tells every number, beginning with the one it is', async t => {
  const { etcd } = await player(t, server())
  const counter = etcd.counter(`${uniquePrefix(t)}n`)
  await counter.add(3)
  const seen: bigint[] = []
  for await (const number of counter.watch()) {
    seen.push(number)
    if (seen.length === 1) {
      await counter.add(4)
      await counter.add(5)
    }
    if (seen.length === 3) break
  }
  t.deepEqual(seen, [3n, 7n, 12n])
})

test('a watched number and a watched value of a namespace end with it', async t => {
  const { etcd, net } = await player(t, server())
  const p = uniquePrefix(t)
  const inside = etcd.namespace(p)
  const loops = [inside.counter('n'), inside.value('v')].map(async one => {
    let seen = 0
    for await (const _ of one.watch()) seen += 1
    return seen
  })
  await net.watching(watch => mapKey(watch.key) === `${p}n`)
  await net.watching(watch => mapKey(watch.key) === `${p}v`)
  await inside.close()
  t.deepEqual(await Promise.all(loops), [1, 1])
  await quiet(net)
  t.deepEqual(net.watches, [])
  t.throws(() => etcd.counter(`${p}n`).watch({ signal: 5 as never }), { instanceOf: TypeError })
})

for (const what of ['client', 'namespace'] as const) {
  test(`a watched number ends when its ${what} is closed by whoever takes the first one`, async t => {
    const { etcd } = await player(t, server())
    const p = uniquePrefix(t)
    const owner = what === 'client' ? etcd : etcd.namespace(p)
    const seen: bigint[] = []
    for await (const number of owner.counter(`${p}n`).watch()) {
      seen.push(number)
      await owner.close()
    }
    t.deepEqual(seen, [0n])
    t.throws(() => owner.counter(`${p}n`).watch(), { code: 'CLIENT_CLOSED' })
  })
}

test('a watched value ends when its client is closed while the first one is on its way', async t => {
  const { etcd, net } = await player(t, server())
  const trap = net.stopAnswers(methods.range)
  const taking = etcd
    .value(`${uniquePrefix(t)}v`)
    .watch()
    [Symbol.asyncIterator]()
    .next()
  await trap.caught()
  trap.off()
  await Promise.all([etcd.close(), t.notThrowsAsync(taking)])
  t.deepEqual(await taking, { done: true, value: undefined })
})

test.serial('a value watched too slowly goes on after a compaction with what is there', async t => {
  const { etcd } = await player(t, server())
  const value = etcd.value(`${uniquePrefix(t)}v`)
  await value.set('1')
  const seen: (string | undefined)[] = []
  for await (const kv of value.watch()) {
    seen.push(kv?.text())
    if (seen.length === 1) {
      await value.set('2')
      await etcd.compact(await value.set('3'))
    }
    if (kv?.text() === '3') break
  }
  t.is(seen[0], '1')
  t.is(seen.at(-1), '3')
})

test('a sequence gives each number once, without a gap, each for one request', async t => {
  const one = await player(t, server())
  const other = await player(t, server())
  const name = `${uniquePrefix(t)}orders`
  const before = one.net.count(methods.txn)
  const mine = one.etcd.sequence(name)
  const theirs = other.etcd.sequence(name)
  const numbers = await Promise.all([
    ...Array.from({ length: 20 }, () => mine.next()),
    ...Array.from({ length: 20 }, () => theirs.next()),
  ])
  t.deepEqual(
    numbers.toSorted((a, b) => Number(a - b)),
    Array.from({ length: 40 }, (_, index) => BigInt(index + 1)),
  )
  t.is(one.net.count(methods.txn) - before, 20)
  t.is(await mine.last(), 40n)
  t.is(await mine.next(), 41n)
})

test('a sequence that was deleted is refused by those who knew it', async t => {
  const { etcd } = await player(t, server())
  const name = `${uniquePrefix(t)}orders`
  const sequence = etcd.sequence(name)
  t.is(await sequence.next(), 1n)
  await etcd.delete(name)
  await t.throwsAsync(sequence.next(), { code: 'FAILED_PRECONDITION' })
  t.is(await etcd.get(name), undefined)
  t.is(await etcd.sequence(name).next(), 1n)
  await t.throwsAsync(sequence.next(), { code: 'FAILED_PRECONDITION' })
})

test('what counted on a key that was deleted before this sequence heard of it may be a number of the new count', async t => {
  const { etcd, net } = await player(t, server())
  const there = await player(t, server())
  const name = `${uniquePrefix(t)}orders`
  t.is(await there.etcd.sequence(name).next(), 1n)
  const sequence = etcd.sequence(name)
  const trap = net.stopRequests(methods.txn)
  const first = sequence.next()
  const second = t.throwsAsync(sequence.next(), { code: 'FAILED_PRECONDITION' })
  const calls = [await trap.caught(1), await trap.caught(2)]
  trap.off()
  await calls[0]!.apply()
  await there.etcd.delete(name)
  await calls[1]!.apply()
  await calls[0]!.deliver()
  t.is(await first, 2n)
  await calls[1]!.deliver()
  const error = await second
  t.true(EtcdError.is(error) && error.outcome === 'unknown')
  t.is(await sequence.last(), 1n)
  const refused = await t.throwsAsync(sequence.next())
  t.true(EtcdError.is(refused, 'FAILED_PRECONDITION') && refused.outcome === 'rejected')
})

test('ids of blocks are given once, across clients, for one request per block', async t => {
  const one = await player(t, server())
  const other = await player(t, server())
  const name = `${uniquePrefix(t)}ids`
  const mine = one.etcd.idBlocks(name, { size: 10 })
  const theirs = other.etcd.idBlocks(name, { size: 10 })
  const before = one.net.count(methods.txn)
  const ids = await Promise.all(
    Array.from({ length: 30 }, (_, index) => (index % 3 === 0 ? theirs : mine).next()),
  )
  t.is(new Set(ids).size, 30)
  t.is(one.net.count(methods.txn) - before, 2)
  const block = await mine.block()
  t.is(block.end - block.first, 10n)
  t.false(ids.some(id => id >= block.first && id < block.end))
  await t.throwsAsync(one.etcd.idBlocks(name, { size: 20 }).next(), { code: 'FAILED_PRECONDITION' })
  t.throws(() => one.etcd.idBlocks(name, { size: 0 }), { instanceOf: RangeError })
})

test('whoever does not wait for an id any more leaves the block to the others', async t => {
  const { etcd, net } = await player(t, server())
  const ids = etcd.idBlocks(`${uniquePrefix(t)}ids`, { size: 10 })
  const trap = net.stopRequests(methods.txn)
  const leave = new AbortController()
  const left = t.throwsAsync(ids.next({ signal: leave.signal }), { message: 'enough' })
  const other = ids.next()
  const call = await trap.caught()
  trap.off()
  leave.abort(new Error('enough'))
  await left
  await call.deliver()
  t.is(await other, 0n)
  t.is(await ids.next(), 1n)
  await t.throwsAsync(ids.next({ signal: leave.signal }), { message: 'enough' })
})

test('a versioned value is set only on top of what was seen, and updated by a function', async t => {
  const { etcd } = await player(t, server())
  const value = etcd.value(`${uniquePrefix(t)}config`)
  t.is(await value.get(), undefined)
  const first = await value.compareAndSet(0n, 'one')
  t.is(typeof first, 'bigint')
  t.is(await value.compareAndSet(0n, 'two'), undefined)
  t.is(typeof (await value.compareAndSet(first!, 'two')), 'bigint')
  await Promise.all(Array.from({ length: 10 }, () => value.update(current => `${current?.text()}+`)))
  t.is((await value.get())?.text(), `two${'+'.repeat(10)}`)
  await value.update(() => undefined)
  t.is(await value.get(), undefined)
})

test('a watched value tells what it is and every change, deletion included', async t => {
  const { etcd } = await player(t, server())
  const value = etcd.value(`${uniquePrefix(t)}config`)
  const seen: (string | undefined)[] = []
  const leave = new AbortController()
  const reason = await t.throwsAsync(
    (async () => {
      for await (const kv of value.watch({ signal: leave.signal })) {
        seen.push(kv?.text())
        if (seen.length === 1) {
          await value.set('one')
          await value.update(() => undefined)
          await value.set('two')
        }
        if (seen.length === 4) leave.abort(new Error('seen enough'))
      }
    })(),
  )
  t.is(reason?.message, 'seen enough')
  t.deepEqual(seen, [undefined, 'one', undefined, 'two'])
})

test('markers are cleared away by later commits', async t => {
  const { etcd } = await player(t, server())
  const p = uniquePrefix(t)
  const counter = etcd.counter(`${p}n`)
  for (let round = 0; round < 8; round++) await counter.add(1, { exactlyOnce: { prefix: `${p}markers/` } })
  const { kvs } = await etcd.range(prefix(`${p}markers/`))
  t.true(kvs.length <= 2, `${kvs.length} markers are left`)
  t.false(kvs.some(({ lease }) => lease === 0n))
  t.false(EtcdError.is(undefined))
})
