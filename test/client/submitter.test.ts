import { getEventListeners } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { Answers } from '../../src/client/answers.ts'
import { Connections } from '../../src/client/connections.ts'
import { type Submission, Submitter } from '../../src/client/submitter.ts'
import { type Credentials, Tokens } from '../../src/client/tokens.ts'
import { AbortFanOut } from '../../src/support/abort.ts'
import type { Endpoint } from '../../src/support/transport.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { PutRequest, PutResponse, RangeRequest, RangeResponse } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { type FakeCall, FakeTransport, header } from '../support/fake-transport.ts'

const A = 'a:2379'
const B = 'b:2379'
const C = 'c:2379'
const KEY = Uint8Array.of(107)

test('a request that was not sent goes out again, also a write', async t => {
  const { transport, put } = arrange()
  const answer = put()
  await settle()
  transport.onlyOpen.fail('no connection', { sent: false })
  await settle()
  transport.onlyOpen.answer({ header: header(5n) })
  t.is((await answer).header?.revision, 5n)
  t.deepEqual(transport.route, [A, B])
})

test('a write whose answer was lost is not made again, and its outcome is unknown', async t => {
  const { transport, runtime, put } = arrange()
  const answer = put()
  await settle()
  transport.onlyOpen.fail('connection dropped')
  const error = await failure(t, answer)
  t.is(error.code, 'UNAVAILABLE')
  t.is(error.outcome, 'unknown')
  t.is(transport.calls.length, 1)
  t.is(runtime.pendingTimers, 0)
})

test('a repeatable request whose answer was lost is made again elsewhere', async t => {
  const { transport, put } = arrange()
  let unanswered = 0
  const answer = put({ repeat: 'idempotent', onUnanswered: () => unanswered++ })
  await settle()
  transport.onlyOpen.fail('connection dropped')
  await settle()
  transport.onlyOpen.answer()
  await answer
  t.deepEqual(transport.route, [A, B])
  t.is(unanswered, 1)
})

test('a read is left after two seconds and made elsewhere, a write is waited for', async t => {
  const { transport, runtime, get, put } = arrange()
  const read = get()
  const write = failure(t, put())
  await settle()
  await runtime.advance(1999)
  t.is(transport.open.length, 2)
  await runtime.advance(1)
  t.deepEqual(
    transport.open.map(({ path, address }) => [path.split('/')[2], address]),
    [
      ['Put', A],
      ['Range', B],
    ],
  )
  transport.open.find(({ address }) => address === B)?.answer()
  await read
  await runtime.advance(7999)
  t.is(transport.open.length, 1)
  await runtime.advance(1)
  t.like(await write, { code: 'TIMEOUT', outcome: 'unknown' })
  t.is(runtime.pendingTimers, 0)
})

test('an unreachable cluster fails a call after ten seconds, and the error lists every endpoint', async t => {
  const { transport, runtime, get } = arrange()
  transport.greet(A, 'refuse').greet(B, 'silent').greet(C, 'refuse')
  const answer = failure(t, get())
  await runtime.advance(9999)
  t.is(transport.calls.length, 0)
  let over = false
  void answer.then(() => (over = true))
  await settle()
  t.false(over)
  await runtime.advance(1)
  const error = await answer
  t.like(error, { code: 'UNAVAILABLE', outcome: 'not-sent' })
  for (const address of [A, B, C]) t.true(error.message.includes(address), error.message)
  t.regex(error.message, /connection refused/)
})

test('when every endpoint has failed a call, its error says what each one said', async t => {
  const { transport, runtime, get } = arrange()
  transport.respond = call => call.fail(`etcdserver: request timed out, ${call.address} is tired`)
  const answer = failure(t, get())
  await runtime.advance(10_000)
  const { message } = await answer
  for (const address of [A, B, C]) t.true(message.includes(`${address} is tired`), message)
})

test('a member that fails a call is passed over until all have', async t => {
  const { transport, runtime, get } = arrange()
  transport.respond = call => call.fail('etcdserver: no leader')
  const answer = failure(t, get({ timeoutMs: 1000 }))
  await runtime.advance(1000)
  await answer
  t.deepEqual([...transport.route.slice(0, 3)].sort(), [A, B, C])
})

