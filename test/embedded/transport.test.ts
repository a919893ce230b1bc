import test from 'ava'
import { grpcTransport } from '../../src/client/grpc-transport.ts'
import { startEtcd } from '../../src/embedded/index.ts'
import { connect } from '../../src/index.ts'
import { deferred } from '../../src/support/deferred.ts'
import type { LinkState, TransportFailure, UnaryOutcome } from '../../src/support/transport.ts'
import { toBytes } from '../../src/wire/bytes.ts'
import { methods } from '../../src/wire/methods.ts'
import { arrive, connectTo, startDirect } from './direct.ts'

const put = (key: string) => methods.put.request.encode({ key: toBytes(key) })
const create = methods.watch.request.encode({ request: { kind: 'create', value: { key: toBytes('a') } } })

test('nothing is answered, and nothing looked at, before the call has returned', async t => {
  const { caller } = await startDirect()
  const outcomes: UnaryOutcome[] = []
  caller.link.unary(methods.put.path, put('a'), {}, outcome => outcomes.push(outcome))
  t.is(outcomes.length, 0)
  await Promise.resolve()
  t.is(outcomes.length, 0)
  await arrive()
  t.is(outcomes[0]?.kind, 'answer')
  t.is(outcomes.length, 1)
})

test('what one link carries stays in order', async t => {
  const { caller } = await startDirect()
  const seen: string[] = []
  const events = { onMessage: () => void seen.push('watch'), onEnd: () => void seen.push('end') }
  caller.link.stream(methods.watch.path, {}, events).send(create)
  for (let at = 0; at < 3; at++) caller.link.unary(methods.put.path, put('a'), {}, () => seen.push('put'))
  await arrive()
  // Created, then each event before the answer to the put that made it.
  t.deepEqual(seen, ['watch', 'watch', 'put', 'watch', 'put', 'watch', 'put'])
})

test('a call cancelled before it left was not sent, and is not carried out', async t => {
  const { caller } = await startDirect()
  const outcomes: UnaryOutcome[] = []
  caller.link.unary(methods.put.path, put('a'), {}, outcome => outcomes.push(outcome)).cancel()
  await arrive()
  t.like(outcomes, [{ kind: 'failure', failure: { status: 1, sent: false } }])
  t.is(outcomes.length, 1)
  t.is((await caller.call(methods.range, { key: toBytes('a') })).count, 0n)
})

test('a cancelled stream ends once, and its watches with it', async t => {
  const { caller } = await startDirect()
  const ends: TransportFailure[] = []
  let messages = 0
  const events = {
    onMessage: () => void messages++,
    onEnd: (failure: TransportFailure) => void ends.push(failure),
  }
  const stream = caller.link.stream(methods.watch.path, {}, events)
  stream.send(create)
  await arrive()
  stream.cancel()
  stream.cancel()
  await caller.call(methods.put, { key: toBytes('a') })
  await arrive()
  t.is(messages, 1)
  t.like(ends, [{ status: 1, sent: true }])
  t.is(ends.length, 1)
})

test('a call that comes to a link that broke ends with it, and is not carried out', async t => {
  const { server, caller } = await startDirect()
  server.faults.disconnect()
  const outcomes: UnaryOutcome[] = []
  caller.link.unary(methods.put.path, put('a'), {}, outcome => outcomes.push(outcome))
  t.is(outcomes.length, 0)
  await arrive()
  t.like(outcomes, [{ kind: 'failure', failure: { status: 14 } }])
  const other = await connectTo(server.transport, server.endpoints[0]!)
  t.is((await other.call(methods.range, { key: toBytes('a') })).count, 0n)
})

test('a call that crosses a GOAWAY is answered, and breaks with its connection', async t => {
  const { server, caller } = await startDirect()
  server.faults.goAway()
  await caller.call(methods.put, { key: toBytes('a') })
  server.faults.pause()
  const answer = caller.call(methods.put, { key: toBytes('a') })
  await arrive()
  server.faults.disconnect()
  t.like(await t.throwsAsync(answer), { failure: { status: 14, sent: true } })
})

