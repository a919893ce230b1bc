/** What a client of this package sees of the faults, over sockets. */
import { once } from 'node:events'
import net from 'node:net'
import test from 'ava'
import { type EmbeddedEtcd, type EmbeddedOptions, startEtcd } from '../../src/embedded/index.ts'
import { type ConnectOptions, connect, type Etcd, EtcdError, everything, prefix } from '../../src/index.ts'
import { startProxy, type TcpProxy } from '../support/tcp-proxy.ts'

interface Bench extends AsyncDisposable {
  readonly server: EmbeddedEtcd
  /** Between the client and the member it talks to: counts connections. */
  readonly proxy: TcpProxy
  readonly etcd: Etcd
  /** Sees the keys by another member, without a socket. */
  readonly witness: Etcd
}

async function bench(options: EmbeddedOptions = {}, client: ConnectOptions = {}): Promise<Bench> {
  const server = await startEtcd({ members: 2, ...options })
  const proxy = await startProxy(server.endpoints[0]!)
  const etcd = await connect(proxy.endpoint, client)
  const witness = await connect(server.endpoints[1]!, { transport: server.transport })
  return {
    server,
    proxy,
    etcd,
    witness,
    async [Symbol.asyncDispose]() {
      server.faults.heal()
      await Promise.all([etcd.close(), witness.close()])
      await proxy.close()
      await server.close()
    },
  }
}

/** Resolves when something more than before has gone to the server. */
async function arrived(proxy: TcpProxy, before: number): Promise<void> {
  while (proxy.forwarded('up') === before) await new Promise(resolve => setImmediate(resolve))
}

/** Both ends of a socket live in this process: after these turns each knows what the other did. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
}

/** Resolves with the names of the next `count` keys written. */
async function written(watch: ReturnType<Etcd['watch']>, count: number): Promise<string[]> {
  const names: string[] = []
  for await (const event of watch) {
    if (event.type === 'put') names.push(event.kv.name())
    if (names.length === count) break
  }
  return names
}

test('after a GOAWAY calls under way are answered, new ones take a new connection, and none is lost', async t => {
  await using all = await bench()
  const { server, proxy, etcd, witness } = all
  await etcd.put('first', '')
  const seen = witness.watch(prefix('k/'))
  await seen.ready
  server.faults.delay({ method: 'Put', replyMs: 2000, times: 10 })
  let answered = 0
  const under = Array.from({ length: 10 }, (_, at) => etcd.put(`k/${at}`, '').then(() => answered++))
  await written(seen, 10)
  t.is(answered, 0)
  const before = proxy.accepted
  server.faults.goAway()
  // A call that leaves before the client has read the GOAWAY is refused; one that only reads is made again.
  await etcd.get('first')
  t.true(proxy.accepted > before)
  await Promise.all(Array.from({ length: 10 }, (_, at) => etcd.put(`n/${at}`, '')))
  t.is(answered, 0, 'new calls did not wait for the old ones')
  await Promise.all(under)
  const { kvs } = await witness.range(everything)
  t.is(kvs.length, 21)
  t.true(kvs.every(kv => kv.version === 1n))
})

test('without a socket, too, calls under way are answered after a GOAWAY, and new ones take a new connection', async t => {
  await using server = await startEtcd()
  const [endpoint] = server.endpoints
  await using etcd = await connect(endpoint!, { transport: server.transport })
  await using witness = await connect(endpoint!, { transport: server.transport })
  const seen = witness.watch(prefix('k/'))
  await seen.ready
  server.faults.delay({ method: 'Put', replyMs: 500, times: 3 })
  let answered = 0
  const under = Array.from({ length: 3 }, (_, at) => etcd.put(`k/${at}`, '').then(() => answered++))
  await written(seen, 3)
  server.faults.goAway()
  await etcd.put('new', '')
  t.is(answered, 0, 'new calls did not wait for the old ones')
  await Promise.all(under)
  const { kvs } = await witness.range(prefix('k/'))
  t.deepEqual(
    kvs.map(kv => kv.version),
    [1n, 1n, 1n],
  )
})

test('without a socket, too, what goes on after a GOAWAY ends with its connection', async t => {
  await using server = await startEtcd()
  await using etcd = await connect(server.endpoints[0]!, { transport: server.transport })
  const { id } = await etcd.lease.grant(60)
  const leader = await etcd.serverElection.campaign('e', id, 'ada')
  const leaders = etcd.serverElection.observe('e')[Symbol.asyncIterator]()
  t.is((await leaders.next()).value?.text(), 'ada')
  server.faults.goAway()
  await etcd.get('new connection')
  await etcd.serverElection.proclaim(leader, 'eve')
  t.is((await leaders.next()).value?.text(), 'eve', 'the stream goes on')
  const end = t.throwsAsync(async () => leaders.next(), { code: 'UNAVAILABLE' })
  server.faults.disconnect()
  await end
})

test('a watch and a session outlive a GOAWAY', async t => {
  await using all = await bench()
  const { server, etcd, witness } = all
  const session = await etcd.session({ ttl: 5 })
  const watch = etcd.watch(prefix('k/'))
  await watch.ready
  for (let at = 0; at < 5; at++) {
    await witness.put(`k/${at}`, '')
    server.faults.goAway()
  }
  t.deepEqual(await written(watch, 5), ['k/0', 'k/1', 'k/2', 'k/3', 'k/4'])
  t.is(session.state, 'active')
  await session.close()
})

