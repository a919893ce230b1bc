import test from 'ava'
import { AuthStore } from '../../src/embedded/auth-store.ts'
import { AuthTokens } from '../../src/embedded/auth-tokens.ts'
import type { EmbeddedOptions } from '../../src/embedded/index.ts'
import { hashPassword } from '../../src/embedded/passwords.ts'
import { Permissions } from '../../src/embedded/permissions.ts'
import { toBytes } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { type Method, methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, type Caller, Refused, startDirect } from './direct.ts'

const NONE = new Uint8Array()
const READ = 0
const WRITE = 1
const READ_WRITE = 2

test('neighbouring permissions allow a range together, and one with a gap does not', t => {
  const permissions = new Permissions([
    permission(READ, 'm', 'q'),
    permission(READ, 'a', 'c'),
    permission(READ, 'c', 'm'),
    permission(READ, 'x', ''),
  ])
  t.true(permissions.allow('read', toBytes('a'), toBytes('q')))
  t.true(permissions.allow('read', toBytes('b'), NONE))
  t.true(permissions.allow('read', toBytes('x'), NONE))
  t.true(permissions.allow('read', toBytes('x'), toBytes('x\0')))
  t.false(permissions.allow('read', toBytes('a'), toBytes('q\0')))
  t.false(permissions.allow('read', toBytes('q'), NONE))
  t.false(permissions.allow('read', toBytes('p'), toBytes('y')))
  t.false(permissions.allow('read', toBytes('x'), toBytes('\0')))
  t.false(permissions.allow('write', toBytes('b'), NONE))
})

test('a permission without an end allows every range from its key on, and a point nothing but its key', t => {
  const permissions = new Permissions([permission(WRITE, 'k', '\0'), permission(READ_WRITE, 'a', '')])
  t.true(permissions.allow('write', toBytes('k'), toBytes('\0')))
  t.true(permissions.allow('write', toBytes('zz'), NONE))
  t.false(permissions.allow('write', toBytes('j'), toBytes('\0')))
  t.true(permissions.allow('read', toBytes('a'), NONE))
  t.true(permissions.allow('write', toBytes('a'), NONE))
  t.false(permissions.allow('read', toBytes('a\0'), NONE))
})

test('a password that takes the place of another is as costly to try as that was, and others are of the usual cost', t => {
  const runtime = new FakeRuntime()
  const auth = new AuthStore(runtime, 300)
  const credentials = { kind: 'password', hash: hashPassword('old', runtime, 2) } as const
  auth.restore({
    enabled: false,
    revision: 1n,
    users: [{ name: 'ann', credentials, roles: [] }],
    roles: [],
  })
  auth.changePassword('ann', 'new', '')
  auth.addUser({ name: 'ben', password: 'other', hashedPassword: '', noPassword: false })
  const costs = auth
    .state()
    .users.map(user => user.credentials.kind === 'password' && user.credentials.hash.cost)
  t.deepEqual(costs, [2, 512])
})

test('a token lives on while it is used, and ends when it is not', async t => {
  const runtime = new FakeRuntime()
  const tokens = new AuthTokens(runtime, 10_000)
  const token = tokens.issue('ann')
  await runtime.advance(9000)
  t.is(tokens.use(token), 'ann')
  await runtime.advance(9000)
  t.is(tokens.use(token), 'ann')
  await runtime.advance(10_001)
  t.is(tokens.use(token), undefined)
  t.is(runtime.pendingTimers, 0)
})

test('passwords are not kept', t => {
  const store = new AuthStore(new FakeRuntime(), 300)
  store.addUser({ name: 'ann', password: 'CANARY', hashedPassword: '', noPassword: false })
  const state = JSON.stringify(store.state(), (_, value) =>
    value instanceof Uint8Array
      ? Buffer.from(value).toString('latin1')
      : typeof value === 'bigint'
        ? ''
        : value,
  )
  t.false(state.includes('CANARY'))
})

test('a request admitted before users or roles changed is refused, since it may no longer be allowed', t => {
  const store = new AuthStore(new FakeRuntime(), 300)
  store.addUser({ name: 'root', password: 'p', hashedPassword: '', noPassword: false })
  store.grantRole('root', 'root')
  store.enable()
  const identity = store.identify(store.authenticate('root', 'p'))
  store.checkKeys(identity, 'write', toBytes('k'), NONE)
  store.addRole('another')
  t.throws(() => store.checkKeys(identity, 'write', toBytes('k'), NONE), {
    message: 'etcdserver: revision of auth store is old',
  })
})