test('an aborted call rejects at once with the reason of its signal, and leaves no listener and no timer', async t => {
  const { transport, runtime, put } = arrange()
  const abort = new AbortController()
  let unanswered = 0
  const answer = put({ signal: abort.signal, onUnanswered: () => unanswered++ })
  await settle()
  t.is(getEventListeners(abort.signal, 'abort').length, 1)
  const reason = new Error('enough')
  abort.abort(reason)
  t.is(await t.throwsAsync(answer), reason)
  t.is(transport.calls[0]?.state, 'cancelled')
  t.is(unanswered, 1)
  t.is(getEventListeners(abort.signal, 'abort').length, 0)
  t.is(runtime.pendingTimers, 0)
})

test('a call aborted while it waits for a connection leaves no timer but the connecting itself', async t => {
  const { transport, runtime, get, connections } = arrange()
  for (const address of [A, B, C]) transport.greet(address, 'silent')
  const abort = new AbortController()
  const answer = get({ signal: abort.signal })
  await settle()
  abort.abort('enough')
  t.is(await answer.then(undefined, (reason: unknown) => reason), 'enough')
  t.is(transport.links.length, 1)
  t.is(runtime.pendingTimers, 1)
  connections.close(closed())
  t.is(runtime.pendingTimers, 0)
})

test('a signal that has aborted already sends nothing', async t => {
  const { transport, get } = arrange()
  const reason = new Error('before')
  t.is(await t.throwsAsync(get({ signal: AbortSignal.abort(reason) })), reason)
  t.is(transport.links.length, 0)
})

test('a caller that leaves between two attempts sends nothing more', async t => {
  const { transport, get } = arrange()
  const abort = new AbortController()
  transport.respond = call => {
    call.fail('no connection', { sent: false })
    // Settles before the next attempt begins, in the same turn.
    queueMicrotask(() => abort.abort('enough'))
  }
  t.is(await get({ signal: abort.signal }).then(undefined, (reason: unknown) => reason), 'enough')
  await settle()
  t.is(transport.calls.length, 1)
})

test('a hundred calls put one listener on the signal they share', async t => {
  const { transport, get } = arrange()
  const abort = new AbortController()
  const answers = Array.from({ length: 100 }, () => get({ signal: abort.signal }))
  await settle()
  t.is(transport.open.length, 100)
  t.is(getEventListeners(abort.signal, 'abort').length, 1)
  for (const call of transport.open) call.answer()
  await Promise.all(answers)
  t.is(getEventListeners(abort.signal, 'abort').length, 0)
})

test('a server with too many requests is asked again after a pause, also for a write', async t => {
  const { transport, runtime, put } = arrange({ addresses: [A] })
  const answer = put()
  await settle()
  transport.onlyOpen.fail('etcdserver: too many requests', { status: 8 })
  await settle()
  t.is(transport.open.length, 0)
  await runtime.advance(25)
  transport.onlyOpen.answer({ header: header(3n) })
  t.is((await answer).header?.revision, 3n)
})

test('a refusal is final', async t => {
  const { transport, put } = arrange()
  const answer = put()
  await settle()
  transport.onlyOpen.fail('etcdserver: requested lease not found', { status: 5 })
  t.like(await failure(t, answer), { code: 'LEASE_NOT_FOUND', outcome: 'rejected' })
  t.is(transport.calls.length, 1)
})

test('a refusal after an attempt without an answer has an unknown outcome', async t => {
  const { transport, put } = arrange()
  const answer = put({ repeat: 'idempotent' })
  await settle()
  transport.onlyOpen.fail('connection dropped')
  await settle()
  transport.onlyOpen.fail('etcdserver: requested lease not found', { status: 5 })
  const error = await failure(t, answer)
  t.like(error, { code: 'LEASE_NOT_FOUND', outcome: 'unknown' })
  t.regex(error.message, /an earlier attempt got no answer/)
})

test('a linearizable answer older than what was seen is asked for again elsewhere', async t => {
  const { transport, get } = arrange()
  const first = get()
  await settle()
  transport.onlyOpen.answer({ header: header(10n) })
  await first
  const second = get({ consistency: 'linearizable' })
  await settle()
  transport.onlyOpen.answer({ header: header(9n) })
  await settle()
  t.is(transport.onlyOpen.address, B)
  transport.onlyOpen.answer({ header: header(10n) })
  t.is((await second).header?.revision, 10n)
})

