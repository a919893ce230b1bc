import { getEventListeners } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { Connections } from '../../src/client/connections.ts'
import type { Endpoint } from '../../src/support/transport.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import { judge } from '../../src/wire/status.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { FakeTransport } from '../support/fake-transport.ts'

const A = 'a:2379'
const B = 'b:2379'
const C = 'c:2379'

test('nothing is connected before somebody waits, and then one endpoint only', async t => {
  const { connections, transport } = arrange()
  await settle()
  t.is(transport.links.length, 0)
  const { connection } = await connections.wait('data')
  t.is(connection.endpoint.address, A)
  t.is(transport.links.length, 1)
})

test('each lane has a connection of its own', async t => {
  const { connections, transport } = arrange()
  const data = await connections.wait('data')
  const control = await connections.wait('control')
  t.not(data.link, control.link)
  t.is(transport.links.length, 2)
})

test('an endpoint that keeps silent is joined by the next after 250 ms, and left after three seconds', async t => {
  const { connections, transport, runtime } = arrange()
  transport.greet(A, 'silent').greet(B, 'silent')
  const waiting = connections.wait('data')
  await runtime.advance(249)
  t.deepEqual(addresses(transport), [A])
  await runtime.advance(1)
  t.deepEqual(addresses(transport), [A, B])
  await runtime.advance(250)
  const { connection } = await waiting
  t.is(connection.endpoint.address, C)
  t.is(transport.link(A).state.kind, 'connecting')
  await runtime.advance(2499)
  t.is(transport.link(A).state.kind, 'connecting')
  await runtime.advance(1)
  t.is(transport.link(A).state.kind, 'closed')
  t.regex(connections.complaints('data'), /a:2379: .*did not speak HTTP\/2/)
})

test('an endpoint that refuses is followed by the next at once', async t => {
  const { connections, transport } = arrange()
  transport.greet(A, 'refuse')
  const { connection } = await connections.wait('data')
  t.is(connection.endpoint.address, B)
})

test('an endpoint that refuses is tried again later and later, up to about a second', async t => {
  const { connections, transport, runtime } = arrange([A])
  transport.greet(A, 'refuse')
  const waiting = connections.wait('data')
  const gaps: number[] = []
  let lastMs = runtime.now()
  for (let count = 1; count <= 12; ) {
    await runtime.advance(5)
    if (transport.links.length > count) {
      count = transport.links.length
      gaps.push(runtime.now() - lastMs)
      lastMs = runtime.now()
    }
  }
  t.true(
    gaps.every(gap => gap >= 50 && gap <= 1060),
    String(gaps),
  )
  t.true(Math.max(...gaps.slice(0, 2)) < 260 && Math.max(...gaps.slice(4)) > 260, String(gaps))
  transport.greet(A, 'ready')
  await runtime.advance(1060)
  t.is((await waiting).connection.endpoint.address, A)
})

test('the endpoint that works is stayed with when the first one comes back', async t => {
  const { connections, transport, runtime } = arrange()
  transport.greet(A, 'refuse')
  await connections.wait('data')
  transport.greet(A, 'ready')
  const back = connections.wait('data', { only: connections.endpoints[0] })
  await runtime.advance(1060)
  await back
  t.is(connections.pick('data')?.connection.endpoint.address, B)
})

test('a connection that is lost after a while of work is made again at once, one that hangs up on us is not', async t => {
  const { connections, transport, runtime } = arrange([A])
  await connections.wait('data')
  await runtime.advance(1000)
  transport.link(A).lose()
  const again = connections.wait('data')
  await runtime.advance(0)
  await again
  t.is(transport.links.length, 2)
  transport.link(A).lose()
  const later = connections.wait('data')
  await runtime.advance(49)
  t.is(transport.links.length, 2)
  await runtime.advance(101)
  await later
  t.is(transport.links.length, 3)
})

test('who avoids an endpoint gets another, and after 250 ms rather that one than none', async t => {
  const { connections, transport, runtime } = arrange([A, B])
  const [first] = connections.endpoints
  await connections.wait('data')
  const another = await connections.wait('data', { avoid: new Set([first as Endpoint]) })
  t.is(another.connection.endpoint.address, B)
  transport.greet(B, 'silent')
  transport.link(B).lose()
  const waiting = connections.wait('data', { avoid: new Set([first as Endpoint]) })
  let settled = false
  void waiting.then(() => (settled = true))
  await runtime.advance(200)
  t.false(settled)
  await runtime.advance(300)
  t.is((await waiting).connection.endpoint.address, A)
})

test('who wants one endpoint only waits for it', async t => {
  const { connections, transport, runtime } = arrange()
  transport.greet(C, 'refuse')
  const waiting = connections.wait('data', { only: connections.endpoints[2] })
  await runtime.advance(2000)
  transport.greet(C, 'ready')
  await runtime.advance(1060)
  t.is((await waiting).connection.endpoint.address, C)
})

