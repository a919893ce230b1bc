import { inspect } from 'node:util'
import test from 'ava'
import { Tokens } from '../../src/client/tokens.ts'
import type { Endpoint, Link } from '../../src/support/transport.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { FakeTransport } from '../support/fake-transport.ts'

const ONE: Endpoint = { url: 'http://a:1', address: 'a:1', scheme: 'tcp', tls: false }
const TWO: Endpoint = { url: 'http://b:1', address: 'b:1', scheme: 'tcp', tls: false }
const CREDENTIALS = { username: 'me', password: 'a-secret' }

test('without credentials headers are known at once, the same object each time', t => {
  const tokens = new Tokens(undefined, new FakeRuntime())
  t.deepEqual(tokens.known(ONE, true), { hasleader: 'true' })
  t.deepEqual(tokens.known(ONE, false), {})
  t.is(tokens.known(ONE, true), tokens.known(TWO, true))
  t.false(tokens.renewable)
})

test('a token is fetched once for all who wait, and then known', async t => {
  const { tokens, transport, one } = await arrange()
  const both = Promise.all([tokens.obtain(ONE, one, true), tokens.obtain(ONE, one, false)])
  await settle()
  transport.onlyOpen.answer({ token: 'T' })
  t.deepEqual(await both, [
    { kind: 'headers', metadata: { hasleader: 'true', token: 'T' } },
    { kind: 'headers', metadata: { token: 'T' } },
  ])
  t.deepEqual(tokens.known(ONE, true), { hasleader: 'true', token: 'T' })
})

test('each endpoint has its own token', async t => {
  const { tokens, transport, one, two } = await arrange()
  transport.respond = call => call.answer({ token: call.address })
  await Promise.all([tokens.obtain(ONE, one, true), tokens.obtain(TWO, two, true)])
  t.deepEqual([tokens.known(ONE, false), tokens.known(TWO, false)], [{ token: 'a:1' }, { token: 'b:1' }])
})

test('a refusal of old headers does not discard the token that came after them', async t => {
  const { tokens, transport, one } = await arrange()
  let count = 0
  transport.respond = call => call.answer({ token: `t${++count}` })
  await tokens.obtain(ONE, one, true)
  const old = tokens.known(ONE, true)
  tokens.refused(ONE, old)
  t.is(tokens.known(ONE, true), undefined)
  await tokens.obtain(ONE, one, true)
  tokens.refused(ONE, old)
  t.deepEqual(tokens.known(ONE, false), { token: 't2' })
  tokens.refused(ONE, undefined)
  t.is(tokens.known(ONE, false), undefined)
})

test('a refusal of the password is shared by all who waited for it, and asked about again afterwards', async t => {
  const { tokens, transport, one } = await arrange()
  const both = Promise.all([tokens.obtain(ONE, one, true), tokens.obtain(ONE, one, true)])
  await settle()
  transport.onlyOpen.fail('authentication failed', { status: 3 })
  for (const result of await both) t.like(result, { kind: 'failure', failure: { status: 3 } })
  const later = tokens.obtain(ONE, one, true)
  await settle()
  transport.onlyOpen.answer({ token: 'T' })
  t.like(await later, { kind: 'headers' })
})

test('where authentication is not enabled, that is remembered until a call is refused', async t => {
  const { tokens, transport, one } = await arrange()
  transport.respond = call => call.fail('etcdserver: authentication is not enabled', { status: 9 })
  await tokens.obtain(ONE, one, true)
  const headers = tokens.known(ONE, true)
  t.deepEqual(headers, { hasleader: 'true' })
  tokens.refused(ONE, headers)
  transport.respond = call => call.answer({ token: 'T' })
  t.deepEqual(await tokens.obtain(ONE, one, false), { kind: 'headers', metadata: { token: 'T' } })
})

test('a token is not asked for on a connection that is gone', async t => {
  const { tokens, transport, one } = await arrange()
  one.close()
  t.like(await tokens.obtain(ONE, one, true), { kind: 'failure', failure: { sent: false } })
  t.is(transport.calls.length, 0)
})

test('a member that does not answer is late, and nobody has cancelled anything', async t => {
  const { tokens, transport, runtime, one } = await arrange()
  const token = tokens.obtain(ONE, one, true)
  await settle()
  await runtime.advance(4000)
  t.like(await token, { kind: 'failure', failure: { status: 4, sent: true } })
  t.deepEqual(transport.open, [])
})

test('who leaves does not wait for the token, which the others still get', async t => {
  const { tokens, transport, one } = await arrange()
  const abort = new AbortController()
  const left = tokens.obtain(ONE, one, true, abort.signal)
  const stayed = tokens.obtain(ONE, one, true)
  await settle()
  abort.abort('enough')
  t.is(await left.then(undefined, (reason: unknown) => reason), 'enough')
  transport.onlyOpen.answer({ token: 'T' })
  t.like(await stayed, { kind: 'headers' })
})

test('the password is seen by nobody who looks at the object', t => {
  const tokens = new Tokens(CREDENTIALS, new FakeRuntime())
  const seen = inspect(tokens, { depth: null, showHidden: true }) + JSON.stringify(tokens)
  t.false(seen.includes(CREDENTIALS.password))
})

async function arrange(): Promise<{
  tokens: Tokens
  transport: FakeTransport
  one: Link
  two: Link
  runtime: FakeRuntime
}> {
  const transport = new FakeTransport()
  const connect = (endpoint: Endpoint) =>
    transport.connect(endpoint, { pingIntervalMs: 5000, pingTimeoutMs: 2000 }, () => {})
  const one = connect(ONE)
  const two = connect(TWO)
  await settle()
  const runtime = new FakeRuntime()
  return { tokens: new Tokens(CREDENTIALS, runtime), transport, one, two, runtime }
}
