import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { Connections } from '../../../src/client/connections.ts'
import { grpcTransport } from '../../../src/client/grpc-transport.ts'
import { between, everything, from, prefix } from '../../../src/client/key-range.ts'
import { StreamOpener } from '../../../src/client/stream-opener.ts'
import { Tokens } from '../../../src/client/tokens.ts'
import { connect } from '../../../src/facade/connect.ts'
import type { Etcd } from '../../../src/facade/etcd.ts'
import type { UnaryOutcome } from '../../../src/support/transport.ts'
import { text, toBytes } from '../../../src/wire/bytes.ts'
import { type ErrorCode, EtcdError } from '../../../src/wire/errors.ts'
import { methods } from '../../../src/wire/methods.ts'
import { startEtcd } from '../../support/etcd-server.ts'
import { series } from '../../support/live.ts'
import { startProxy } from '../../support/tcp-proxy.ts'
import { useClient } from './use-client.ts'

const ROOT = { username: 'root', password: 'a-root-secret' } as const

const live = useClient(test, { auth: ROOT, authTokenTtlSeconds: 1 })

test('users, roles and permissions are made, shown and undone', async t => {
  const { auth } = live().etcd
  await auth.addRole('reader')
  await auth.addRole('other')
  await auth.grantPermission('reader', { access: 'read', keys: 'one' })
  await auth.grantPermission('reader', { access: 'readwrite', keys: prefix('some/') })
  await auth.grantPermission('reader', { access: 'write', keys: from('z') })
  await auth.addUser('ann', 'a-secret')
  await auth.grantRole('ann', 'reader')
  await auth.grantRole('ann', 'other')
  t.deepEqual([...(await auth.user('ann')).roles].sort(), ['other', 'reader'])
  t.true((await auth.users()).includes('ann'))
  t.true((await auth.roles()).includes('reader'))
  const { permissions } = await auth.role('reader')
  t.deepEqual(permissions.map(({ access, keys }) => [access, text(keys.key), text(keys.end)]).sort(), [
    ['read', 'one', ''],
    ['readwrite', 'some/', 'some0'],
    ['write', 'z', '\0'],
  ])
  await auth.revokePermission('reader', prefix('some/'))
  t.is((await auth.role('reader')).permissions.length, 2)
  await auth.revokeRole('ann', 'reader')
  await auth.deleteRole('other')
  t.deepEqual((await auth.user('ann')).roles, [])
  await auth.deleteUser('ann')
  t.false((await auth.users()).includes('ann'))
})

test('what does not exist, or exists already, is named by the code of the error', async t => {
  const { auth } = live().etcd
  await auth.addRole('twice')
  await auth.addUser('twin', 'a-secret')
  await rejects(t, auth.addRole('twice'), 'ALREADY_EXISTS')
  await rejects(t, auth.addUser('twin', 'a-secret'), 'ALREADY_EXISTS')
  await rejects(t, auth.user('nobody'), 'NOT_FOUND')
  await rejects(t, auth.role('nothing'), 'NOT_FOUND')
  await rejects(t, auth.deleteUser('nobody'), 'NOT_FOUND')
  await rejects(t, auth.deleteRole('nothing'), 'NOT_FOUND')
  await rejects(t, auth.grantRole('nobody', 'twice'), 'NOT_FOUND')
  await rejects(t, auth.grantRole('twin', 'nothing'), 'NOT_FOUND')
  await rejects(t, auth.revokeRole('twin', 'twice'), 'FAILED_PRECONDITION')
  await rejects(t, auth.revokePermission('twice', 'k'), 'FAILED_PRECONDITION')
})

test('a user does what its roles allow, and nothing else', async t => {
  const { etcd, servers } = live()
  await member(etcd, 'bob', { access: 'read', keys: between('bob/', 'bob0') })
  await etcd.put('bob/k', 'v')
  await using bob = await connect(servers.endpoint, {
    credentials: { username: 'bob', password: 'a-secret' },
  })
  t.is((await bob.get('bob/k'))?.text(), 'v')
  await rejects(t, bob.put('bob/k', 'w'), 'PERMISSION_DENIED')
  await rejects(t, bob.get('else'), 'PERMISSION_DENIED')
  await rejects(t, bob.range(everything), 'PERMISSION_DENIED')
  await rejects(t, bob.auth.addRole('mine'), 'PERMISSION_DENIED')
  await rejects(t, take(bob, 'else'), 'PERMISSION_DENIED')
  await etcd.auth.grantPermission('bob', { access: 'readwrite', keys: between('bob/', 'bob0') })
  await bob.put('bob/k', 'w')
})

