import test from 'ava'
import { Engine } from '../../src/client/engine.ts'
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

function arrange() {
  const transport = new FakeTransport()
  const { submitter } = new Engine({
    endpoints: [{ url: 'http://a:2379', address: 'a:2379', scheme: 'tcp', tls: false }],
    transport,
    runtime: new FakeRuntime(),
    credentials: undefined,
    tls: undefined,
    requestTimeoutMs: 10_000,
  })
  const put = (onUnanswered?: () => void) =>
    submitter.submit({
      method: methods.put,
      request: { key: Uint8Array.of(107) },
      footprint: 'alone',
      repeat: 'idempotent',
      onUnanswered,
    })
  return { transport, put }
}
