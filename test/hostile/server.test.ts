import test from 'ava'
import { connect } from '../../src/facade/connect.ts'
import type { Etcd } from '../../src/facade/etcd.ts'
import { compare, EtcdError, op, prefix } from '../../src/index.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { type FakeCall, FakeTransport } from '../support/fake-transport.ts'
import { TamperingTransport } from './tampering-transport.ts'

/** No message of etcd begins with the end of a group. */
const GARBAGE = Uint8Array.of(0x0c, 0xff, 0xff)

async function setUp(
  options: { readonly credentials?: { username: string; password: string } } = {},
): Promise<{
  runtime: FakeRuntime
  transport: FakeTransport
  tampering: TamperingTransport
  etcd: Etcd
}> {
  const runtime = new FakeRuntime()
  const transport = new FakeTransport()
  const tampering = new TamperingTransport(transport)
  const etcd = await connect('a:2379', { runtime, transport: tampering, ...options })
  return { runtime, transport, tampering, etcd }
}

const calls: Readonly<Record<string, (etcd: Etcd) => Promise<unknown>>> = {
  get: etcd => etcd.get('k'),
  range: etcd => etcd.range(prefix('k')),
  pages: etcd => etcd.pages(prefix('k'))[Symbol.asyncIterator]().next(),
  put: etcd => etcd.put('k', 'v'),
  delete: etcd => etcd.delete('k'),
  txn: etcd => etcd.txn({ if: [compare('k').version.equals(0n)], then: [op.put('k', 'v')] }),
  compact: etcd => etcd.compact(1n),
  'lease.grant': etcd => etcd.lease.grant(10),
  'lease.revoke': etcd => etcd.lease.revoke(1n),
  'lease.timeToLive': etcd => etcd.lease.timeToLive(1n),
  'lease.list': etcd => etcd.lease.list(),
  'lease.keepAlive': etcd => etcd.lease.keepAlive(1n),
  session: etcd => etcd.session(),
  'a resumed session': etcd => etcd.session({ resume: 1n }),
  'mutex.holder': etcd => etcd.mutex('k').holder(),
  'mutex.waiters': etcd => etcd.mutex('k').waiters(),
  'auth.enable': etcd => etcd.auth.enable(),
  'auth.status': etcd => etcd.auth.status(),
  'auth.addUser': etcd => etcd.auth.addUser('u', 'p'),
  'auth.user': etcd => etcd.auth.user('u'),
  'auth.users': etcd => etcd.auth.users(),
  'auth.role': etcd => etcd.auth.role('r'),
  'auth.roles': etcd => etcd.auth.roles(),
  'cluster.members': etcd => etcd.cluster.members(),
  'cluster.addMember': etcd => etcd.cluster.addMember(['http://a:2380']),
}

for (const [name, call] of Object.entries(calls)) {
  test(`${name} answered with garbage rejects at once with PROTOCOL and an unknown outcome`, async t => {
    const { transport, etcd } = await setUp()
    transport.respond = answered => answered.answerBytes(GARBAGE)
    const error = await t.throwsAsync(call(etcd), { instanceOf: EtcdError, code: 'PROTOCOL' })
    t.is((error as EtcdError).outcome, 'unknown')
    t.true(error.message.includes('http://a:2379'), error.message)
  })

  test(`${name} answered with nothing at all settles`, async t => {
    const { runtime, transport, etcd } = await setUp()
    transport.respond = answered => answered.answerBytes(new Uint8Array(0))
    let settled = false
    const outcome = call(etcd)
      .catch(error => error as unknown)
      .finally(() => {
        settled = true
      })
    for (let seconds = 0; seconds < 12 && !settled; seconds++) await runtime.advance(1000)
    t.true(settled)
    const error = await outcome
    if (error instanceof Error) t.true(EtcdError.is(error), error.stack)
  })
}

