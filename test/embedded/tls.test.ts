import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { createInterface } from 'node:readline'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { parseCommand } from '../../src/cli/etcd-command.ts'
import { type EmbeddedOptions, startEtcd } from '../../src/embedded/index.ts'
import { connect } from '../../src/index.ts'
import { createCertificates, type TestCertificates } from '../support/tls.ts'

const program = fileURLToPath(new URL('../../src/cli/quorate-etcd.js', import.meta.url))

let certificates: TestCertificates

test.before('there are certificates', async () => {
  certificates = await createCertificates()
})

test.after.always('their files are removed', () => certificates?.close())

test('endpoints say that they speak TLS, and each member tells its clients so', async t => {
  const { ca, server } = certificates
  await using etcd = await startEtcd({ members: 2, tls: { cert: server.cert, key: Buffer.from(server.key) } })
  for (const endpoint of etcd.endpoints) t.regex(endpoint, /^https:\/\/127\.0\.0\.1:\d+$/)
  await using client = await connect(etcd.endpoints, { tls: { ca } })
  await client.put('a', 'v')
  t.is((await client.get('a'))?.text(), 'v')
  const members = await client.cluster.members()
  t.deepEqual(members.flatMap(member => member.clientUrls).sort(), [...etcd.endpoints].sort())
})

test('without a socket nothing is ciphered, and the same endpoints do', async t => {
  const { server } = certificates
  await using etcd = await startEtcd({ tls: { cert: server.cert, key: server.key } })
  await using client = await connect(etcd.endpoints, { transport: etcd.transport })
  await client.put('a', 'v')
  t.is((await client.get('a'))?.text(), 'v')
})

test('a client without the right certificate is refused in words of TLS', async t => {
  const { ca, server, stranger, client } = certificates
  await using etcd = await startEtcd({ tls: { cert: server.cert, key: server.key, ca } })
  const port = Number(new URL(etcd.endpoints[0]!).port)
  for (const material of [{}, { cert: stranger.cert, key: stranger.key }]) {
    const socket = tls.connect({ host: '127.0.0.1', port, ca, ALPNProtocols: ['h2'], ...material })
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    t.is(error.code, 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', String(error))
  }
  await using welcome = await connect(etcd.endpoints, { tls: { ca, cert: client.cert, key: client.key } })
  t.is(await welcome.get('a'), undefined)
})

test('broken connections are made anew, and after close no socket is left', async t => {
  const { ca, server } = certificates
  const etcd = await startEtcd({ tls: { cert: server.cert, key: server.key } })
  const client = await connect(etcd.endpoints, { tls: { ca } })
  await client.put('a', '1')
  etcd.faults.disconnect()
  t.is((await client.get('a'))?.text(), '1')
  // One that never begins its handshake.
  const { hostname, port } = new URL(etcd.endpoints[0]!)
  const silent = net.connect(Number(port), hostname)
  await once(silent, 'connect')
  const ended = once(silent.resume(), 'close')
  await client.get('a')
  await etcd.close()
  await ended
  await client.close()
  t.pass()
})

test('material that is none, or does not fit, is named before anything listens', async t => {
  const { ca, server, client } = certificates
  const { cert, key } = server
  const cases: readonly [object, string][] = [
    [{ cert }, 'startEtcd: tls.cert and tls.key go together, and TLS needs both'],
    [{ key }, 'startEtcd: tls.cert and tls.key go together, and TLS needs both'],
    [{ ca }, 'startEtcd: tls.cert and tls.key go together, and TLS needs both'],
    [{ cert: 'a.pem', key }, 'startEtcd: tls.cert is not PEM: there is no certificate in it'],
    [{ cert: key, key: cert }, 'startEtcd: tls.cert is not PEM: there is no certificate in it'],
    [{ cert, key: new Uint8Array(9) }, 'startEtcd: tls.key is not PEM: there is no private key in it'],
    [{ cert, key, ca: key }, 'startEtcd: tls.ca is not PEM: there is no certificate in it'],
    [{ cert, key: client.key }, 'startEtcd: tls.key is not the key of tls.cert'],
    [{ cert: 7, key }, 'startEtcd: tls.cert is PEM, as a string or a Uint8Array'],
  ]
  for (const [tls, message] of cases) {
    await t.throwsAsync(startEtcd({ tls } as EmbeddedOptions), { instanceOf: TypeError, message })
  }
  const broken = cert.replace(/\n.{8}/, '\nAAAAAAAA')
  const unread = await t.throwsAsync(startEtcd({ tls: { cert: broken, key } }), { instanceOf: TypeError })
  t.true(unread.message.startsWith('startEtcd: tls.cert cannot be read: '), unread.message)
  // The first of the chain is read by anybody, those behind it by OpenSSL alone.
  const chain = await t.throwsAsync(startEtcd({ tls: { cert: `${cert}\n${broken}`, key } }), {
    instanceOf: TypeError,
  })
  t.true(chain.message.startsWith('startEtcd: tls.cert cannot be read: '), chain.message)
  await t.throwsAsync(startEtcd({ port: false, tls: { cert, key } }), {
    message: 'startEtcd: tls is for sockets, and port: false opens none',
  })
  await t.throwsAsync(
    startEtcd({ tls: { cert, key, passphrase: 'x' } as object as { cert: string; key: string } }),
    {
      message: /unknown option 'passphrase'/,
    },
  )
})

test('the command serves TLS with the options of etcd', async t => {
  const { ca, caFile, server, client } = certificates
  const args = [
    `--cert-file=${server.certFile}`,
    `--key-file=${server.keyFile}`,
    `--trusted-ca-file=${caFile}`,
  ]
  const child: ChildProcess = spawn(
    process.execPath,
    [program, '--listen=127.0.0.1:0', ...args, '--client-cert-auth'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string]
  const endpoint = /https:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0]
  t.truthy(endpoint, line)
  const etcd = await connect(endpoint!, { tls: { ca, cert: client.cert, key: client.key } })
  await etcd.put('k', 'v')
  await etcd.close()
  child.kill()
  t.deepEqual(await once(child, 'exit'), [0, null])
})

test('the command says which of its TLS options is missing', t => {
  t.like(parseCommand([]), { tls: undefined })
  t.like(parseCommand(['--cert-file=c', '--key-file=k']), { tls: { cert: 'c', key: 'k', ca: undefined } })
  for (const [args, message] of [
    [['--cert-file=c'], '--cert-file and --key-file go together'],
    [['--key-file=k'], '--cert-file and --key-file go together'],
    [['--trusted-ca-file=a'], '--trusted-ca-file needs --cert-file and --key-file'],
    [
      ['--cert-file=c', '--key-file=k', '--client-cert-auth'],
      '--client-cert-auth needs --trusted-ca-file: who signs the certificates of clients?',
    ],
  ] as const) {
    t.throws(() => parseCommand(args), { message })
  }
})