test('authentication needs a root user with the root role to be switched on', async t => {
  const { caller, server } = await startDirect()
  t.is(await refusal(caller, methods.authEnable, {}), '9 etcdserver: root user does not exist')
  await caller.call(methods.userAdd, { name: 'root', password: 'of root' })
  t.is(await refusal(caller, methods.authEnable, {}), '9 etcdserver: root user does not have root role')
  await caller.call(methods.userGrantRole, { user: 'root', role: 'root' })
  await caller.call(methods.authEnable, {})
  t.is(await refusal(caller, methods.put, { key: toBytes('k') }), '3 etcdserver: user name is empty')
  await server.close()
})

test('signing in tells apart nothing but right and wrong', async t => {
  const { caller, close } = await household()
  const wrong = '3 etcdserver: authentication failed, invalid user ID or password'
  t.is(await refusal(caller, methods.authenticate, { name: 'ann', password: 'guess' }), wrong)
  t.is(await refusal(caller, methods.authenticate, { name: 'nobody', password: 'guess' }), wrong)
  t.regex(
    (await caller.call(methods.authenticate, { name: 'ann', password: 'of ann' })).token,
    /^[A-Za-z]{16}\.\d+$/,
  )
  await close()
})

test('what a role does not allow is refused: keys, ranges, previous values, compares and nested operations', async t => {
  const { caller, ann, close } = await household()
  const denied = '7 etcdserver: permission denied'
  const inside = { key: toBytes('a/x') }
  const outside = { key: toBytes('b') }
  await caller.call(methods.put, inside, ann)
  t.is(await refusal(caller, methods.put, outside, ann), denied)
  await caller.call(methods.range, { key: toBytes('a/'), rangeEnd: toBytes('a0') }, ann)
  t.is(await refusal(caller, methods.range, { key: toBytes('a/'), rangeEnd: toBytes('a1') }, ann), denied)
  t.is(
    await refusal(caller, methods.deleteRange, { key: toBytes('a'), rangeEnd: toBytes('a0') }, ann),
    denied,
  )
  await caller.call(methods.put, { key: toBytes('w') }, ann)
  t.is(await refusal(caller, methods.put, { key: toBytes('w'), prevKv: true }, ann), denied)
  t.is(await refusal(caller, methods.txn, { compare: [{ key: toBytes('b') }] }, ann), denied)
  const put = { request: { kind: 'put' as const, value: outside } }
  t.is(await refusal(caller, methods.txn, { success: [put] }, ann), denied)
  t.is(await refusal(caller, methods.txn, { failure: [put] }, ann), denied)
  const nested = { request: { kind: 'txn' as const, value: { failure: [put] } } }
  t.is(await refusal(caller, methods.txn, { success: [nested] }, ann), denied)
  await close()
})

test('a lease that holds a foreign key can be neither revoked nor attached to', async t => {
  const { caller, root, ann, close } = await household()
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 60n }, root)
  await caller.call(methods.put, { key: toBytes('a/mine'), lease: 7n }, ann)
  await caller.call(methods.put, { key: toBytes('b'), lease: 7n }, root)
  const denied = '7 etcdserver: permission denied'
  t.is(await refusal(caller, methods.put, { key: toBytes('a/other'), lease: 7n }, ann), denied)
  t.is(await refusal(caller, methods.leaseRevoke, { id: 7n }, ann), denied)
  await caller.call(methods.leaseRevoke, { id: 7n }, root)
  await close()
})

test('the keys of a lease are told only to somebody, be there any or none', async t => {
  const { caller, root, close } = await household()
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 60n }, root)
  const nobody = '3 etcdserver: user name is empty'
  t.is(await refusal(caller, methods.leaseTimeToLive, { id: 7n, keys: true }), nobody)
  t.is(await refusal(caller, methods.leaseTimeToLive, { id: 8n, keys: true }), nobody)
  t.is((await caller.call(methods.leaseTimeToLive, { id: 7n })).grantedTtl, 60n)
  t.is((await caller.call(methods.leaseTimeToLive, { id: 7n, keys: true }, root)).grantedTtl, 60n)
  await close()
})

test('a watch that is not allowed fails by itself: the others on its stream go on', async t => {
  const { caller, ann, close } = await household()
  const stream = caller.stream(methods.watch, ann)
  stream.send({ request: { kind: 'create', value: { key: toBytes('a/'), rangeEnd: toBytes('a0') } } })
  stream.send({ request: { kind: 'create', value: { key: toBytes('a/'), rangeEnd: toBytes('\0') } } })
  await arrive()
  t.like(stream.received[0], { watchId: 0n, created: true, canceled: false })
  t.like(stream.received[1], {
    watchId: -1n,
    created: true,
    canceled: true,
    cancelReason: 'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
  })
  await caller.call(methods.put, { key: toBytes('a/x') }, ann)
  await arrive()
  t.is(stream.received[2]?.events.length, 1)
  await close()
})