test('an answer is held against what was seen when it was asked for, not when it came', async t => {
  const { transport, get } = arrange()
  const slow = get({ consistency: 'linearizable' })
  await settle()
  const fast = get()
  await settle()
  transport.open[1]?.answer({ header: header(10n) })
  await fast
  transport.onlyOpen.answer({ header: header(9n) })
  t.is((await slow).header?.revision, 9n)
})

test('a linearizable answer below the revision its caller names is asked for again', async t => {
  const { transport, get } = arrange()
  const answer = get({ consistency: 'linearizable', atLeast: 20n })
  await settle()
  transport.onlyOpen.answer({ header: header(19n) })
  await settle()
  transport.onlyOpen.answer({ header: header(20n) })
  t.is((await answer).header?.revision, 20n)
})

test('a serializable answer may come from the past, and needs no leader', async t => {
  const { transport, get } = arrange()
  const first = get()
  await settle()
  t.is(transport.onlyOpen.metadata.hasleader, 'true')
  transport.onlyOpen.answer({ header: header(10n) })
  await first
  const second = get({ consistency: 'serializable' })
  await settle()
  t.deepEqual(transport.onlyOpen.metadata, {})
  transport.onlyOpen.answer({ header: header(4n) })
  t.is((await second).header?.revision, 4n)
})

test('an answer from another cluster is an error', async t => {
  const { transport, get } = arrange()
  const first = get()
  await settle()
  transport.onlyOpen.answer({ header: header(1n, 7n) })
  await first
  const second = get()
  await settle()
  transport.onlyOpen.answer({ header: header(1n, 8n) })
  t.is((await failure(t, second)).code, 'CLUSTER_MISMATCH')
})

test('an answer nobody can read is an error of the protocol', async t => {
  const { transport, get } = arrange()
  const answer = get()
  await settle()
  transport.onlyOpen.answerBytes(Uint8Array.of(255, 255, 255))
  t.like(await failure(t, answer), { code: 'PROTOCOL', outcome: 'unknown' })
})

test('closing settles every call with CLIENT_CLOSED and leaves no timer', async t => {
  const { transport, runtime, connections, get, put } = arrange()
  const write = failure(t, put())
  const read = failure(t, get())
  await settle()
  const [, readCall] = transport.open
  readCall?.fail('etcdserver: too many requests', { status: 8 })
  await settle()
  t.is(transport.open.length, 1)
  connections.close(closed())
  t.like(await write, { code: 'CLIENT_CLOSED', outcome: 'unknown' })
  t.like(await read, { code: 'CLIENT_CLOSED', outcome: 'not-sent' })
  t.like(await failure(t, get()), { code: 'CLIENT_CLOSED', outcome: 'not-sent' })
  t.is(runtime.pendingTimers, 0)
  t.true(transport.links.every(({ state }) => state.kind === 'closed'))
})

test('a call for one endpoint goes to no other', async t => {
  const { transport, runtime, get, endpoints } = arrange()
  const answer = get({ only: endpoints[1] })
  await settle()
  t.is(transport.onlyOpen.address, B)
  transport.onlyOpen.fail('connection dropped')
  await runtime.advance(1000)
  t.is(transport.onlyOpen.address, B)
  transport.onlyOpen.answer()
  await answer
})

test('no attempt follows once a caller wants no more of them', async t => {
  const { transport, runtime, get } = arrange()
  const enough = new AbortController()
  const answer = failure(t, get({ noMoreAttempts: enough }))
  await settle()
  enough.abort()
  await settle()
  t.is(transport.open.length, 1)
  transport.onlyOpen.fail('connection dropped')
  t.is((await answer).code, 'UNAVAILABLE')
  t.is(transport.calls.length, 1)
  t.is(runtime.pendingTimers, 0)
})

test('whoever wants no more attempts while a token is fetched sends none', async t => {
  const { transport, runtime, put } = arrange({ credentials: { username: 'me', password: 'secret' } })
  const enough = new AbortController()
  const answer = failure(t, put({ noMoreAttempts: enough }))
  await settle()
  t.is(transport.onlyOpen.path, methods.authenticate.path)
  enough.abort()
  t.like(await answer, { code: 'UNAVAILABLE', outcome: 'not-sent' })
  transport.onlyOpen.answer({ token: 't1' })
  await settle()
  t.is(transport.calls.length, 1)
  t.is(runtime.pendingTimers, 0)
})

