import { getEventListeners } from 'node:events'
import test from 'ava'
import type { KeyValue } from '../../src/client/key-value.ts'
import type { Credentials } from '../../src/client/tokens.ts'
import { connect } from '../../src/facade/connect.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { type FakeByteStream, FakeTransport, header } from '../support/fake-transport.ts'

test('a snapshot asks once, closes its side, and ends with the stream', async t => {
  const { etcd, transport } = await connected()
  const pieces: number[] = []
  const reading = (async () => {
    for await (const piece of etcd.maintenance.snapshot()) pieces.push(...piece)
  })()
  await settle()
  const [stream] = transport.streams
  t.is(stream?.path, methods.snapshot.path)
  t.is(stream?.sent.length, 1)
  t.true(stream?.halfClosed)
  stream?.answer({ blob: Uint8Array.of(1, 2), remainingBytes: 1n })
  stream?.answer({ blob: Uint8Array.of(3), remainingBytes: 0n })
  stream?.answer({ blob: Uint8Array.of(9), remainingBytes: 0n })
  stream?.end()
  await reading
  t.deepEqual(pieces, [1, 2, 3, 9])
})

test('a snapshot that ends too early is no snapshot', async t => {
  const { etcd, transport } = await connected()
  const reading = t.throwsAsync(async () => {
    for await (const _ of etcd.maintenance.snapshot());
  })
  await settle()
  transport.streams[0]?.answer({ blob: Uint8Array.of(1), remainingBytes: 5n })
  transport.streams[0]?.end()
  t.true(EtcdError.is(await reading, 'PROTOCOL'))
})

test('a snapshot whose connection breaks says so', async t => {
  const { etcd, transport } = await connected()
  const reading = t.throwsAsync(async () => {
    for await (const _ of etcd.maintenance.snapshot());
  })
  await settle()
  transport.streams[0]?.answer({ blob: Uint8Array.of(1), remainingBytes: 0n })
  transport.streams[0]?.fail('connection dropped')
  t.true(EtcdError.is(await reading, 'UNAVAILABLE'))
})

test('leaving the loop of a snapshot cancels its stream, and no timer is left', async t => {
  const { etcd, transport, runtime } = await connected()
  const reading = (async () => {
    for await (const _ of etcd.maintenance.snapshot()) break
  })()
  await settle()
  transport.streams[0]?.answer({ blob: Uint8Array.of(1), remainingBytes: 5n })
  await reading
  t.is(transport.streams[0]?.state, 'cancelled')
  t.is(runtime.pendingTimers, 0)
})

test('closing the client ends a snapshot at once, also one nobody is asking for the next piece of', async t => {
  const { etcd, transport } = await connected()
  const pieces = etcd.maintenance.snapshot()[Symbol.asyncIterator]()
  const first = pieces.next()
  await settle()
  const [stream] = transport.streams
  stream?.answer({ blob: Uint8Array.of(1), remainingBytes: 5n })
  await first
  // Its stream outlives the link, as it does after a GOAWAY.
  const link = transport.link('a:1')
  link.forget(stream!)
  await etcd.close()
  t.is(stream?.state, 'cancelled')
  await t.throwsAsync(async () => pieces.next(), { code: 'CLIENT_CLOSED' })
})

test('a snapshot asks for no leader', async t => {
  const { etcd, transport } = await connected()
  const reading = reads(etcd.maintenance.snapshot({ endpoint: 'b:1' }))
  await settle()
  t.deepEqual(transport.streams[0]?.metadata, {})
  transport.streams[0]?.answer({ blob: Uint8Array.of(1), remainingBytes: 0n })
  transport.streams[0]?.end()
  t.is(await reading, 1)
})

test('a snapshot whose token was refused is asked for again with another', async t => {
  const { etcd, transport, runtime } = await authenticated()
  const reading = reads(etcd.maintenance.snapshot())
  await settle()
  t.is(transport.streams[0]?.metadata.token, 't1')
  refuse(transport.streams[0])
  await settle()
  const [, stream] = transport.streams
  t.is(stream?.metadata.token, 't2')
  t.is(stream?.sent.length, 1)
  t.true(stream?.halfClosed)
  stream?.answer({ blob: Uint8Array.of(1, 2), remainingBytes: 0n })
  stream?.end()
  t.is(await reading, 2)
  t.is(runtime.pendingTimers, 0)
})

