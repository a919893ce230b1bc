import test from 'ava'
import { compare } from '../../src/client/compare.ts'
import { op } from '../../src/client/op.ts'
import { connect } from '../../src/facade/connect.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { FakeTransport, header } from '../support/fake-transport.ts'

test('a transaction that reads nothing but what may come from the past needs no leader', async t => {
  const { etcd, transport } = await connected()
  const past = op.get('k', { consistency: 'serializable' })
  const present = op.get('k')
  const isFree = compare('k').createRevision.equals(0n)
  const answers = [
    etcd.txn({ then: [past] }),
    etcd.txn({ if: [isFree], then: [past], else: [past] }),
    etcd.txn({ then: [past, present] }),
    etcd.txn({ if: [isFree], then: [past], else: [present] }),
    etcd.txn({ if: [isFree] }),
    etcd.txn({ then: [past, op.put('k', 'v')] }),
  ]
  await Promise.allSettled(answers)
  const leader = { hasleader: 'true' }
  t.deepEqual(
    transport.calls.map(({ metadata }) => metadata),
    [{}, {}, leader, leader, leader, leader],
  )
})

test('a transaction that reads nothing but what may come from the past is answered from there', async t => {
  const { etcd, transport } = await connected()
  transport.respond = call => call.answer({ header: header(9n) })
  await etcd.put('k', 'v')
  transport.respond = call =>
    call.answer({
      header: header(4n),
      succeeded: true,
      responses: [{ response: { kind: 'range', value: {} } }],
    })
  const { revision } = await etcd.txn({ then: [op.get('k', { consistency: 'serializable' })] })
  t.is(revision, 4n)
})

async function connected() {
  const transport = new FakeTransport()
  transport.respond = call => call.answer({ succeeded: true })
  const etcd = await connect('a:1', { transport, runtime: new FakeRuntime() })
  return { etcd, transport }
}