test('an acquire answered with garbage is a ghost: its key is deleted when it appears', async t => {
  const { transport, etcd } = await setUp()
  const session = await opened(transport, etcd)
  transport.respond = answered => {
    if (answered.path === methods.txn.path) answered.answerBytes(GARBAGE)
  }
  await t.throwsAsync(session.mutex('l').lock(), { code: 'PROTOCOL' })
  await settle()
  const stream = transport.streams.find(({ path }) => path === methods.watch.path)
  t.truthy(stream, 'nobody looks for the key')
  const { request } = methods.watch.request.decode(stream!.sent[0]!)
  t.is(request?.kind, 'create')
})

test('a lease whose grant was answered with garbage is revoked', async t => {
  const { transport, etcd } = await setUp()
  const revoked: bigint[] = []
  transport.respond = answered => {
    if (answered.path === methods.leaseRevoke.path) revoked.push(answered.request(methods.leaseRevoke).id)
    answered.answerBytes(GARBAGE)
  }
  await t.throwsAsync(etcd.session(), { code: 'PROTOCOL' })
  await settle()
  const granted = transport.calls.find(({ path }) => path === methods.leaseGrant.path)!
  t.deepEqual(revoked.slice(0, 1), [granted.request(methods.leaseGrant).id])
})

test('a transaction answered with fewer parts than it has steps is PROTOCOL', async t => {
  const { transport, etcd } = await setUp()
  transport.respond = answered => answered.answer({ succeeded: true, responses: [] })
  await t.throwsAsync(etcd.txn({ then: [op.put('k', 'v')] }), { code: 'PROTOCOL' })
})

test('tryLock told that the name is taken, by nobody, is PROTOCOL', async t => {
  const { transport, etcd } = await setUp()
  const session = await opened(transport, etcd)
  transport.respond = answered => {
    const nobody = { response: { kind: 'range', value: { kvs: [] } } }
    if (answered.path === methods.txn.path) answered.answer({ succeeded: false, responses: [nobody] })
  }
  await t.throwsAsync(session.mutex('l').tryLock(), { instanceOf: EtcdError, code: 'PROTOCOL' })
})

test('a lease granted under another id than the one asked for is PROTOCOL, and the one asked for is revoked', async t => {
  const { transport, etcd } = await setUp()
  transport.respond = answered => {
    if (answered.path === methods.leaseGrant.path) answered.answer({ id: 4711n, ttl: 10n })
    else answered.answer()
  }
  await t.throwsAsync(etcd.session(), { instanceOf: EtcdError, code: 'PROTOCOL' })
  await settle()
  const [granted, revoked] = transport.calls
  t.is(revoked?.request(methods.leaseRevoke).id, granted?.request(methods.leaseGrant).id)
})

for (const token of ['two\nlines', 'nul\0', 'caf\u00e9', '']) {
  test(`the token ${JSON.stringify(token)}, which fits no header, is PROTOCOL, and not repeated in the error`, async t => {
    const runtime = new FakeRuntime()
    const transport = new FakeTransport()
    transport.respond = answered => {
      if (answered.path === methods.authenticate.path) answered.answer({ token })
      else answered.answer()
    }
    const credentials = { username: 'u', password: 'p' }
    const connecting = connect('a:2379', { runtime, transport, credentials })
    const error = await t.throwsAsync(connecting, { instanceOf: EtcdError, code: 'PROTOCOL' })
    if (token !== '') t.false(error.message.includes(token))
  })
}

test('an authentication answered with garbage is PROTOCOL', async t => {
  const runtime = new FakeRuntime()
  const transport = new FakeTransport()
  transport.respond = answered => answered.answerBytes(GARBAGE)
  const connecting = connect('a:2379', { runtime, transport, credentials: { username: 'u', password: 'p' } })
  await t.throwsAsync(connecting, { instanceOf: EtcdError, code: 'PROTOCOL' })
})

