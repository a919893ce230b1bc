import http2 from 'node:http2'
import net from 'node:net'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { startEtcd } from '../../src/embedded/index.ts'
import { connect, prefix } from '../../src/index.ts'
import { toBytes } from '../../src/wire/bytes.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, startDirect } from './direct.ts'

test('a client reaches it over a socket and without one, and both see the same keys', async t => {
  await using server = await startEtcd()
  await using over = await connect(server.endpoints)
  await using direct = await connect(server.endpoints, { transport: server.transport })
  await over.put('a', 'v')
  t.is((await direct.get('a'))?.text(), 'v')
  const watch = over.watch(prefix('w/'))
  await watch.ready
  await direct.put('w/1', 'x')
  for await (const event of watch) {
    t.is(event.type, 'put')
    break
  }
})

test('members share their keys, and a client outlives the one it talks to', async t => {
  await using server = await startEtcd({ members: 3 })
  t.is(new Set(server.endpoints).size, 3)
  await using etcd = await connect(server.endpoints)
  await etcd.put('a', 'v')
  for (const member of [0, 1, 2]) {
    const pause = server.faults.dropRequests({ member })
    server.faults.disconnect(member)
    t.is((await etcd.get('a'))?.text(), 'v')
    pause()
  }
})

test('it starts in less than fifty milliseconds', async t => {
  const times: number[] = []
  for (let round = 0; round < 5; round++) {
    const startedMs = performance.now()
    const server = await startEtcd()
    times.push(performance.now() - startedMs)
    await server.close()
  }
  t.true(Math.min(...times) < 50, `${times}`)
})

test('after close its port is free, its sockets are gone and no timer is left', async t => {
  const runtime = new FakeRuntime()
  const server = await startEtcd({ runtime, watchTickMs: 100, progressNotifyMs: 1000 })
  const etcd = await connect(server.endpoints)
  await etcd.lease.grant(60)
  await etcd.put('a', '1')
  const watch = etcd.watch('a')
  await watch.ready
  server.faults.lag(0, 50)
  void etcd.put('a', '2').catch(() => {})
  server.faults.delay({ requestMs: 1000, replyMs: 1000 })
  void etcd.put('a', '3').catch(() => {})
  t.true(runtime.pendingTimers > 0)
  await Promise.all([server.close(), server.close()])
  t.is(runtime.pendingTimers, 0)
  const port = Number(server.endpoints[0]!.split(':')[1])
  await t.throwsAsync(
    new Promise((resolve, reject) => {
      net.connect(port, '127.0.0.1').once('connect', resolve).once('error', reject)
    }),
    { code: 'ECONNREFUSED' },
  )
  await etcd.close()
})

test('without sockets nothing is left either', async t => {
  const runtime = new FakeRuntime()
  const { server, caller } = await startDirect({ runtime })
  await caller.call(methods.leaseGrant, { ttl: 60n })
  caller
    .stream(methods.watch)
    .send({ request: { kind: 'create', value: { key: toBytes('a'), progressNotify: true } } })
  await arrive()
  t.is(runtime.pendingTimers, 2)
  server.faults.delay({ requestMs: 1000 })
  caller.call(methods.put, { key: toBytes('a') }).catch(() => {})
  await arrive()
  t.is(runtime.pendingTimers, 3)
  await server.close()
  t.is(runtime.pendingTimers, 0)
})

test('a watch whose stream breaks while it is told that it is one leaves nothing behind', async t => {
  const runtime = new FakeRuntime()
  const { server, caller } = await startDirect({ runtime })
  server.faults.loseReplies({ method: 'Watch' })
  const stream = caller.stream(methods.watch)
  stream.send({ request: { kind: 'create', value: { key: toBytes('a'), progressNotify: true } } })
  await arrive()
  t.is(stream.end?.status, 14)
  t.is(runtime.pendingTimers, 0)
  await server.close()
})

