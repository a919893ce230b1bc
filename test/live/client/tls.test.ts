import test from 'ava'
import { connect } from '../../../src/facade/connect.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { type EtcdServers, startEtcd } from '../../support/etcd-server.ts'
import { series } from '../../support/live.ts'
import { createCertificates, type TestCertificates } from '../../support/tls.ts'

let certificates: TestCertificates
/** Asks no client for a certificate. */
let open: EtcdServers
/** Asks for one. */
let strict: EtcdServers

test.before('two servers speak TLS', async () => {
  certificates = await createCertificates({ serverNames: ['127.0.0.1', 'localhost', 'etcd.internal'] })
  const { caFile, server } = certificates
  const files = { cert: server.certFile, key: server.keyFile }
  ;[open, strict] = await Promise.all([
    startEtcd({ series: series(), tls: files }),
    startEtcd({ series: series(), tls: { ...files, ca: caFile } }),
  ])
})

test.after.always('they are closed', async () => {
  await Promise.all([open?.close(), strict?.close()])
  await certificates?.close()
})

test('a server whose certificate is signed by our authority is trusted, by its address and by its name', async t => {
  const tls = { ca: certificates.ca }
  for (const endpoint of [
    open.endpoint,
    `https://${open.endpoint}`,
    open.endpoint.replace('127.0.0.1', 'localhost'),
  ]) {
    await using etcd = await connect(endpoint, { tls })
    await etcd.put(endpoint, 'v')
    t.is((await etcd.get(endpoint))?.text(), 'v')
  }
})

test('a server is expected under the name that is given', async t => {
  await using etcd = await connect(open.endpoint, {
    tls: { ca: Buffer.from(certificates.ca), serverName: 'etcd.internal' },
  })
  await etcd.put('k', 'v')
  t.is((await etcd.get('k'))?.text(), 'v')
})

const refusals = [
  ['a server nobody vouches for', () => connect(open.endpoint, { tls: {} })],
  [
    'a server another authority vouches for',
    () => connect(open.endpoint, { tls: { ca: certificates.stranger.cert } }),
  ],
  [
    'a certificate for another name',
    () => connect(open.endpoint, { tls: { ca: certificates.ca, serverName: 'elsewhere' } }),
  ],
  ['a missing client certificate', () => connect(strict.endpoint, { tls: { ca: certificates.ca } })],
  [
    'the client certificate of a stranger',
    () => {
      const { ca, stranger } = certificates
      return connect(strict.endpoint, { tls: { ca, cert: stranger.cert, key: stranger.key } })
    },
  ],
] as const

for (const [what, attempt] of refusals) {
  test(`${what} ends connecting at once, with the reason`, async t => {
    const startMs = performance.now()
    const error = await t.throwsAsync(attempt())
    t.true(EtcdError.is(error, 'TLS'), String(error))
    t.is((error as unknown as EtcdError).outcome, 'not-sent')
    t.true(performance.now() - startMs < 4000, `${performance.now() - startMs} ms`)
    t.true(error.message.includes('127.0.0.1'), error.message)
  })
}

test('a client with the right certificate is let in', async t => {
  const { ca, client } = certificates
  await using etcd = await connect(strict.endpoint, { tls: { ca, cert: client.cert, key: client.key } })
  await using watch = etcd.watch('strict')
  await watch.ready
  await etcd.put('strict', 'v')
  for await (const event of watch) {
    t.is(event.type, 'put')
    break
  }
})

test('a server that speaks TLS is not found without it', async t => {
  const error = await t.throwsAsync(connect(open.endpoint, { connectTimeoutMs: 700 }))
  t.true(EtcdError.is(error), String(error))
  t.true(error.message.includes(open.endpoint), error.message)
})