test('a token ends when it is not used, when its user is gone, and when the password changes', async t => {
  const runtime = new FakeRuntime()
  const { caller, root, ann, close } = await household({ runtime, authTokenTtl: 10 })
  const invalid = '16 etcdserver: invalid auth token'
  const signIn = async (name: string) => ({
    token: (await caller.call(methods.authenticate, { name, password: `of ${name}` })).token,
  })
  await runtime.advance(10_001)
  t.is(await refusal(caller, methods.put, { key: toBytes('a/x') }, ann), invalid)

  const again = await signIn('root')
  const renewed = await signIn('ann')
  await caller.call(methods.put, { key: toBytes('a/x') }, renewed)
  await caller.call(methods.userChangePassword, { name: 'ann', password: 'new' }, again)
  t.is(await refusal(caller, methods.put, { key: toBytes('a/x') }, renewed), invalid)

  const { token } = await caller.call(methods.authenticate, { name: 'ann', password: 'new' })
  await caller.call(methods.userDelete, { name: 'ann' }, again)
  t.is(await refusal(caller, methods.put, { key: toBytes('a/x') }, { token }), invalid)
  t.is(await refusal(caller, methods.authDisable, {}, root), invalid)
  await close()
})

test('users may read about themselves and their roles, and nothing else of the kind', async t => {
  const { caller, ann, close } = await household()
  t.deepEqual((await caller.call(methods.userGet, { name: 'ann' }, ann)).roles, ['keeper'])
  t.is((await caller.call(methods.roleGet, { role: 'keeper' }, ann)).permissions.length, 2)
  const denied = '7 etcdserver: permission denied'
  t.is(await refusal(caller, methods.userGet, { name: 'root' }, ann), denied)
  t.is(await refusal(caller, methods.roleGet, { role: 'root' }, ann), denied)
  t.is(await refusal(caller, methods.userList, {}, ann), denied)
  t.is(await refusal(caller, methods.authStatus, {}, ann), denied)
  t.is(await refusal(caller, methods.memberAdd, { peerUrls: ['http://a:1'] }, ann), denied)
  t.is(await refusal(caller, methods.defragment, {}, ann), '2 auth: permission denied')
  await close()
})

test('while authentication is on, root stays root', async t => {
  const { caller, root, close } = await household()
  const refused = '3 etcdserver: invalid auth management'
  t.is(await refusal(caller, methods.userDelete, { name: 'root' }, root), refused)
  t.is(await refusal(caller, methods.userRevokeRole, { name: 'root', role: 'root' }, root), refused)
  t.is(await refusal(caller, methods.roleDelete, { role: 'root' }, root), refused)
  await caller.call(methods.authDisable, {}, root)
  await caller.call(methods.userDelete, { name: 'root' }, root)
  await close()
})

test('a role that is gone is gone from its users, and with it what it allowed', async t => {
  const { caller, root, ann, close } = await household()
  await caller.call(methods.put, { key: toBytes('a/x') }, ann)
  await caller.call(methods.roleDelete, { role: 'keeper' }, root)
  t.is(await refusal(caller, methods.put, { key: toBytes('a/x') }, ann), '7 etcdserver: permission denied')
  t.deepEqual((await caller.call(methods.userGet, { name: 'ann' }, root)).roles, [])
  await close()
})

/** Root and ann, who may read and write below `a/` and write `w`; both signed in. */
async function household(options: EmbeddedOptions = {}) {
  const { server, caller } = await startDirect(options)
  for (const name of ['root', 'ann']) await caller.call(methods.userAdd, { name, password: `of ${name}` })
  await caller.call(methods.roleAdd, { name: 'keeper' })
  for (const granted of [permission(READ_WRITE, 'a/', 'a0'), permission(WRITE, 'w', '')])
    await caller.call(methods.roleGrantPermission, { name: 'keeper', permission: granted })
  await caller.call(methods.userGrantRole, { user: 'ann', role: 'keeper' })
  await caller.call(methods.userGrantRole, { user: 'root', role: 'root' })
  await caller.call(methods.authEnable, {})
  const signIn = async (name: string) => ({
    token: (await caller.call(methods.authenticate, { name, password: `of ${name}` })).token,
  })
  return { caller, root: await signIn('root'), ann: await signIn('ann'), close: () => server.close() }
}

function permission(type: 0 | 1 | 2, key: string, rangeEnd: string) {
  return { type, key: toBytes(key), rangeEnd: toBytes(rangeEnd) }
}

/** Status and words of a call that must fail. */
async function refusal<Request, Response>(
  caller: Caller,
  method: Method<Request, Response>,
  request: Init<Request>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<string> {
  try {
    await caller.call(method, request, metadata)
  } catch (error) {
    if (error instanceof Refused) return `${error.failure.status} ${error.failure.message}`
    throw error
  }
  return 'no refusal'
}