test('a snapshot whose tokens are refused asks twice, and the next one asks with another', async t => {
  const { etcd, transport } = await authenticated()
  const refused = t.throwsAsync(reads(etcd.maintenance.snapshot()), { code: 'UNAUTHENTICATED' })
  await settle()
  refuse(transport.streams[0])
  await settle()
  refuse(transport.streams[1])
  await refused
  t.is(transport.streams.length, 2)
  const reading = reads(etcd.maintenance.snapshot())
  await settle()
  t.is(transport.streams[2]?.metadata.token, 't3')
  transport.streams[2]?.answer({ blob: Uint8Array.of(1), remainingBytes: 0n })
  // From here on nothing may come twice.
  const broken = t.throwsAsync(reading, { code: 'UNAUTHENTICATED' })
  refuse(transport.streams[2])
  await broken
  t.is(transport.streams.length, 3)
})

test('a snapshot that is refused for want of a token is not asked for again by who has none', async t => {
  const { etcd, transport } = await connected()
  const refused = t.throwsAsync(reads(etcd.maintenance.snapshot()), { code: 'UNAUTHENTICATED' })
  await settle()
  refuse(transport.streams[0])
  await refused
  t.is(transport.streams.length, 1)
})

test('a snapshot given up while another token is fetched for it opens no stream, and no timer is left', async t => {
  const { etcd, transport, runtime } = await authenticated()
  const abort = new AbortController()
  const reading = reads(etcd.maintenance.snapshot({ signal: abort.signal }))
  await settle()
  transport.respond = () => {}
  refuse(transport.streams[0])
  await settle()
  t.is(transport.onlyOpen.path, methods.authenticate.path)
  const reason = new Error('enough')
  const given = t.throwsAsync(reading)
  abort.abort(reason)
  t.is(await given, reason)
  transport.onlyOpen.answer({ token: 't2' })
  await settle()
  t.is(transport.streams.length, 1)
  t.is(runtime.pendingTimers, 0)
})

test('an observation that ended before it told anything is followed by one with another token', async t => {
  const { etcd, transport } = await authenticated()
  const observe = () => t.throwsAsync(reads(etcd.serverElection.observe('e')), { code: 'UNAVAILABLE' })
  const first = observe()
  await settle()
  transport.streams[0]?.end()
  await first
  const second = observe()
  await settle()
  t.is(transport.streams[1]?.metadata.token, 't2')
  transport.streams[1]?.answer({ header: header() })
  transport.streams[1]?.end()
  await second
  const third = observe()
  await settle()
  t.is(transport.streams[2]?.metadata.token, 't2')
  transport.streams[2]?.end()
  await third
})

test('a snapshot refuses an option it would not read', async t => {
  const { etcd } = await connected()
  t.throws(() => etcd.maintenance.snapshot({ timeoutMs: 5 } as object), {
    instanceOf: TypeError,
    message: /timeoutMs/,
  })
})

test('whatever a signal ends, it has one listener, and none when it is over', async t => {
  const { etcd, transport } = await connected()
  const abort = new AbortController()
  const { signal } = abort
  const listeners = () => getEventListeners(signal, 'abort').length
  const watches = Array.from({ length: 12 }, () => etcd.watch('k', { signal }))
  const snapshot = etcd.maintenance.snapshot({ signal })[Symbol.asyncIterator]()
  const leaders = etcd.serverElection.observe('e', { signal })[Symbol.asyncIterator]()
  const ends = [snapshot.next(), leaders.next()].map(end => t.throwsAsync(async () => end))
  await settle()
  t.is(transport.streams.length, 3)
  t.is(listeners(), 1)
  for (const watch of watches) await watch.close()
  t.is(listeners(), 1)
  for (const stream of transport.streams) stream.fail('connection dropped')
  await Promise.all(ends)
  t.is(listeners(), 0)
})

