import test from 'ava'
import type { Link, UnaryOutcome } from '../../src/support/transport.ts'
import { toBytes } from '../../src/wire/bytes.ts'
import { EventType } from '../../src/wire/gen/kv.g.ts'
import type { WatchResponse } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { Cluster } from './cluster.ts'
import { run } from './judge.ts'
import { Network } from './network.ts'
import { planOf } from './plan.ts'
import { Random } from './random.ts'
import { startProcess } from './stage.ts'
import { Tampering } from './tampering.ts'
import { World } from './world.ts'

const MANY = 2000

test('a watch is not told of some deletions, is told of every put, and is told some revisions again', t => {
  const tampering = new Tampering(new Random(1))
  const stream = tampering.stream(methods.watch.path)!
  const told: WatchResponse[] = []
  for (let revision = 1; revision <= MANY; revision++)
    for (const one of stream.message(revisionOf(BigInt(revision), 'a put and a deletion')))
      told.push(methods.watch.response.decode(one))
  const kinds = (response: WatchResponse) => response.events.map(({ type }) => type).join()
  t.true(count(told, one => kinds(one) === '0') > 10)
  t.is(
    count(told, one => kinds(one) !== '0' && kinds(one) !== '0,1'),
    0,
  )
  const revisions = told.map(({ header }) => header!.revision)
  t.is(new Set(revisions).size, MANY)
  t.true(revisions.length > MANY + 10)
})

test('a watch is not told at all of what was nothing but deletions', t => {
  const stream = new Tampering(new Random(1)).stream(methods.watch.path)!
  let silent = 0
  for (let revision = 1; revision <= MANY; revision++)
    if (stream.message(revisionOf(BigInt(revision), 'a deletion')).length === 0) silent += 1
  t.true(silent > 10 && silent < MANY / 10, String(silent))
})

test('a lease that is gone is said to be renewed, as long as it was when it was there', t => {
  const stream = new Tampering(new Random(1)).stream(methods.leaseKeepAlive.path)!
  const { response } = methods.leaseKeepAlive
  const answer = (id: bigint, ttl: bigint) =>
    stream.message(response.encode({ id, ttl })).map(one => response.decode(one).ttl)
  t.deepEqual(answer(7n, 5n), [5n])
  const said = Array.from({ length: MANY }, () => answer(7n, 0n)).flat()
  t.true(said.includes(0n) && said.includes(5n))
  t.is(said.length, MANY)
  // Of a lease nobody has heard of there is nothing to say again.
  t.false(
    Array.from({ length: MANY }, () => answer(8n, 0n))
      .flat()
      .some(ttl => ttl !== 0n),
  )
})

test('some reads are made to answer from the past, and nothing else is', t => {
  const tampering = new Tampering(new Random(1))
  const { path, request } = methods.range
  const read = request.encode({ key: toBytes('key'), limit: 3n })
  const sent = Array.from({ length: MANY }, () => request.decode(tampering.request(path, read)))
  const stale = sent.filter(({ serializable }) => serializable)
  t.true(stale.length > 10 && stale.length < MANY / 10, String(stale.length))
  t.true(sent.every(({ key, limit }) => key.length === 3 && limit === 3n))
  const put = methods.put.request.encode({ key: toBytes('key') })
  t.true(
    Array.from({ length: MANY }, () => tampering.request(methods.put.path, put)).every(one => one === put),
  )
})

test('from when all is to heal nothing is tampered with any more', t => {
  const tampering = new Tampering(new Random(1))
  const watch = tampering.stream(methods.watch.path)!
  const renewals = tampering.stream(methods.leaseKeepAlive.path)!
  const { encode } = methods.leaseKeepAlive.response
  renewals.message(encode({ id: 7n, ttl: 5n }))
  tampering.stop()
  const read = methods.range.request.encode({ key: toBytes('key') })
  const event = revisionOf(1n, 'a deletion')
  const gone = encode({ id: 7n, ttl: 0n })
  for (let attempt = 0; attempt < MANY; attempt++) {
    if (tampering.request(methods.range.path, read) !== read) t.fail('a read')
    t.deepEqual(watch.message(event), [event])
    t.deepEqual(renewals.message(gone), [gone])
  }
})

