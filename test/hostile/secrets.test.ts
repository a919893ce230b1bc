import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { startEtcd } from '../../src/embedded/index.ts'
import { connect, type Etcd, EtcdError, op } from '../../src/index.ts'
import { methods } from '../../src/wire/methods.ts'
import { Random } from '../support/differential/random.ts'
import { mutated } from './mutation.ts'
import { TamperingTransport } from './tampering-transport.ts'

const PASSWORD = 'CANARY-PW-7f3'
const OTHER_PASSWORD = 'CANARY-PW-8a1'

/** Everything of a value that somebody may print or send on. */
function prints(value: unknown): string {
  const parts = [inspect(value, { depth: 10, showHidden: true, getters: true }), String(value)]
  try {
    parts.push(JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? String(field) : field)) ?? '')
  } catch {
    // Something that refers to itself; it was inspected.
  }
  if (value instanceof Error)
    parts.push(value.message, value.stack ?? '', value.cause ? prints(value.cause) : '')
  return parts.join('\n')
}

/** A cluster with authentication, its only user's token known to the test. */
async function guarded(t: ExecutionContext): Promise<{
  readonly endpoints: readonly string[]
  readonly transport: TamperingTransport
  readonly tokens: readonly string[]
  readonly etcd: Etcd
}> {
  const server = await startEtcd({ port: false })
  t.teardown(() => server.close())
  const admin = await connect(server.endpoints, { transport: server.transport })
  await admin.auth.addUser('root', PASSWORD)
  await admin.auth.addRole('root')
  await admin.auth.grantRole('root', 'root')
  await admin.auth.enable()
  await admin.close()
  const tokens: string[] = []
  const transport = new TamperingTransport(server.transport)
  transport.tamper = (message, path) => {
    if (path === methods.authenticate.path) tokens.push(methods.authenticate.response.decode(message).token)
    return message
  }
  const credentials = { username: 'root', password: PASSWORD }
  const etcd = await connect(server.endpoints, { transport, credentials })
  t.teardown(() => etcd.close())
  await etcd.put('k', 'v')
  return { endpoints: server.endpoints, transport, tokens, etcd }
}

test('neither password nor token is in anything that can be printed of a client and what is opened with it', async t => {
  const { etcd, tokens } = await guarded(t)
  const session = await etcd.session()
  const hold = await session.mutex('l').lock()
  const watch = etcd.watch('k')
  await watch.ready
  t.is(tokens.length, 1)
  for (const secret of [PASSWORD, ...tokens]) {
    t.true(secret.length > 5)
    for (const [what, value] of Object.entries({ etcd, session, hold, watch, engine: etcd.engine })) {
      t.false(prints(value).includes(secret), `${what} shows ${secret}`)
    }
  }
})

test('neither password nor token is in any error, however deep its causes, or in any warning', async t => {
  const { endpoints, transport, tokens, etcd } = await guarded(t)
  const warnings: unknown[] = []
  etcd.on('warning', warning => warnings.push(warning))
  const errors: unknown[] = []
  const failing = async (call: Promise<unknown>) =>
    errors.push(await t.throwsAsync(call, { any: true }, 'this should have failed'))
  const wrong = { username: 'root', password: OTHER_PASSWORD }
  await failing(connect(endpoints, { transport, credentials: wrong }))
  await failing(connect(endpoints, { transport, credentials: { username: '', password: PASSWORD } }))
  await failing(connect('root:CANARY-PW-7f3@127.0.0.1:1', { credentials: wrong }))
  await failing(connect('127.0.0.1:1', { credentials: wrong, connectTimeoutMs: 300 }))
  await failing(etcd.auth.addUser('root', PASSWORD))
  await failing(etcd.auth.changePassword('nobody', PASSWORD))
  await failing(etcd.auth.changePassword('root', `${PASSWORD}\ud800`))
  await failing(etcd.auth.addUser('u', { password: PASSWORD } as unknown as string))
  await failing(etcd.auth.addUser('u\ud800', PASSWORD))
  await failing(etcd.get('k', { revision: 1_000_000n }))
  await failing(etcd.txn({ then: [op.put('k', 'v'), op.put('k', 'v')] }))
  await (await etcd.session({ ttl: 2 })).close()
  const random = new Random(7)
  const pass = transport.tamper
  transport.tamper = (message, path) => mutated(pass(message, path), random, [message])
  for (let attempt = 0; attempt < 30; attempt++) {
    const broken = await connect(endpoints, {
      transport,
      credentials: { username: 'root', password: PASSWORD },
      connectTimeoutMs: 300,
      requestTimeoutMs: 300,
    }).catch(error => errors.push(error))
    if (typeof broken === 'number') continue
    await broken.get('k').catch(error => errors.push(error))
    await broken.close().catch(error => errors.push(error))
  }
  transport.tamper = pass
  t.true(errors.length > 20, String(errors.length))
  t.true(warnings.length > 0)
  for (const secret of [PASSWORD, OTHER_PASSWORD, ...tokens.filter(token => token.length > 5)]) {
    for (const value of [...errors, ...warnings])
      t.false(prints(value).includes(secret), `${prints(value)} shows ${secret}`)
  }
})

test('a password or user name that has no UTF-8 form is refused before it is sent, and not repeated', async t => {
  const { endpoints, transport, etcd } = await guarded(t)
  const half = `${PASSWORD}\ud800`
  for (const credentials of [
    { username: 'root', password: half },
    { username: half, password: PASSWORD },
  ]) {
    const error = await t.throwsAsync(connect(endpoints, { transport, credentials }), {
      instanceOf: TypeError,
    })
    t.regex(error.message, /half a surrogate pair/)
    if (credentials.password === half) t.false(prints(error).includes(PASSWORD))
  }
  for (const call of [etcd.auth.addUser('u', half), etcd.auth.changePassword('root', half)]) {
    const error = await t.throwsAsync(call, { instanceOf: TypeError })
    t.false(prints(error).includes(PASSWORD))
  }
})

test('a password is any text: what looks like a path, a pattern or nothing at all logs in', async t => {
  const { endpoints, transport, etcd } = await guarded(t)
  for (const password of [
    '../..',
    '%00',
    "'; --",
    ' ',
    '__proto__',
    'e\u0301',
    '\u00e9',
    'x'.repeat(72),
    '\u{1f512}',
  ]) {
    await etcd.auth.addUser('someone', password)
    const credentials = { username: 'someone', password }
    const someone = await connect(endpoints, { transport, credentials })
    await t.throwsAsync(someone.get('k'), { code: 'PERMISSION_DENIED' })
    await someone.close()
    const other = { username: 'someone', password: `${password}x`.slice(-70) }
    await t.throwsAsync(
      connect(endpoints, { transport, credentials: other }),
      { code: 'AUTH_FAILED' },
      password,
    )
    await etcd.auth.deleteUser('someone')
  }
  t.false(EtcdError.is(undefined))
})