test('a port in use and wrong options are told apart, in words', async t => {
  await using server = await startEtcd()
  const port = Number(server.endpoints[0]!.split(':')[1])
  await t.throwsAsync(startEtcd({ port }), {
    message: `startEtcd: cannot listen on 127.0.0.1:${port}: the port is in use`,
  })
  await t.throwsAsync(startEtcd({ port: 70_000 }), { instanceOf: RangeError })
  await t.throwsAsync(startEtcd({ port: 1234, members: 3 }), { instanceOf: RangeError })
  await t.throwsAsync(startEtcd({ members: 0 }), { instanceOf: RangeError })
  await t.throwsAsync(startEtcd({ prot: 1 } as object), {
    instanceOf: TypeError,
    message: /unknown option 'prot'/,
  })
  await t.throwsAsync(startEtcd({ maxTxnOps: 0 }), { instanceOf: RangeError })
})

test('a server starts with what another one knew', async t => {
  await using before = await startEtcd({ port: false })
  await using old = await connect(before.endpoints, { transport: before.transport })
  const lease = await old.lease.grant(60)
  await old.put('a', '1')
  await old.put('a', '2', { lease: lease.id })
  const parts: Uint8Array[] = []
  for await (const part of old.maintenance.snapshot()) parts.push(part)
  const snapshot = Buffer.concat(parts)
  await using after = await startEtcd({ port: false, snapshot })
  // Whose bytes they are may use them for something else.
  snapshot.fill(0)
  await using etcd = await connect(after.endpoints, { transport: after.transport })
  const kv = await etcd.get('a')
  t.like(kv, { modRevision: 3n, version: 2n, lease: lease.id })
  t.deepEqual([kv?.name(), kv?.text()], ['a', '2'])
  t.is((await etcd.get('a', { revision: 2n }))?.text(), '1')
  t.is((await etcd.put('a', '3')).revision, 4n)
  await t.throwsAsync(startEtcd({ snapshot: new Uint8Array(600) }), { instanceOf: TypeError })
})

test('a message too large is refused in words of etcd, and a much larger one before it is unpacked', async t => {
  await using server = await startEtcd()
  const refusals = await Promise.all(
    [3 * 2 ** 20, 64 * 2 ** 20].map(bytes => askCompressed(server.endpoints[0]!, new Uint8Array(bytes))),
  )
  t.like(refusals, [
    { status: '8', message: 'grpc: received message larger than max (3145728 vs. 2097152)' },
    { status: '8', message: 'Received message that decompresses to a size larger than 18874368' },
  ])
})

test('the same random numbers make the same server', async t => {
  const headers = await Promise.all(
    [1, 2].map(async () => {
      const { caller } = await startDirect({ runtime: new FakeRuntime() })
      const { header, id } = await caller.call(methods.leaseGrant, { ttl: 60n })
      return { header, id }
    }),
  )
  t.deepEqual(headers[0], headers[1])
})

test('errors of etcd reach a client over a socket with their status and words', async t => {
  await using server = await startEtcd()
  await using etcd = await connect(server.endpoints)
  const error = await t.throwsAsync(etcd.put('a', 'v', { lease: 99n }))
  t.like(error, { code: 'LEASE_NOT_FOUND', grpcStatus: 5 })
})

/** How a call ends whose request comes packed. */
async function askCompressed(
  endpoint: string,
  message: Uint8Array,
): Promise<{ readonly status: unknown; readonly message: string }> {
  const session = http2.connect(`http://${endpoint}`)
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': methods.put.path,
      'content-type': 'application/grpc',
      'grpc-encoding': 'gzip',
      te: 'trailers',
    })
    const packed = gzipSync(message)
    const frame = Buffer.alloc(5 + packed.length)
    frame.writeUInt8(1, 0)
    frame.writeUInt32BE(packed.length, 1)
    frame.set(packed, 5)
    stream.end(frame)
    // A refusal that is all there is comes in the headers.
    const ended = await new Promise<http2.IncomingHttpHeaders>((resolve, reject) => {
      const look = (headers: http2.IncomingHttpHeaders) => {
        if (headers['grpc-status'] !== undefined) resolve(headers)
      }
      stream.on('response', look).on('trailers', look).on('error', reject).resume()
    })
    return { status: ended['grpc-status'], message: decodeURIComponent(String(ended['grpc-message'])) }
  } finally {
    session.destroy()
  }
}