test('whoever wants no more attempts sends none, in whatever moment a connection or a token comes', async t => {
  for (const credentials of [undefined, { username: 'me', password: 'secret' }]) {
    for (let steps = 0; steps < 40; steps++) {
      const { transport, put } = arrange({ credentials })
      const enough = new AbortController()
      transport.respond = call => call.answer({ token: 't1' })
      const answer = put({ noMoreAttempts: enough }).then(
        () => 'answered',
        () => 'failed',
      )
      for (let step = 0; step < steps; step++) await undefined
      const sent = () => transport.calls.filter(({ path }) => path === methods.put.path).length
      const before = sent()
      enough.abort()
      t.is(await answer, before === 0 ? 'failed' : 'answered')
      t.is(sent(), before)
    }
  }
})

test('a refused token is not replaced for a call that is to be made no more', async t => {
  const { transport, get, put } = arrange({ credentials: { username: 'me', password: 'secret' } })
  let tokens = 0
  transport.respond = call => {
    if (call.path === methods.authenticate.path) call.answer({ token: `t${++tokens}` })
    if (call.path === methods.range.path && call.metadata.token === 't1') refuse(call)
  }
  const enough = new AbortController()
  const written = failure(t, put({ noMoreAttempts: enough }))
  await settle()
  const write = transport.onlyOpen
  const read = get()
  await settle()
  // By now there is another token, which somebody else has asked for.
  t.is(tokens, 2)
  enough.abort()
  refuse(write)
  t.like(await written, { code: 'UNAUTHENTICATED', outcome: 'rejected' })
  transport.onlyOpen.answer()
  await read
  const late = failure(t, put({ noMoreAttempts: enough }))
  await settle()
  refuse(transport.onlyOpen)
  t.is((await late).code, 'UNAUTHENTICATED')
  t.is(tokens, 2)
})

test('a call only one member can answer is waited for as long as it has time', async t => {
  const { transport, runtime, get, endpoints } = arrange()
  const answer = get({ only: endpoints[1], timeoutMs: 60_000 })
  await settle()
  const link = transport.link(B)
  await runtime.advance(59_999)
  transport.onlyOpen.answer({ header: header(3n) })
  t.is((await answer).header?.revision, 3n)
  t.is(transport.calls.length, 1)
  t.is(link.state.kind, 'ready')
  const unanswered = failure(t, get({ only: endpoints[1], timeoutMs: 3000 }))
  await runtime.advance(3000)
  t.like(await unanswered, { code: 'TIMEOUT', outcome: 'unknown' })
})

test('a read that takes three seconds is answered within its timeoutMs, and its connection stays', async t => {
  for (const addresses of [[A], [A, B, C]]) {
    const { transport, runtime, get } = arrange({ addresses })
    transport.respond = call => runtime.setTimer(3000, () => call.answer({ header: header(3n) }))
    const answer = get()
    await runtime.advance(10_000)
    t.is((await answer).header?.revision, 3n)
    // Each member is left after two seconds once.
    t.deepEqual(transport.route.slice(0, addresses.length), addresses)
    t.is(transport.calls.length, addresses.length + 1)
    t.true(transport.links.every(({ state }) => state.kind === 'ready'))
    t.is(transport.links.length, addresses.length)
  }
})

test('each attempt is told of before it is sent', async t => {
  const { transport, runtime, get } = arrange()
  const sent: [number, number][] = []
  const answer = get({ onSend: atMs => sent.push([atMs, transport.calls.length]) })
  await settle()
  const startMs = runtime.now()
  await runtime.advance(2000)
  transport.onlyOpen.answer()
  await answer
  t.deepEqual(sent, [
    [startMs, 0],
    [startMs + 2000, 1],
  ])
})

test('calls that come with credentials wait for one token and carry it', async t => {
  const { transport, get } = arrange({ credentials: { username: 'me', password: 'secret' } })
  const answers = [get(), get(), get()]
  await settle()
  const { name, password } = transport.onlyOpen.request(methods.authenticate)
  t.deepEqual([name, password], ['me', 'secret'])
  transport.onlyOpen.answer({ token: 'first' })
  await settle()
  t.deepEqual(
    transport.open.map(({ metadata }) => metadata),
    Array.from({ length: 3 }, () => ({ hasleader: 'true', token: 'first' })),
  )
  for (const call of transport.open) call.answer()
  await Promise.all(answers)
})

