import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, connect as dial, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'ava'
import { connect } from '../../../src/facade/connect.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { freePorts } from '../../support/free-port.ts'
import { startProxy } from '../../support/tcp-proxy.ts'
import { useClient } from './use-client.ts'

const live = useClient(test)

test('a client connects through a socket file', async t => {
  const { servers } = live()
  const folder = await mkdtemp(path.join(tmpdir(), 'quorate-socket-'))
  const file = path.join(folder, 'etcd.sock')
  const bridge = await bridgeTo(servers.endpoint, file)
  try {
    await using etcd = await connect(`unix:${file}`)
    await etcd.put('unix', 'v')
    t.is((await etcd.get('unix'))?.text(), 'v')
    await using watch = etcd.watch('unix', { from: 1n })
    for await (const event of watch) {
      t.is(event.type, 'put')
      break
    }
  } finally {
    bridge.close()
    await rm(folder, { recursive: true, force: true })
  }
})

test.serial('proxies named by the environment are left alone', async t => {
  const { servers } = live()
  const [port] = await freePorts(1)
  const nobody = `http://127.0.0.1:${port}`
  const names = ['http_proxy', 'https_proxy', 'grpc_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy']
  const before = names.map(name => [name, process.env[name]] as const)
  for (const name of names) process.env[name] = nobody
  try {
    await using etcd = await connect(servers.endpoint)
    await etcd.put('no-proxy', 'v')
    t.is((await etcd.get('no-proxy'))?.text(), 'v')
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
})

test('localhost and the address are the same server', async t => {
  const { servers, etcd } = live()
  await using other = await connect(servers.endpoint.replace('127.0.0.1', 'localhost'))
  await etcd.put('same', 'v')
  t.is((await other.get('same'))?.text(), 'v')
})

test('one endpoint that answers is enough', async t => {
  const { servers } = live()
  const [port] = await freePorts(1)
  await using etcd = await connect([`127.0.0.1:${port}`, servers.endpoint])
  await etcd.put('enough', 'v')
  t.pass()
})

test('when no endpoint answers, the error says what each one said', async t => {
  const [one, two] = await freePorts(2)
  const endpoints = [`127.0.0.1:${one}`, `127.0.0.1:${two}`]
  const error = await t.throwsAsync(connect(endpoints, { connectTimeoutMs: 500 }))
  t.true(EtcdError.is(error, 'UNAVAILABLE'))
  for (const endpoint of endpoints) t.true(error.message.includes(`${endpoint}: `), error.message)
  t.regex(error.message, /ECONNREFUSED/)
})

test('connecting is given up by a signal, with its reason', async t => {
  const [port] = await freePorts(1)
  const reason = new Error('enough')
  const abort = new AbortController()
  const connecting = connect(`127.0.0.1:${port}`, { signal: abort.signal })
  abort.abort(reason)
  t.is(await t.throwsAsync(connecting), reason)
  t.is(await t.throwsAsync(connect(`127.0.0.1:${port}`, { signal: AbortSignal.abort(reason) })), reason)
})

test('a peer that accepts and never speaks is passed over', async t => {
  const { servers } = live()
  await using proxy = await startProxy(servers.endpoint)
  proxy.acceptSilently()
  const startMs = performance.now()
  await using etcd = await connect([proxy.endpoint, servers.endpoint])
  await etcd.put('silent', 'v')
  t.true(performance.now() - startMs < 2500)
})

test('an answer that is lost makes the outcome of a write unknown, and a read is made elsewhere', async t => {
  const { servers } = live()
  await using proxy = await startProxy(servers.endpoint)
  await using etcd = await connect([proxy.endpoint, servers.endpoint])
  await etcd.put('lost', '1')
  proxy.blackhole('down')
  const timedOut = t.throwsAsync(etcd.put('lost', '2', { timeoutMs: 3000 }))
  const loss = proxy.nextLoss('down')
  await loss
  const startMs = performance.now()
  t.is((await etcd.get('lost'))?.text(), '2')
  t.true(performance.now() - startMs < 3500)
  const error = await timedOut
  t.true(EtcdError.is(error, 'TIMEOUT'))
  t.is((error as unknown as EtcdError).outcome, 'unknown')
})

test('a client whose connection was reset goes on', async t => {
  const { servers } = live()
  await using proxy = await startProxy(servers.endpoint)
  await using etcd = await connect(proxy.endpoint)
  for (let round = 0; round < 5; round++) {
    proxy.reset()
    t.is((await etcd.get('reset'))?.text(), undefined)
  }
})

test('after closing, every call rejects with CLIENT_CLOSED, and closing again is quiet', async t => {
  const etcd = await connect(live().servers.endpoint)
  await etcd.put('closing', 'v')
  const underWay = etcd.get('closing').then(
    () => undefined,
    (error: unknown) => error,
  )
  await etcd.close()
  await etcd.close()
  const error = await underWay
  t.true(error === undefined || EtcdError.is(error, 'CLIENT_CLOSED'), String(error))
  for (const call of [etcd.get('k'), etcd.put('k', 'v'), etcd.lease.grant(10), etcd.cluster.members()])
    t.true(EtcdError.is(await t.throwsAsync(call), 'CLIENT_CLOSED'))
})

/** A server on a socket file that passes everything on. */
async function bridgeTo(target: string, file: string): Promise<Server> {
  const [host, port] = target.split(':')
  const server = createServer(socket => {
    const onward = dial(Number(port), host)
    socket.pipe(onward).pipe(socket)
    socket.on('error', () => onward.destroy())
    onward.on('error', () => socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(file, resolve))
  return server
}