test('when every endpoint refuses TLS, waiting ends', async t => {
  const { connections, transport, runtime } = arrange([A, B])
  transport.greet(A, 'silent').greet(B, 'silent')
  const error = failure(t, connections.wait('data'))
  await runtime.advance(250)
  transport.link(A).lose('unable to verify the first certificate')
  await settle()
  transport.link(B).lose("Hostname/IP does not match certificate's altnames")
  t.like(await error, { code: 'TLS', outcome: 'not-sent' })
  t.regex(
    (await error).message,
    /a:2379: unable to verify.*b:2379: Hostname.*; check tls\.ca, tls\.serverName/,
  )
})

test('one endpoint that refuses TLS is no reason to give up on the others', async t => {
  const { connections, transport, runtime } = arrange([A, B])
  transport.greet(A, 'silent')
  const waiting = connections.wait('data')
  transport.link(A).lose('unable to verify the first certificate')
  await runtime.advance(250)
  t.is((await waiting).connection.endpoint.address, B)
})

test('certificates that were good once do not end waiting', async t => {
  const { connections, transport, runtime } = arrange([A])
  await connections.wait('data')
  await runtime.advance(1000)
  transport.greet(A, 'silent')
  transport.link(A).lose('certificate has expired')
  const waiting = connections.wait('data')
  await runtime.advance(0)
  transport.link(A).lose('certificate has expired')
  transport.greet(A, 'ready')
  await runtime.advance(1060)
  t.is((await waiting).connection.endpoint.address, A)
})

test('a server that finds our pings too frequent gets half as many on the next connection', async t => {
  const { connections, transport, runtime } = arrange([A])
  const { connection } = await connections.wait('data')
  t.is(transport.link(A).options.pingIntervalMs, 5000)
  const goAway = { status: 8, message: 'Bandwidth exhausted or memory limit exceeded', sent: true }
  const verdict = judge(goAway, { method: '/x.Y/Z', endpoint: 'http://a:2379' })
  const reconnect = async () => {
    await runtime.advance(1000)
    transport.link(A).lose()
    const again = connections.wait('data')
    await runtime.advance(0)
    await again
    return transport.link(A).options.pingIntervalMs
  }
  // Every call under way hears of it.
  for (let call = 0; call < 3; call++) connection.judged(goAway, verdict)
  t.is(await reconnect(), 10_000)
  t.is(await reconnect(), 10_000)
  connection.judged(goAway, verdict)
  t.is(await reconnect(), 20_000)
})

test('who stops waiting leaves no listener and, alone, no stagger', async t => {
  const { connections, transport, runtime } = arrange([A, B])
  transport.greet(A, 'silent')
  const abort = new AbortController()
  const waiting = connections.wait('data', { signal: abort.signal })
  t.is(runtime.pendingTimers, 2)
  abort.abort('enough')
  t.is(await waiting.then(undefined, (reason: unknown) => reason), 'enough')
  t.is(runtime.pendingTimers, 1)
  t.is(getEventListeners(abort.signal, 'abort').length, 0)
})

test('closing ends every wait and every link, and leaves no timer', async t => {
  const { connections, transport, runtime } = arrange()
  transport.greet(A, 'silent').greet(B, 'refuse')
  const waits = [failure(t, connections.wait('data')), failure(t, connections.wait('control'))]
  await runtime.advance(300)
  transport.greet(C, 'silent')
  connections.close(new EtcdError('CLIENT_CLOSED', 'closed', { outcome: 'not-sent' }))
  for (const error of await Promise.all(waits)) t.is(error.code, 'CLIENT_CLOSED')
  t.is((await failure(t, connections.wait('data'))).code, 'CLIENT_CLOSED')
  t.is(runtime.pendingTimers, 0)
  t.true(transport.links.every(({ state }) => state.kind === 'closed'))
})

function arrange(list: readonly string[] = [A, B, C]) {
  const runtime = new FakeRuntime()
  const transport = new FakeTransport()
  const endpoints = list.map(
    (address): Endpoint => ({ url: `http://${address}`, address, scheme: 'tcp', tls: false }),
  )
  return {
    runtime,
    transport,
    connections: new Connections(endpoints, { transport, runtime, tls: undefined }),
  }
}

function addresses(transport: FakeTransport): readonly string[] {
  return transport.links.map(({ endpoint }) => endpoint.address)
}

async function failure(t: ExecutionContext, wait: Promise<unknown>): Promise<EtcdError> {
  const error = await wait.then(
    () => t.fail('it resolved'),
    (reason: unknown) => reason,
  )
  if (!EtcdError.is(error)) throw error
  return error
}