test('a refused token is replaced once for all calls that carried it', async t => {
  const { transport, get, put } = arrange({ credentials: { username: 'me', password: 'secret' } })
  let tokens = 0
  transport.respond = call => {
    if (call.path === methods.authenticate.path) call.answer({ token: `t${++tokens}` })
    else if (call.metadata.token === 't1') call.fail('etcdserver: invalid auth token', { status: 16 })
    else call.answer()
  }
  await Promise.all([get(), put(), get()])
  t.is(tokens, 2)
})

test('a call fetches no more than two tokens', async t => {
  const { transport, get } = arrange({ addresses: [A], credentials: { username: 'me', password: 'secret' } })
  let tokens = 0
  transport.respond = call => {
    if (call.path === methods.authenticate.path) call.answer({ token: `t${++tokens}` })
    else call.fail('etcdserver: invalid auth token', { status: 16 })
  }
  t.like(await failure(t, get()), { code: 'UNAUTHENTICATED', outcome: 'rejected' })
  t.is(tokens, 2)
})

test('a server that wants a token from a client without credentials is asked once', async t => {
  const { transport, get } = arrange()
  transport.respond = call => call.fail('etcdserver: user name is empty', { status: 3 })
  t.is((await failure(t, get())).code, 'UNAUTHENTICATED')
  t.is(transport.calls.length, 1)
})

test('a wrong password ends the call, and its error does not name it', async t => {
  const { transport, get } = arrange({ credentials: { username: 'me', password: 'secret' } })
  const answers = [failure(t, get()), failure(t, get())]
  await settle()
  transport.onlyOpen.fail('etcdserver: authentication failed, invalid user ID or password', { status: 3 })
  for (const error of await Promise.all(answers)) {
    t.is(error.code, 'AUTH_FAILED')
    t.false(`${error.message}${error.stack}${JSON.stringify(error)}`.includes('secret'))
  }
  t.is(transport.calls.length, 1)
})

test('an endpoint that gives no token for reasons of its own is passed over, a busy one asked again', async t => {
  const { transport, runtime, put } = arrange({ credentials: { username: 'me', password: 'secret' } })
  const routes: string[] = []
  let busy = 1
  transport.respond = call => {
    if (call.path !== methods.authenticate.path) return call.answer()
    routes.push(call.address)
    if (call.address === A) return call.fail('etcdserver: rpc not supported for learner', { status: 9 })
    if (busy-- > 0) return call.fail('etcdserver: too many requests', { status: 8 })
    call.answer({ token: 'T' })
  }
  const written = put()
  await runtime.advance(1000)
  await written
  t.is(routes[0], A)
  t.is(transport.calls.filter(({ path }) => path === methods.put.path).length, 1)
})

test('a call whose token never comes, or that nobody can read, is known not to be sent', async t => {
  for (const how of ['silent', 'unreadable'] as const) {
    const { transport, runtime, put } = arrange({ credentials: { username: 'me', password: 'secret' } })
    if (how === 'unreadable') transport.respond = call => call.answerBytes(Uint8Array.of(255, 255, 255))
    const failed = failure(t, put())
    await runtime.advance(12_000)
    t.like(await failed, { code: how === 'silent' ? 'TIMEOUT' : 'PROTOCOL', outcome: 'not-sent' })
    t.true(transport.calls.every(({ path }) => path === methods.authenticate.path))
  }
})

test('a server without authentication is spoken to without a token', async t => {
  const { transport, get } = arrange({ credentials: { username: 'me', password: 'secret' } })
  transport.respond = call => {
    if (call.path === methods.authenticate.path) {
      call.fail('etcdserver: authentication is not enabled', { status: 9 })
    } else {
      call.answer()
    }
  }
  await get()
  await get()
  t.deepEqual(
    transport.calls.map(({ path, metadata }) => [path, metadata.token]),
    [
      [methods.authenticate.path, undefined],
      [methods.range.path, undefined],
      [methods.range.path, undefined],
    ],
  )
})

