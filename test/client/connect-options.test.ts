import { createPrivateKey } from 'node:crypto'
import test from 'ava'
import { type ConnectOptions, checkConnect } from '../../src/client/connect-options.ts'
import { createCertificates, type TestCertificates } from '../support/tls.ts'

const HOST = 'host:2379'
const CERTIFICATE = '-----BEGIN CERTIFICATE-----'

let certificates: TestCertificates

test.before(async () => {
  certificates = await createCertificates()
})

test.after.always(() => certificates?.close())

test('one endpoint or a list of them are taken, in their order', t => {
  t.deepEqual(
    checkConnect('b:1', {}).map(({ url }) => url),
    ['http://b:1'],
  )
  t.deepEqual(
    checkConnect(['b:1', 'a:1'], {}).map(({ url }) => url),
    ['http://b:1', 'http://a:1'],
  )
})

test('material is taken as text and as bytes, whatever kind of key it is', t => {
  const { ca, client } = certificates
  const sec1 = createPrivateKey(client.key).export({ type: 'sec1', format: 'pem' }).toString()
  t.regex(sec1, /BEGIN EC PRIVATE KEY/)
  const bytes = (text: string) => new TextEncoder().encode(text)
  for (const key of [client.key, sec1]) {
    t.notThrows(() => checkConnect(HOST, { tls: { ca, cert: client.cert, key } }))
    t.notThrows(() =>
      checkConnect(HOST, { tls: { ca: bytes(ca), cert: bytes(client.cert), key: bytes(key) } }),
    )
  }
})

test('material that does not fit, or cannot be read, is refused with what is wrong with it', t => {
  const { client, stranger } = certificates
  const misfit = t.throws(() => checkConnect(HOST, { tls: { cert: client.cert, key: stranger.key } }), {
    instanceOf: TypeError,
    message: /tls\.cert and tls\.key.*mismatch/,
  })
  t.true(misfit.cause instanceof Error)
  const torn = client.cert.slice(0, client.cert.length / 2)
  t.throws(() => checkConnect(HOST, { tls: { cert: torn, key: client.key } }), {
    instanceOf: TypeError,
    message: /tls\.cert and tls\.key/,
  })
})

test('with tls in the options, endpoints without a scheme are TLS', t => {
  t.true(checkConnect('b:1', { tls: {} })[0]?.tls)
})

const wrong: readonly [
  what: string,
  endpoints: unknown,
  options: unknown,
  kind: typeof TypeError | typeof RangeError,
][] = [
  ['no endpoint', [], {}, TypeError],
  ['endpoints of a wrong type', 7, {}, TypeError],
  ['an endpoint of a wrong type', [7], {}, TypeError],
  ['an endpoint listed twice', ['a:1', 'http://a:1'], {}, TypeError],
  ['endpoints with and without TLS', ['http://a:1', 'https://b:1'], {}, TypeError],
  ['options of a wrong type', HOST, 'options', TypeError],
  ['null for options', HOST, null, TypeError],
  ['an unknown option', HOST, { timeout: 5 }, TypeError],
  ['an unknown option of the credentials', HOST, { credentials: { user: 'me', password: 'x' } }, TypeError],
  ['an unknown option of tls', HOST, { tls: { rejectUnauthorized: false } }, TypeError],
  ['a user without a password', HOST, { credentials: { username: 'me' } }, TypeError],
  ['a password without a user', HOST, { credentials: { username: '', password: 'x' } }, TypeError],
  ['a certificate without its key', HOST, { tls: { cert: 'x' } }, TypeError],
  ['a key without its certificate', HOST, { tls: { key: 'x' } }, TypeError],
  ['material of a wrong type', HOST, { tls: { ca: 7 } }, TypeError],
  ['the name of a file for what is in it', HOST, { tls: { ca: '/etc/etcd/ca.pem' } }, TypeError],
  ['a certificate for a key', HOST, { tls: { cert: CERTIFICATE, key: CERTIFICATE } }, TypeError],
  ['a server name of a wrong type', HOST, { tls: { serverName: 7 } }, TypeError],
  ['a connect timeout of zero', HOST, { connectTimeoutMs: 0 }, RangeError],
  ['a connect timeout that is NaN', HOST, { connectTimeoutMs: Number.NaN }, RangeError],
  ['a request timeout with a fraction', HOST, { requestTimeoutMs: 1.5 }, RangeError],
  ['a request timeout of a wrong type', HOST, { requestTimeoutMs: '10' }, TypeError],
  ['a signal that is none', HOST, { signal: {} }, TypeError],
  ['a transport that is none', HOST, { transport: {} }, TypeError],
  ['a runtime that is none', HOST, { runtime: 7 }, TypeError],
]

for (const [what, endpoints, options, instanceOf] of wrong) {
  test(`connect refuses ${what}`, t => {
    t.throws(() => checkConnect(endpoints as string, options as ConnectOptions), { instanceOf })
  })
}

test('a refused option does not repeat the password', t => {
  const credentials = { username: 'me', password: 'secret', role: 'root' }
  const error = t.throws(() => checkConnect(HOST, { credentials }), { instanceOf: TypeError })
  t.false(error.message.includes('secret'))
})
