import test from 'ava'
import { connect, type Etcd, type Hold } from '../../../src/index.ts'
import { goPeer } from '../../support/go-peer.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'

const server = useEtcd(test)

test('Go and we wait for each other, in order of arrival', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  await using one = await etcd.session()
  await using two = await etcd.session()

  const first = await one.mutex(name).lock()
  const second = peer.start('hold', { endpoint, name })
  await places(etcd, name, 2)
  const third = two.mutex(name).lock()
  await places(etcd, name, 3)
  const fourth = peer.start('hold', { endpoint, name })
  await places(etcd, name, 4)

  await first.unlock()
  const secondToken = BigInt((await second.next('acquired')).token!)
  t.true(secondToken > first.fencingToken)
  second.say('unlock')
  const hold = await third
  t.true(hold.fencingToken > secondToken)
  t.false(fourth.events.some(({ event }) => event === 'acquired'))
  await hold.unlock()
  t.true(BigInt((await fourth.next('acquired')).token!) > hold.fencingToken)
  for (const process of [second, fourth]) t.like(await process.finish(), { code: 0 })
})

test('a Go holder that is killed is followed by us once its lease is over', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  await using session = await etcd.session()
  const holder = peer.start('hold', { endpoint, name, ttl: 2 })
  const { token, key } = await holder.next('acquired')
  const waiting = session.mutex(name).lock()
  await places(etcd, name, 2)
  await holder.kill()
  const hold = await waiting
  t.true(hold.fencingToken > BigInt(token!))
  t.is(await etcd.get(key!), undefined)
})

test('a lease id that begins with a zero digit names the same key in both languages', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  const ours = 0x0abc0000000000f2n
  await etcd.lease.grant(30, { id: ours })
  await using session = await etcd.session({ resume: ours })

  const hold = await session.mutex(name).lock()
  t.is(Buffer.from(hold.key).toString(), `${name}/abc0000000000f2`)
  const go = peer.start('hold', { endpoint, name, ttl: 30, 'lease-id': '0abc0000000000f1' })
  await places(etcd, name, 2)
  t.like((await etcd.mutex(name).waiters())[0], { leaseId: 0x0abc0000000000f1n, foreign: false })

  const next = await handOver(hold, go.next('acquired'))
  t.is(next.key, `${name}/abc0000000000f1`)
  const again = session.mutex(name).lock()
  await places(etcd, name, 2)
  go.say('unlock')
  const back = await again
  t.true(back.fencingToken > BigInt(next.token!))
  t.is(Buffer.from(back.key).toString(), `${name}/abc0000000000f2`)
  t.like(await go.finish(), { code: 0 })
})

test('a Go process finds the very key of our session when it uses the same lease, zero digit and all', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  const id = 0x00c0ffee00000003n
  await etcd.lease.grant(30, { id })
  await using session = await etcd.session({ resume: id })
  const hold = await session.mutex(name).lock()
  const go = peer.start('hold', { endpoint, name, ttl: 30, 'lease-id': '00c0ffee00000003' })
  // Same lease, same key: to Go it is a lock the session has already, under the same token.
  t.like(await go.next('acquired'), {
    key: Buffer.from(hold.key).toString(),
    token: String(hold.fencingToken),
  })
  await go.kill()
})

test("Go's TryLock leaves our holder and our waiters alone, however often it is tried", async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  await using one = await etcd.session()
  const holder = await one.mutex(name).lock()

  const tried = peer.start('trylock', { endpoint, name })
  t.is((await tried.next('not-owned')).owner, Buffer.from(holder.key).toString())
  t.like(await tried.exited, { code: 0 })
  t.deepEqual(await etcd.mutex(name).waiters(), [])
  t.true(holder.held)

  // Sessions of ours hand the lock on while Go processes put and delete keys of theirs in between.
  const sessions = await Promise.all([1, 2, 3].map(() => etcd.session()))
  const tokens: bigint[] = []
  let inside = 0
  const ours = sessions.map(async session => {
    for (let round = 0; round < 20; round++) {
      await session.mutex(name).run(async ({ fencingToken, held }) => {
        inside += 1
        if (inside !== 1 || !held) t.fail('two inside')
        tokens.push(fencingToken)
        await etcd.put(`${name}-work`, String(round))
        inside -= 1
      })
    }
  })
  await places(etcd, name, 1 + sessions.length)
  await holder.unlock()
  let over = false
  const all = Promise.all(ours).finally(() => {
    over = true
  })
  let refused = 0
  while (!over) {
    const tries = [1, 2].map(() => peer.start('trylock', { endpoint, name }))
    for (const process of tries) {
      // It ends by itself when refused, and lets go at the end of its stdin when it was the first in line.
      t.like(await process.finish(), { code: 0 })
      refused += process.events.filter(({ event }) => event === 'not-owned').length
    }
  }
  await all
  t.true(refused > 0)
  t.is(tokens.length, 60)
  t.true(tokens.every((token, index) => index === 0 || token > tokens[index - 1]!))
  t.is(await etcd.mutex(name).holder(), undefined)
})

test("our tryLock and Go's TryLock refuse what the other holds, and take what is free", async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  await using session = await etcd.session()
  const go = peer.start('trylock', { endpoint, name })
  const owned = await go.next('owned')
  t.is(await session.mutex(name).tryLock(), undefined)
  t.deepEqual(await etcd.mutex(name).waiters(), [])
  t.like(await go.finish(), { code: 0 })
  const hold = await session.mutex(name).tryLock()
  t.true(hold !== undefined && hold.fencingToken > BigInt(owned.token!))
})

test('a mutex of ours and an election of Go of the same name exclude each other', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}both`
  await using etcd = await connect(endpoint)
  await using session = await etcd.session()
  const hold = await session.mutex(name).lock()
  const candidate = peer.start('elect', { endpoint, name, value: 'me' })
  await places(etcd, name, 2)
  t.false(candidate.events.some(({ event }) => event === 'elected'))
  await hold.unlock()
  const elected = await candidate.next('elected')
  t.true(BigInt(elected.token!) > hold.fencingToken)
  const waiting = session.mutex(name).lock()
  await places(etcd, name, 2)
  candidate.say('resign')
  t.true((await waiting).fencingToken > BigInt(elected.token!))
  t.like(await candidate.finish(), { code: 0 })
})

/** Resolves when so many stand in line, the holder among them. */
async function places(etcd: Etcd, name: string, count: number): Promise<void> {
  const mutex = etcd.mutex(name)
  for (;;) {
    const holder = await mutex.holder()
    const waiters = await mutex.waiters()
    if (holder !== undefined && waiters.length === count - 1) return
  }
}

async function handOver<Next>(hold: Hold, next: Promise<Next>): Promise<Next> {
  await hold.unlock()
  return next
}