test('two reads in a row without an answer end the connection, one answer between them does not', async t => {
  const { transport, runtime, get } = arrange({ addresses: [A] })
  const first = get()
  await runtime.advance(2025)
  t.is(transport.link(A).state.kind, 'ready')
  transport.onlyOpen.answer()
  await first
  const second = get()
  await runtime.advance(2025)
  t.is(transport.link(A).state.kind, 'ready')
  const link = transport.link(A)
  await runtime.advance(4000)
  t.is(link.state.kind, 'closed')
  await runtime.advance(1000)
  t.not(transport.link(A), link)
  transport.onlyOpen.answer()
  await second
})

test('calls that give up soon end no connection on which others wait in patience, unless it is silent for long', async t => {
  const { transport, runtime, get, put } = arrange({ addresses: [A] })
  const first = get()
  await settle()
  transport.onlyOpen.answer()
  await first
  const link = transport.link(A)
  const written = put()
  await settle()
  const answer = transport.onlyOpen
  for (let call = 0; call < 3; call++) {
    const hurried = failure(t, get({ timeoutMs: 10 }))
    await runtime.advance(10)
    t.is((await hurried).code, 'TIMEOUT')
  }
  t.is(link.state.kind, 'ready')
  answer.answer()
  await written
  for (let call = 0; call < 10; call++) {
    t.is(link.state.kind, 'ready')
    const hurried = failure(t, get({ timeoutMs: 200 }))
    await runtime.advance(200)
    await hurried
  }
  t.is(link.state.kind, 'closed')
})

test('a client that stood still itself takes no connection for dead, and what is under way on it is answered', async t => {
  const { transport, runtime, get, put } = arrange({ addresses: [A] })
  const reads = [get(), get()]
  const written = put()
  await settle()
  const link = transport.link(A)
  const answer = transport.open.find(({ path }) => path === methods.put.path)
  // What the server has said waits in the socket, which is read after the timers.
  runtime.stall(2500)
  await runtime.advance(0)
  t.is(link.state.kind, 'ready')
  answer?.answer({ header: header(2n) })
  t.is((await written).header?.revision, 2n)
  transport.respond = call => call.answer({ header: header(2n) })
  for (const call of transport.open) call.answer({ header: header(2n) })
  await runtime.advance(1000)
  await Promise.all(reads)
})

test('a member that has lost its leader is left by the calls that follow, also where none may be repeated', async t => {
  const { transport, put } = arrange()
  transport.respond = call =>
    call.address === A ? call.fail('etcdserver: no leader') : call.answer({ header: header(2n) })
  t.is((await failure(t, put())).code, 'NO_LEADER')
  await put().catch(() => {})
  await settle()
  t.is((await put()).header?.revision, 2n)
  t.not(transport.route.at(-1), A)
})

interface Parts {
  readonly addresses?: readonly string[]
  readonly credentials?: Credentials | undefined
}

type Wishes<Request, Response> = Partial<Omit<Submission<Request, Response>, 'method' | 'request'>>

function arrange({ addresses = [A, B, C], credentials }: Parts = {}) {
  const runtime = new FakeRuntime()
  const transport = new FakeTransport()
  const endpoints = addresses.map(
    (address): Endpoint => ({ url: `http://${address}`, address, scheme: 'tcp', tls: false }),
  )
  const connections = new Connections(endpoints, { transport, runtime, tls: undefined })
  const tokens = new Tokens(credentials, runtime)
  const answers = new Answers()
  const submitter = new Submitter({
    connections,
    tokens,
    answers,
    aborts: new AbortFanOut(),
    runtime,
    requestTimeoutMs: 10_000,
  })
  return {
    runtime,
    transport,
    endpoints,
    connections,
    get: (wishes: Wishes<RangeRequest, RangeResponse> = {}) =>
      submitter.submit({ method: methods.range, request: { key: KEY }, footprint: 'alone', ...wishes }),
    put: (wishes: Wishes<PutRequest, PutResponse> = {}) =>
      submitter.submit({ method: methods.put, request: { key: KEY }, footprint: 'alone', ...wishes }),
  }
}

function refuse(call: FakeCall): void {
  call.fail('etcdserver: invalid auth token', { status: 16 })
}

function closed(): EtcdError {
  return new EtcdError('CLIENT_CLOSED', '[CLIENT_CLOSED] the client was closed', { outcome: 'not-sent' })
}

async function failure(t: ExecutionContext, answer: Promise<unknown>): Promise<EtcdError> {
  const error = await answer.then(
    () => t.fail('it resolved'),
    (reason: unknown) => reason,
  )
  if (!EtcdError.is(error)) throw error
  return error
}