test.serial('an expired token is replaced, unseen', async t => {
  const { etcd, servers } = live()
  await using client = await connect(servers.endpoint, { credentials: ROOT })
  const first = await client.put('expiry/k', '1')
  await untilTokensExpire(etcd)
  const second = await client.put('expiry/k', '2')
  t.true(second.revision > first.revision)
  t.is((await client.get('expiry/k'))?.text(), '2')
})

test.serial('a watch goes on after its token has expired and its connection was cut', async t => {
  const { etcd, servers } = live()
  await using proxy = await startProxy(servers.endpoint)
  await using client = await connect(proxy.endpoint, { credentials: ROOT })
  await using watch = client.watch('re-auth/k')
  await watch.ready
  await etcd.put('re-auth/k', '1')
  const events = watch[Symbol.asyncIterator]()
  t.is((await events.next()).value?.type, 'put')
  await untilTokensExpire(etcd)
  proxy.reset()
  await etcd.put('re-auth/k', '2')
  const { value } = await events.next()
  t.is(value?.type === 'put' ? value.kv.text() : undefined, '2')
})

test.serial(
  'whoever has asked for nothing while its token expired has a snapshot, and observes an election',
  async t => {
    const { etcd, servers } = live()
    await using client = await connect(servers.endpoint, { credentials: ROOT })
    await client.put('idle/1', 'me')
    await untilTokensExpire(etcd)
    let bytes = 0
    for await (const piece of client.maintenance.snapshot()) bytes += piece.length
    t.true(bytes > 0)
    await untilTokensExpire(etcd)
    const leader = async () => {
      for await (const kv of client.serverElection.observe('idle')) return kv.text()
      return undefined
    }
    // The service gives up without a reason, and so cannot be asked again for its caller.
    t.is(await leader().catch(error => (EtcdError.is(error, 'UNAVAILABLE') ? leader() : error)), 'me')
  },
)

test.serial('a lease is kept over the expiry of tokens', async t => {
  const { etcd } = live()
  const { id } = await etcd.lease.grant(2)
  const renewal = await etcd.lease.keepAlive(id)
  await untilTokensExpire(etcd)
  await untilTokensExpire(etcd)
  t.false(renewal.signal.aborted)
  t.true((await etcd.lease.timeToLive(id)) !== undefined)
  renewal.stop()
})

test('a wrong password is refused at once, and nothing that can be printed names it', async t => {
  const password = 'not-the-right-one'
  const startMs = performance.now()
  const error = await t.throwsAsync(
    connect(live().servers.endpoint, { credentials: { username: 'root', password } }),
  )
  t.true(performance.now() - startMs < 4000)
  t.true(EtcdError.is(error, 'AUTH_FAILED'), String(error))
  const shown = `${error.message} ${error.stack} ${inspect(error, { depth: null, showHidden: true })} ${JSON.stringify(error)}`
  t.false(shown.includes(password))
})

test('nothing that can be printed of a client names its password', t => {
  const { etcd } = live()
  const shown = inspect(etcd, { depth: null, showHidden: true, getters: true })
  t.false(shown.includes(ROOT.password))
})

test('without credentials nothing can be done where they are asked for', async t => {
  await using nobody = await connect(live().servers.endpoint)
  await rejects(t, nobody.get('k'), 'UNAUTHENTICATED')
  await rejects(t, nobody.put('k', 'v'), 'UNAUTHENTICATED')
  await rejects(t, take(nobody, 'k'), 'UNAUTHENTICATED')
})