test('what a client observes through a connection that has gone away ends with the client', async t => {
  await using all = await bench()
  const { server, etcd } = all
  const { id } = await etcd.lease.grant(60)
  await etcd.serverElection.campaign('e', id, 'ada')
  const leaders = etcd.serverElection.observe('e')[Symbol.asyncIterator]()
  t.is((await leaders.next()).value?.text(), 'ada')
  server.faults.goAway()
  const pending = t.throwsAsync(async () => leaders.next(), { code: 'CLIENT_CLOSED' })
  await etcd.get('e')
  await etcd.close()
  await pending
})

test('a watch whose stream is cut goes on without a gap, on the connection it had', async t => {
  await using all = await bench()
  const { server, proxy, etcd, witness } = all
  const watch = etcd.watch(prefix('k/'))
  await watch.ready
  const before = proxy.accepted
  await witness.put('k/0', '')
  server.faults.cutStreams()
  await witness.put('k/1', '')
  server.faults.cutStreams(0)
  await witness.put('k/2', '')
  t.deepEqual(await written(watch, 3), ['k/0', 'k/1', 'k/2'])
  t.is(proxy.accepted, before)
})

test('without a leader writes wait for the next one, and a watch loses nothing', async t => {
  await using all = await bench({ leaderNoticeMs: 0 })
  const { server, proxy, etcd } = all
  const watch = etcd.watch(prefix('k/'))
  await watch.ready
  const find = server.faults.loseLeader()
  const before = proxy.forwarded('up')
  const order: string[] = []
  const put = etcd.put('k/0', '').then(() => order.push('written'))
  await arrived(proxy, before)
  order.push('found')
  find()
  await put
  t.deepEqual(order, ['found', 'written'])
  t.deepEqual(await written(watch, 1), ['k/0'])
})

test('a member that lags shows its past to who asks for no more, and makes the others wait', async t => {
  await using all = await bench()
  const { server, proxy, etcd, witness } = all
  const catchUp = server.faults.lag(0, Infinity)
  await witness.put('k', 'v')
  t.is(await etcd.get('k', { consistency: 'serializable' }), undefined)
  const before = proxy.forwarded('up')
  const order: string[] = []
  const read = etcd.get('k').then(kv => order.push(kv!.text()))
  await arrived(proxy, before)
  order.push('caught up')
  catchUp()
  await read
  t.deepEqual(order, ['caught up', 'v'])
})

test('what a paused member gets is done when it goes on, and not before', async t => {
  await using all = await bench()
  const { server, proxy, etcd, witness } = all
  const resume = server.faults.pause(0)
  const before = proxy.forwarded('up')
  const connections = proxy.accepted
  const put = etcd.put('k', 'v')
  await arrived(proxy, before)
  t.is(await witness.get('k'), undefined)
  resume()
  await put
  t.is((await witness.get('k'))?.text(), 'v')
  t.is(proxy.accepted, connections)
})

test('a connection that is reset before a paused member looked at it does no harm', async t => {
  await using server = await startEtcd()
  const resume = server.faults.pause()
  const [host, port] = server.endpoints[0]!.split(':')
  const sockets = Array.from({ length: 20 }, () => net.connect(Number(port), host))
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  await turns()
  for (const socket of sockets) socket.resetAndDestroy()
  await turns()
  resume()
  await using etcd = await connect(server.endpoints)
  t.is(await etcd.get('k'), undefined)
})

test('delays are felt on the way in and on the way out', async t => {
  await using all = await bench()
  const { server, etcd, witness } = all
  const watch = witness.watch('k')
  await watch.ready
  server.faults.delay({ method: 'Put', requestMs: 100, replyMs: 100 })
  const startMs = performance.now()
  const put = etcd.put('k', 'v').then(() => performance.now() - startMs)
  await written(watch, 1)
  const wroteMs = performance.now() - startMs
  const answeredMs = await put
  t.true(wroteMs >= 99, `${wroteMs} ms`)
  t.true(answeredMs >= 198, `${answeredMs} ms`)
})

for (const then of ['disconnect', 'silence'] as const) {
  test(`a put whose reply is lost by ${then} was carried out, and its caller cannot know`, async t => {
    await using all = await bench({}, { requestTimeoutMs: 2000 })
    const { server, etcd, witness } = all
    server.faults.loseReplies({ method: 'Put', times: 1, then })
    const error = await t.throwsAsync(etcd.put('k', 'v'))
    t.true(EtcdError.is(error), String(error))
    t.is((error as unknown as EtcdError).outcome, 'unknown')
    t.is((await witness.get('k'))?.text(), 'v')
    await etcd.put('k', 'w')
  })
}

test('a read whose reply is lost is asked again', async t => {
  await using all = await bench()
  const { server, etcd } = all
  await etcd.put('k', 'v')
  server.faults.loseReplies({ method: 'Range', times: 1 })
  t.is((await etcd.get('k'))?.text(), 'v')
})