test('what is told by a stream is tampered with on its way', async t => {
  const { world, cluster, connect } = await network(new Tampering(new Random(1)))
  const link = connect()
  await world.run(20)
  const told: bigint[] = []
  const stream = link.stream(
    methods.watch.path,
    {},
    {
      onMessage: message => {
        told.push(...methods.watch.response.decode(message).events.map(({ kv }) => kv!.modRevision))
      },
      onEnd: () => t.fail('the watch ended'),
    },
  )
  const value = { key: toBytes('key') }
  stream.send(methods.watch.request.encode({ request: { kind: 'create', value } }))
  await world.run(40)
  for (let ms = 0; ms < 200; ms++) world.after(ms, 'write', () => cluster.overwriteKey('key'))
  await world.run(1000)
  t.is(new Set(told).size, 200)
  t.true(told.length > 200 && told.length < 220, String(told.length))
})

test('what is tampered with is what crosses the network', async t => {
  const { world, cluster, connect } = await network(new Tampering(new Random(1)))
  const link = connect()
  await world.run(20)
  cluster.overwriteKey('key')
  // A member that has not caught up shows which reads ask it for no more than it has.
  const lift = cluster.faults.lag(0, Infinity)
  cluster.overwriteKey('other')
  const outcomes: UnaryOutcome[] = []
  for (let attempt = 0; attempt < 200; attempt++) ask(link, 'other', outcome => outcomes.push(outcome))
  await world.run(1000)
  const answers = outcomes.map(outcome => (outcome.kind === 'answer' ? outcome.message : undefined))
  t.true(answers.length > 0 && answers.length < 50, String(answers.length))
  for (const answer of answers) t.is(methods.range.response.decode(answer!).count, 0n)
  lift()
})

test('a play on servers with faults tampers, one on sound servers does not', async t => {
  const plan = { ...planOf(3, 'kv'), faults: ['member-lags'] as const, seconds: 40, members: 3, tokenTtl: 0 }
  const hashes = new Set<string>()
  for (const hostile of [false, true]) hashes.add((await run({ ...plan, hostile })).played.hash)
  t.is(hashes.size, 2)
})

function revisionOf(revision: bigint, what: 'a put and a deletion' | 'a deletion'): Uint8Array {
  const kv = { key: toBytes('key'), modRevision: revision }
  const deletion = { type: EventType.delete, kv }
  return methods.watch.response.encode({
    header: { revision },
    watchId: 1n,
    events: what === 'a deletion' ? [deletion] : [{ type: EventType.put, kv }, deletion],
  })
}

async function network(tampering: Tampering) {
  const world = new World(1)
  const plan = { ...planOf(1, 'kv'), members: 1, leaseScanMs: 0, tokenTtl: 0 }
  const cluster = new Cluster(world, plan)
  const weather = { latencyMs: 1, spikeChance: 0, spikeMs: 0, inBatches: false }
  const roads = new Network(world, { server: cluster.transport, weather, tampering })
  const process = startProcess({ plan, world } as Parameters<typeof startProcess>[0], 'p1')
  const connect = (): Link => {
    const address = cluster.endpoints[0]!
    const endpoint = { url: `http://${address}`, address, scheme: 'tcp', tls: false } as const
    const pings = { pingIntervalMs: 60_000, pingTimeoutMs: 60_000 }
    return roads.transportOf(process).connect(endpoint, pings, () => {})
  }
  return { world, cluster, connect }
}

function ask(link: Link, key: string, settled: (outcome: UnaryOutcome) => void): void {
  const { path, request } = methods.range
  link.unary(path, request.encode({ key: toBytes(key) }), {}, settled)
}

function count<Item>(items: readonly Item[], is: (item: Item) => boolean): number {
  return items.filter(is).length
}