test('closing a link fails every call on it, once', async t => {
  const { caller } = await startDirect()
  const outcomes: UnaryOutcome[] = []
  const ends: TransportFailure[] = []
  caller.link
    .stream(methods.watch.path, {}, { onMessage() {}, onEnd: end => void ends.push(end) })
    .send(create)
  await arrive()
  caller.link.unary(methods.put.path, put('a'), {}, outcome => outcomes.push(outcome))
  caller.link.close()
  t.is(caller.link.state.kind, 'closed')
  await arrive()
  t.like(outcomes, [{ kind: 'failure', failure: { status: 14, sent: false } }])
  t.like(ends, [{ status: 14, sent: true }])
})

test('a reader that takes its time is brought the next message when it is done', async t => {
  const { caller } = await startDirect()
  const seen: string[] = []
  let done: () => void = () => {}
  const stream = caller.link.stream(
    methods.watch.path,
    {},
    {
      onMessage: () => {
        seen.push('message')
        return new Promise<void>(resolve => {
          done = resolve
        })
      },
      onEnd() {},
    },
  )
  stream.send(create)
  await caller.call(methods.put, { key: toBytes('a') })
  await arrive()
  t.is(seen.length, 1)
  done()
  await arrive()
  t.is(seen.length, 2)
})

test('an address nobody serves, and a server that closed, are no links', async t => {
  const { server } = await startDirect()
  await t.throwsAsync(connectTo(server.transport, 'elsewhere:2379'), {
    message: 'no server at elsewhere:2379',
  })
  const [address] = server.endpoints
  await server.close()
  const error = await t.throwsAsync(connectTo(server.transport, address!))
  t.like(error, { failure: { status: 14, sent: false } })
})

test('a server that closes ends its links and what is on them', async t => {
  const { server, caller } = await startDirect()
  const ends: TransportFailure[] = []
  const states: LinkState['kind'][] = []
  const endpoint = { url: '', address: server.endpoints[0]!, scheme: 'tcp', tls: false } as const
  server.transport.connect(endpoint, { pingIntervalMs: 1, pingTimeoutMs: 1 }, state =>
    states.push(state.kind),
  )
  caller.link
    .stream(methods.watch.path, {}, { onMessage() {}, onEnd: end => void ends.push(end) })
    .send(create)
  await arrive()
  await server.close()
  await arrive()
  t.deepEqual(states, ['ready', 'closed'])
  t.is(ends.length, 1)
  t.is(ends[0]?.status, 14)
})

for (const over of ['a socket', 'no socket'] as const) {
  test(`a watch nobody reads is ended behind a bounded backlog, and goes on from there over ${over}`, async t => {
    await using server = await startEtcd()
    await using writer = await connect(server.endpoints, { transport: server.transport })
    const transport = over === 'a socket' ? grpcTransport() : server.transport
    const { link } = await connectTo(transport, server.endpoints[0]!)
    const gate = deferred<void>()
    const ended = deferred<TransportFailure>()
    const revisions: bigint[] = []
    const watch = (from: bigint, pace: Promise<void> | undefined, enough: () => void, end: typeof ended) => {
      const request = { kind: 'create', value: { key: toBytes('a'), startRevision: from } } as const
      const events = {
        onMessage(bytes: Uint8Array) {
          const { events } = methods.watch.response.decode(bytes)
          for (const { kv } of events) revisions.push(kv!.modRevision)
          enough()
          return events.length > 0 ? pace : undefined
        },
        onEnd: end.resolve,
      }
      link.stream(methods.watch.path, {}, events).send(methods.watch.request.encode({ request }))
    }
    const created = deferred<void>()
    watch(0n, gate.promise, created.resolve, ended)
    await created.promise
    const value = new Uint8Array(1024 * 1024)
    for (let at = 0; at < 100; at++) await writer.put('a', value)
    gate.resolve()
    t.like(await ended.promise, { status: 14, message: 'Connection dropped' })
    const before = revisions.length
    t.true(before >= 64 && before < 75, `${before}`)
    const all = deferred<void>()
    const last = revisions.at(-1)!
    watch(last + 1n, undefined, () => revisions.at(-1) === 101n && all.resolve(), deferred())
    await all.promise
    t.deepEqual(
      revisions,
      Array.from({ length: 100 }, (_, at) => BigInt(at + 2)),
    )
    link.close()
  })
}