test('garbage in a watch stream is a broken connection: the watch goes on, after a pause', async t => {
  const { runtime, transport, tampering, etcd } = await setUp()
  tampering.tamper = () => GARBAGE
  const watch = etcd.watch('k')
  const next = watch[Symbol.asyncIterator]().next()
  for (let attempt = 1; attempt <= 20; attempt++) {
    for (let waits = 0; transport.streams.length < attempt && waits < 100; waits++) await runtime.advance(50)
    t.is(transport.streams.length, attempt)
    const stream = transport.streams.at(-1)!
    stream.answer({})
    await settle()
    t.is(stream.state, 'cancelled')
  }
  // Not one attempt per turn: the last ones were up to a second apart.
  t.true(runtime.now() > 5000, String(runtime.now()))
  tampering.tamper = message => message
  for (let waits = 0; transport.streams.length < 21 && waits < 100; waits++) await runtime.advance(50)
  const stream = transport.streams.at(-1)!
  const kv = { key: Buffer.from('k'), createRevision: 2n, modRevision: 2n, version: 1n }
  stream.answer({ header: { revision: 1n }, watchId: 1n, created: true })
  stream.answer({ header: { revision: 2n }, watchId: 1n, events: [{ type: 0, kv }] })
  const { value } = await next
  t.is(value?.revision, 2n)
  await watch.close()
})

test('garbage in the stream of renewals costs the session no more than its time', async t => {
  const { runtime, transport, tampering, etcd } = await setUp()
  const session = await opened(transport, etcd)
  tampering.tamper = () => GARBAGE
  const opensBefore = transport.streams.length
  for (let ms = 0; ms < 20_000 && session.state !== 'lost'; ms += 100) {
    for (const stream of transport.streams.filter(({ state }) => state === 'open')) stream.answer({})
    await runtime.advance(100)
  }
  t.is(session.state, 'lost')
  t.true(EtcdError.is(session.signal.reason, 'SESSION_LOST'))
  t.true(transport.streams.length - opensBefore < 100, String(transport.streams.length))
})

test('answers to questions nobody asked are ignored', async t => {
  const { transport, etcd } = await setUp()
  const watch = etcd.watch('k')
  await settle()
  const stream = transport.streams.at(-1)!
  const kv = { key: Buffer.from('other'), createRevision: 9n, modRevision: 9n, version: 1n }
  for (const watchId of [0n, -1n, 7n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    stream.answer({ watchId, created: true })
    stream.answer({ watchId, events: [{ type: 0, kv }, { type: 7 as 0, kv }, {}] })
    stream.answer({ watchId, header: { revision: -5n } })
    stream.answer({ watchId, canceled: true, created: false, compactRevision: -1n, cancelReason: 'x' })
  }
  stream.answer({ header: { revision: 1n }, watchId: 1n, created: true })
  t.is(await watch.ready, 1n)
  await watch.close()
})

test('numbers beyond all measure in an answer are taken as they are', async t => {
  const { transport, etcd } = await setUp()
  const kv = {
    key: Buffer.from('k'),
    createRevision: 2n ** 63n - 1n,
    modRevision: -(2n ** 63n),
    version: -1n,
    lease: 2n ** 63n - 1n,
  }
  transport.respond = answered => answered.answer({ kvs: [kv], count: 2n ** 63n - 1n, more: true })
  const { kvs } = await etcd.range('k')
  t.is(kvs[0]?.createRevision, 2n ** 63n - 1n)
  t.is(kvs[0]?.modRevision, -(2n ** 63n))
  t.is(kvs[0]?.lease, 2n ** 63n - 1n)
})

test('a server that answers every read from the past fails the read in its time', async t => {
  const { runtime, transport, etcd } = await setUp()
  transport.respond = answered => answered.answer({ header: { clusterId: 7n, memberId: 1n, revision: 100n } })
  await etcd.get('k')
  transport.respond = answered => answered.answer({ header: { clusterId: 7n, memberId: 1n, revision: 1n } })
  const reading = etcd.get('k')
  const outcome = reading.catch(error => error as unknown)
  for (let seconds = 0; seconds < 11; seconds++) await runtime.advance(1000)
  t.true(EtcdError.is(await outcome, 'UNAVAILABLE'))
  t.true(transport.calls.length < 100, String(transport.calls.length))
})

/** A session on a transport that answers nothing by itself. */
async function opened(transport: FakeTransport, etcd: Etcd) {
  transport.respond = (answered: FakeCall) => {
    if (answered.path !== methods.leaseGrant.path) return
    const { id } = answered.request(methods.leaseGrant)
    answered.answer({ id, ttl: 10n })
  }
  const session = await etcd.session({ ttl: 10 })
  transport.respond = () => {}
  return session
}
