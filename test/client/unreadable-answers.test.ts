import test from 'ava'
import { Engine } from '../../src/client/engine.ts'
import type { Credentials } from '../../src/client/tokens.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { type FakeCall, FakeTransport, header } from '../support/fake-transport.ts'

for (const [what, code, answer] of [
  ['nobody can read', 'PROTOCOL', (call: FakeCall) => call.answerBytes(Uint8Array.of(255, 255, 255))],
  ['of another cluster', 'CLUSTER_MISMATCH', (call: FakeCall) => call.answer({ header: header(5n, 8n) })],
] as const) {
  test(`an answer ${what} leaves open what became of the request, and whoever asked is told so`, async t => {
    const { transport, put } = arrange()
    const first = put()
    await settle()
    transport.onlyOpen.answer({ header: header(4n, 7n) })
    await first
    let unanswered = 0
    const second = put(() => unanswered++)
    await settle()
    answer(transport.onlyOpen)
    const error = await t.throwsAsync(second)
    t.true(EtcdError.is(error, code))
    t.is((error as EtcdError).outcome, 'unknown')
    t.is(unanswered, 1)
  })
}

test('watches outlast a token that nobody can read, or that is refused to one member for now', async t => {
  const unreadable = (call: FakeCall) => call.answerBytes(Uint8Array.of(255, 255, 255))
  const busy = (call: FakeCall) => call.fail('etcdserver: too many requests', { status: 8 })
  for (const first of [unreadable, busy]) {
    const { transport, runtime, engine } = arrange({ username: 'me', password: 'secret' })
    let asked = 0
    transport.respond = call => (asked++ === 0 ? first(call) : call.answer({ token: 'T' }))
    const ends: EtcdError[] = []
    const sink = {
      opened() {},
      revision() {},
      broken() {},
      ended: (error: EtcdError) => void ends.push(error),
    }
    engine.recipeWatches.watch(
      { key: Uint8Array.of(107), rangeEnd: new Uint8Array(0), onBreak: 'restart' },
      sink,
    )
    await runtime.advance(3000)
    t.deepEqual(ends, [])
    t.is(transport.streams.length, 1)
  }
})

function arrange(credentials?: Credentials) {
  const transport = new FakeTransport()
  const runtime = new FakeRuntime()
  const engine = new Engine({
    endpoints: [{ url: 'http://a:2379', address: 'a:2379', scheme: 'tcp', tls: false }],
    transport,
    runtime,
    credentials,
    tls: undefined,
    requestTimeoutMs: 10_000,
  })
  const put = (onUnanswered?: () => void) =>
    engine.submitter.submit({
      method: methods.put,
      request: { key: Uint8Array.of(107) },
      footprint: 'alone',
      repeat: 'idempotent',
      onUnanswered,
    })
  return { transport, runtime, engine, put }
}