test('a password that was changed is refused', async t => {
  const { etcd, servers } = live()
  await member(etcd, 'eve', { access: 'readwrite', keys: prefix('eve/') })
  await using eve = await connect(servers.endpoint, {
    credentials: { username: 'eve', password: 'a-secret' },
  })
  await eve.put('eve/k', 'v')
  await etcd.auth.changePassword('eve', 'another')
  await rejects(t, eve.put('eve/k', 'v'), 'AUTH_FAILED')
  await using again = await connect(servers.endpoint, {
    credentials: { username: 'eve', password: 'another' },
  })
  await again.put('eve/k', 'v')
})

test('a client with credentials lives through authentication being switched off and on', async t => {
  await using servers = await startEtcd({ series: series(), auth: ROOT })
  await using etcd = await connect(servers.endpoint, { credentials: ROOT })
  await using watch = etcd.watch('k')
  await watch.ready
  await etcd.put('k', '1')
  await etcd.auth.disable()
  await etcd.put('k', '2')
  await etcd.auth.enable()
  await etcd.put('k', '3')
  const seen: string[] = []
  for await (const event of watch) {
    seen.push(event.type === 'put' ? event.kv.text() : 'no put')
    if (seen.length === 3) break
  }
  t.deepEqual(seen, ['1', '2', '3'])
})

test('authentication needs a root user', async t => {
  await using servers = await startEtcd({ series: series() })
  await using etcd = await connect(servers.endpoint, { credentials: ROOT })
  await rejects(t, etcd.auth.enable(), 'FAILED_PRECONDITION')
  await etcd.auth.addUser('root', ROOT.password)
  await etcd.auth.addRole('root').catch(() => {})
  await etcd.auth.grantRole('root', 'root')
  await etcd.auth.enable()
  await etcd.put('k', 'v')
})

test('the state of authentication is known from etcd 3.5 on', async t => {
  const { auth } = live().etcd
  if (series() === '3.4') return rejects(t, auth.status(), 'UNIMPLEMENTED')
  const { enabled, revision } = await auth.status()
  t.true(enabled)
  t.true(revision > 0n)
})

test('a user without a password logs in with a certificate only', async t => {
  const { etcd, servers } = live()
  await etcd.auth.addUser('certificate')
  const error = await t.throwsAsync(
    connect(servers.endpoint, { credentials: { username: 'certificate', password: 'x' } }),
  )
  t.true(EtcdError.is(error, 'AUTH_FAILED'), String(error))
})

async function member(etcd: Etcd, name: string, grant: Parameters<Etcd['auth']['grantPermission']>[1]) {
  await etcd.auth.addRole(name)
  await etcd.auth.grantPermission(name, grant)
  await etcd.auth.addUser(name, 'a-secret')
  await etcd.auth.grantRole(name, name)
}

async function take(client: Etcd, key: string): Promise<void> {
  for await (const _ of client.watch(key)) return
}

/** A token of our own is the measure: once it is refused, those that have not been used since are, too. */
async function untilTokensExpire({ engine }: Etcd): Promise<void> {
  const { runtime, connections } = engine
  const own = new Connections(connections.endpoints, { transport: grpcTransport(), runtime, tls: undefined })
  const opener = new StreamOpener(own, new Tokens(ROOT, runtime), runtime)
  const { ready, metadata } = await opener.reach({ lane: 'data', signal: AbortSignal.timeout(10_000) })
  // Each use prolongs its life, so it is asked about at growing intervals.
  for (let waitMs = 1500; ; waitMs += 500) {
    await new Promise(resolve => setTimeout(resolve, waitMs))
    const { path, request } = methods.range
    const outcome = await new Promise<UnaryOutcome>(resolve => {
      ready.link.unary(path, request.encode({ key: toBytes('k') }), metadata, resolve)
    })
    if (outcome.kind === 'answer') continue
    if (!outcome.failure.message.includes('invalid auth token')) throw new Error(outcome.failure.message)
    own.close(new EtcdError('CLIENT_CLOSED', 'closed', { outcome: 'not-sent' }))
    return
  }
}

async function rejects(t: ExecutionContext, call: Promise<unknown>, code: ErrorCode): Promise<void> {
  const error = await t.throwsAsync(call)
  t.true(EtcdError.is(error, code), `${code} was expected: ${error}`)
}
