import test from 'ava'
import { connect, type Etcd, type LeaderInfo } from '../../../src/index.ts'
import { text } from '../../../src/wire/bytes.ts'
import { goPeer } from '../../support/go-peer.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'

const server = useEtcd(test)

test('Go elections and ours are won in order of arrival, alternating, and both see each leader', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}election`
  await using etcd = await connect(endpoint)
  await using one = await etcd.session()
  await using two = await etcd.session()
  const observer = peer.start('observe', { endpoint, name })
  await observer.next('ready')
  const seen: (string | undefined)[] = []
  const enough = new AbortController()
  const observing = (async () => {
    for await (const leader of etcd.election(name).observe({ signal: enough.signal }))
      seen.push(leader?.text())
  })().catch(() => {})

  const first = await one.election(name).campaign('ours 1')
  t.is((await observer.next('leader')).value, 'ours 1')
  const second = peer.start('elect', { endpoint, name, value: 'go 1' })
  await places(etcd, name, 2)
  const third = two.election(name).campaign('ours 2')
  await places(etcd, name, 3)
  const fourth = peer.start('elect', { endpoint, name, value: 'go 2' })
  await places(etcd, name, 4)

  await first.proclaim('ours 1, changed')
  t.is((await observer.next('leader')).value, 'ours 1, changed')
  await first.resign()
  const secondToken = BigInt((await second.next('elected')).token!)
  t.true(secondToken > first.fencingToken)
  t.is((await observer.next('leader')).value, 'go 1')
  t.is((await etcd.election(name).leader())!.createRevision, secondToken)
  second.say('proclaim go 1, changed')
  t.is((await observer.next('leader')).value, 'go 1, changed')
  second.say('resign')
  const leadership = await third
  t.true(leadership.fencingToken > secondToken)
  t.is((await observer.next('leader')).value, 'ours 2')
  t.false(fourth.events.some(({ event }) => event === 'elected'))
  fourth.say('leader')
  await leadership.resign()
  t.true(BigInt((await fourth.next('elected')).token!) > leadership.fencingToken)
  t.is((await fourth.next('leader')).value, 'go 2')
  for (const process of [second, fourth, observer]) t.like(await process.finish(), { code: 0 })
  while (seen.at(-1) !== undefined || seen.length < 7) await etcd.get('nothing')
  enough.abort()
  await observing
  const first2 = seen.indexOf('ours 1')
  t.deepEqual(seen.slice(first2), [
    'ours 1',
    'ours 1, changed',
    'go 1',
    'go 1, changed',
    'ours 2',
    'go 2',
    undefined,
  ])
})

test('a Go program goes on with a leadership of ours, and we with one of a Go program', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}election`
  await using etcd = await connect(endpoint)
  const session = await etcd.session({ ttl: 30 })
  const { key, fencingToken } = await session.election(name).campaign('ours')
  const lease = await session.orphan()
  const go = peer.start('resume', {
    endpoint,
    name,
    ttl: 30,
    'lease-id': lease.toString(16),
    key: text(key),
    token: String(fencingToken),
  })
  await go.next('resumed')
  go.say('proclaim now of Go')
  await go.next('proclaimed')
  t.like(leaderOf(await etcd.election(name).leader()), { value: 'now of Go', token: fencingToken, lease })
  await go.kill()

  const back = await etcd.session({ resume: lease })
  const leadership = (await back.election(name).resume({ key, revision: fencingToken }))!
  t.is(leadership.fencingToken, fencingToken)
  t.is(text(leadership.value), 'now of Go')
  await leadership.proclaim('ours again')
  t.is((await etcd.election(name).leader())!.text(), 'ours again')
  await back.close()

  const theirs = peer.start('elect', { endpoint, name, ttl: 30, value: 'born in Go', 'lease-id': '7000f2' })
  const elected = await theirs.next('elected')
  await theirs.kill()
  await using taken = await etcd.session({ resume: 0x7000f2n })
  const revision = BigInt(elected.token!)
  const adopted = (await taken.election(name).resume({ key: Buffer.from(elected.key!), revision }))!
  t.is(text(adopted.value), 'born in Go')
  await adopted.resign()
  t.is(await etcd.election(name).leader(), undefined)
})

test('a Go program that resigns what we resumed and gave up does no harm', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}election`
  await using etcd = await connect(endpoint)
  await using session = await etcd.session()
  await using other = await etcd.session()
  const old = await session.election(name).campaign('ours')
  await old.resign()
  const leadership = await other.election(name).campaign('next')
  const go = peer.start('resume', {
    endpoint,
    name,
    key: text(old.key),
    token: String(old.fencingToken),
    'lease-id': session.leaseId.toString(16),
  })
  await go.next('resumed')
  go.say('resign')
  await go.next('resigned')
  t.like(await go.finish(), { code: 0 })
  t.like(leaderOf(await etcd.election(name).leader()), { token: leadership.fencingToken })
})

test('lead waits for a Go leader, is followed by a Go candidate, and leads again after it', async t => {
  const peer = await goPeer()
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}election`
  await using etcd = await connect(endpoint)
  const first = peer.start('elect', { endpoint, name, value: 'go 1' })
  const firstToken = BigInt((await first.next('elected')).token!)
  const tokens: bigint[] = []
  const stopping = new AbortController()
  let resign = () => {}
  const leading = etcd.lead(
    name,
    term => {
      tokens.push(term.fencingToken)
      return new Promise<void>(resolve => {
        resign = resolve
        term.signal.addEventListener('abort', () => resolve(), { once: true })
      })
    },
    { signal: stopping.signal, value: 'ours', backoff: { initialMs: 0, maxMs: 1 } },
  )
  first.say('resign')
  while (tokens.length < 1) await etcd.get('nothing')
  t.true(tokens[0]! > firstToken)
  const second = peer.start('elect', { endpoint, name, value: 'go 2' })
  await places(etcd, name, 2)
  resign()
  const secondToken = BigInt((await second.next('elected')).token!)
  t.true(secondToken > firstToken)
  t.is(tokens.length, 1)
  second.say('resign')
  while (tokens.length < 2) await etcd.get('nothing')
  t.true(tokens[1]! > secondToken)
  stopping.abort()
  await leading
  for (const process of [first, second]) t.like(await process.finish(), { code: 0 })
})

/** Resolves when so many stand in line, the leader among them. */
async function places(etcd: Etcd, name: string, count: number): Promise<void> {
  while ((await etcd.election(name).contenders()).length !== count);
}

function leaderOf(leader: LeaderInfo | undefined): object {
  return { value: leader?.text(), token: leader?.createRevision, lease: leader?.leaseId }
}
