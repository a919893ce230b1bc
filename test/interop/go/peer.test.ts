import test from 'ava'
import { goPeer } from '../../support/go-peer.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'

const etcd = useEtcd(test)

test('Go processes that share a lock exclude each other, with ever rising tokens', async t => {
  const peer = await goPeer()
  const { endpoint } = etcd()
  const name = `${uniquePrefix(t)}lock`
  const loops = [1, 2, 3].map(() =>
    peer.start('lock-loop', { endpoint, name, rounds: 4, ttl: 10, guard: `${name}-guard` }),
  )
  for (const loop of loops) t.like(await loop.exited, { code: 0 })
  const acquisitions = loops
    .flatMap(loop => loop.events)
    .filter(({ event }) => event === 'acquired')
    .map(({ ns, token }) => ({ ns: BigInt(ns), token: BigInt(token!) }))
    .sort((one, other) => (one.ns < other.ns ? -1 : 1))
  t.is(acquisitions.length, 12)
  t.true(acquisitions.every(({ token }, index) => index === 0 || token > acquisitions[index - 1]!.token))
})

test('a Go process that finds another inside says so and fails', async t => {
  const peer = await goPeer()
  const { endpoint } = etcd()
  const name = `${uniquePrefix(t)}lock`
  await etcd().etcdctl('put', `${name}-guard`, 'busy:somebody')
  const loop = peer.start('lock-loop', { endpoint, name, guard: `${name}-guard` })
  t.is((await loop.next('overlap')).guard, 'busy:somebody')
  t.like(await loop.exited, { code: 3 })
})

test('a held lock is refused to tryLock and handed over at the unlock', async t => {
  const peer = await goPeer()
  const { endpoint } = etcd()
  const name = `${uniquePrefix(t)}lock`
  const holder = peer.start('hold', { endpoint, name })
  const held = await holder.next('acquired')
  const refused = peer.start('trylock', { endpoint, name })
  t.is((await refused.next('not-owned')).owner, held.key)
  t.like(await refused.exited, { code: 0 })

  holder.say('unlock')
  await holder.next('released')
  const owner = peer.start('trylock', { endpoint, name })
  t.true(BigInt((await owner.next('owned')).token!) > BigInt(held.token!))
  t.like(await owner.finish(), { code: 0 })
  t.is(await etcd().etcdctl('get', '--prefix', `${name}/`), '')
})

test('a lease id that begins with a zero digit loses it in the key', async t => {
  const peer = await goPeer()
  const { endpoint } = etcd()
  const name = `${uniquePrefix(t)}lock`
  const lease = '0abc0000000000f1'
  const granted = peer.start('lease-id', { endpoint, name, 'lease-id': lease, ttl: 30 })
  t.is((await granted.next('granted')).key, `${name}/abc0000000000f1`)
  t.like(await granted.exited, { code: 0 })
  const holder = peer.start('hold', { endpoint, name, 'lease-id': lease, ttl: 30 })
  t.is((await holder.next('acquired')).key, `${name}/abc0000000000f1`)
  t.like(await holder.finish(), { code: 0 })
})

test('an elected Go process proclaims to observers and makes room by resigning', async t => {
  const peer = await goPeer()
  const { endpoint } = etcd()
  const name = `${uniquePrefix(t)}election`
  const observer = peer.start('observe', { endpoint, name })
  await observer.next('ready')
  const first = peer.start('elect', { endpoint, name, value: 'one' })
  await first.next('elected')
  t.is((await observer.next('leader')).value, 'one')
  const second = peer.start('elect', { endpoint, name, value: 'two' })
  const campaigning = await second.next('campaigning')
  first.say('proclaim one and a half')
  await first.next('proclaimed')
  t.is((await observer.next('leader')).value, 'one and a half')
  // The second must stand in line before the first goes, or there would be nobody to wait for.
  while (!(await etcd().etcdctl('get', campaigning.key!)).includes('two'));
  first.say('resign')
  await first.next('resigned')
  await second.next('elected')
  t.is((await observer.next('leader')).value, 'two')
  second.say('leader')
  t.is((await second.next('leader')).value, 'two')
  for (const process of [first, second, observer]) t.like(await process.finish(), { code: 0 })
})