test('a snapshot nobody answers is given up after ten seconds', async t => {
  const { etcd, transport, runtime } = await connected()
  transport.greet('b:1', 'silent')
  const reading = t.throwsAsync(async () => {
    for await (const _ of etcd.maintenance.snapshot({ endpoint: 'b:1' }));
  })
  await runtime.advance(10_000)
  const error = await reading
  t.true(EtcdError.is(error, 'UNAVAILABLE'))
  t.is((error as unknown as EtcdError).outcome, 'not-sent')
})

test('the lead is moved by the leader, whichever endpoint that is', async t => {
  const { etcd, transport } = await connected()
  const ids: Readonly<Record<string, bigint>> = { 'a:1': 1n, 'b:1': 2n }
  transport.respond = call => {
    if (call.path === methods.moveLeader.path) return call.answer()
    call.answer({ header: { ...header(), memberId: ids[call.address] }, leader: 2n, version: '3.5.16' })
  }
  await etcd.maintenance.moveLeader(1n)
  const moves = transport.calls.filter(({ path }) => path === methods.moveLeader.path)
  t.deepEqual(
    moves.map(({ address }) => address),
    ['b:1'],
  )
  t.is(moves[0]?.request(methods.moveLeader).targetId, 1n)
})

test('the lead is moved although another member gives no answer, and nobody waits for it', async t => {
  const { etcd, transport } = await connected()
  transport.respond = call => {
    if (call.path === methods.moveLeader.path) return call.answer()
    if (call.address === 'b:1') call.answer({ header: { ...header(), memberId: 2n }, leader: 2n })
  }
  await etcd.maintenance.moveLeader(1n)
  await settle()
  t.deepEqual(transport.open, [])
})

test('moving the lead takes its time once, whatever part of it finding the leader takes', async t => {
  const { etcd, transport, runtime } = await connected()
  const moving = t.throwsAsync(etcd.maintenance.moveLeader(1n, { timeoutMs: 3000 }), { code: 'TIMEOUT' })
  await runtime.advance(1500)
  for (const call of transport.open)
    call.answer({ header: { ...header(), memberId: call.address === 'b:1' ? 2n : 1n }, leader: 2n })
  await settle()
  t.is(transport.onlyOpen.path, methods.moveLeader.path)
  await runtime.advance(1500)
  await moving
})

test('when nobody leads, what each endpoint said is told', async t => {
  const { etcd, transport } = await connected()
  transport.respond = call => call.answer({ header: { ...header(), memberId: 3n }, leader: 9n })
  await t.throwsAsync(etcd.maintenance.moveLeader(1n), {
    code: 'FAILED_PRECONDITION',
    message: /a:1 follows 9.*b:1 follows 9/,
  })
})

test('a member is asked without the wish for a leader', async t => {
  const { etcd, transport } = await connected()
  transport.respond = call => call.answer({ leader: 0n })
  t.is((await etcd.maintenance.status('b:1')).leader, 0n)
  t.deepEqual([transport.calls[0]?.address, transport.calls[0]?.metadata], ['b:1', {}])
})

/** Resolves with how much was read. */
async function reads(pieces: AsyncIterable<Uint8Array | KeyValue>): Promise<number> {
  let length = 0
  for await (const piece of pieces) length += piece instanceof Uint8Array ? piece.length : 1
  return length
}

function refuse(stream: FakeByteStream | undefined): void {
  stream?.fail('etcdserver: invalid auth token', { status: 16 })
}

/** With a token of its own each time the server is asked for one. */
async function authenticated() {
  const transport = new FakeTransport()
  let tokens = 0
  transport.respond = call => call.answer({ token: `t${++tokens}` })
  return connected({ transport, credentials: { username: 'me', password: 'secret' } })
}

async function connected({
  transport = new FakeTransport(),
  credentials,
}: {
  readonly transport?: FakeTransport
  readonly credentials?: Credentials
} = {}) {
  const runtime = new FakeRuntime()
  const etcd = await connect(['a:1', 'b:1'], { transport, runtime, credentials })
  return { etcd, transport, runtime }
}
