import test from 'ava'
import { compare, connect, EtcdError, op } from '../../src/index.ts'
import { mapKey } from '../../src/wire/bytes.ts'
import type { RequestOp } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime, settle } from '../support/fake-runtime.ts'
import { type FakeCall, FakeTransport, header } from '../support/fake-transport.ts'

for (const method of ['lock', 'tryLock'] as const) {
  test(`the task behind a ${method} is not given its token again, though the key be there again`, async t => {
    const { transport, session, found, created, deleted } = await arrange()
    const mutex = session.mutex('lock')
    const first = mutex[method]()
    await settle()
    created(transport.onlyOpen, 10n)
    const hold = await first
    t.is(hold?.fencingToken, 10n)
    const second = mutex.lock()
    const unlocking = hold?.unlock()
    await settle()
    deleted(transport.onlyOpen, 10n)
    await unlocking
    await settle()
    // As from a cluster that was set back.
    found(transport.onlyOpen, 10n)
    await settle()
    deleted(transport.onlyOpen, 10n)
    await settle()
    created(transport.onlyOpen, 14n)
    t.is((await second).fencingToken, 14n)
  })
}

test('a key found that was never owned is, under the revision it was created at', async t => {
  const { transport, session, found } = await arrange()
  const locking = session.mutex('lock').lock()
  await settle()
  found(transport.onlyOpen, 9n)
  t.is((await locking).fencingToken, 9n)
})

test('an unlock names the revision its key was created at', async t => {
  const { transport, session, created, deleted } = await arrange()
  const locking = session.mutex('lock').lock()
  await settle()
  created(transport.onlyOpen, 10n)
  const unlocking = (await locking).unlock()
  await settle()
  const { compare } = transport.onlyOpen.request(methods.txn)
  t.deepEqual(
    compare.map(({ key, operand }) => [mapKey(key), operand]),
    [[`lock/${session.leaseId.toString(16)}`, { kind: 'createRevision', value: 10n }]],
  )
  deleted(transport.onlyOpen, 10n)
  await unlocking
})

test('a second task of the session sends nothing until the key of the first is known to be gone', async t => {
  const { transport, session, created, deleted } = await arrange()
  const mutex = session.mutex('lock')
  const first = mutex.lock()
  await settle()
  created(transport.onlyOpen, 10n)
  const second = mutex.lock()
  await settle()
  t.deepEqual(transport.open, [])
  const unlocking = (await first).unlock()
  await settle()
  const release = transport.onlyOpen
  deleted(release, 10n)
  await unlocking
  await settle()
  created(transport.onlyOpen, 12n)
  t.is((await second).fencingToken, 12n)
})

for (const [what, conditions] of [
  ['without conditions of its own', []],
  ['with conditions of its own', [compare('k').version.equals(0n)]],
] as const) {
  test(`a transaction under the lock, ${what}, is guarded by its token, and its failure is the loss`, async t => {
    const { transport, session, created } = await arrange()
    const locking = session.mutex('lock').lock()
    await settle()
    created(transport.onlyOpen, 10n)
    const hold = await locking
    const writing = t.throwsAsync(hold.txn({ if: conditions, then: [op.put('k', 'v')] }))
    await settle()
    const { compare: guards } = transport.onlyOpen.request(methods.txn)
    t.deepEqual(
      guards.map(({ key, operand }) => [mapKey(key), operand]),
      [[mapKey(hold.key), { kind: 'createRevision', value: 10n }]],
    )
    transport.onlyOpen.answer({ header: header(22n), succeeded: false, responses: [] })
    t.true(EtcdError.is(await writing, 'LOCK_LOST'))
    t.false(hold.held)
  })
}

for (const method of ['lock', 'tryLock'] as const) {
  test(`an answer to ${method} that makes no sense leaves the key under a watch`, async t => {
    const { transport, session } = await arrange()
    const locking = t.throwsAsync(async () => session.mutex('lock')[method]())
    await settle()
    transport.onlyOpen.answer({ header: header(20n), succeeded: false, responses: [] })
    await locking
    await settle()
    const [stream] = transport.streams
    const creations = stream?.sent.map(bytes => methods.watch.request.decode(bytes).request)
    t.deepEqual(
      creations?.map(request => request?.kind === 'create' && mapKey(request.value.key)),
      [`lock/${session.leaseId.toString(16)}`],
    )
  })
}

async function arrange() {
  const transport = new FakeTransport()
  const runtime = new FakeRuntime()
  const etcd = await connect('a:2379', { transport, runtime })
  const opening = etcd.session({ ttl: 10 })
  await settle()
  const { id, ttl } = transport.onlyOpen.request(methods.leaseGrant)
  transport.onlyOpen.answer({ id, ttl })
  const session = await opening
  const kv = (createRevision: bigint) => ({
    key: Buffer.from(`lock/${session.leaseId.toString(16)}`),
    createRevision,
    lease: session.leaseId,
  })
  const range = (...kvs: readonly ReturnType<typeof kv>[]) => ({
    response: { kind: 'range', value: { kvs, count: BigInt(kvs.length) } },
  })
  const put = { response: { kind: 'put', value: {} } }
  const kindsOf = (steps: readonly RequestOp[]) => steps.map(({ request }) => request?.kind)
  return {
    transport,
    session,
    /** The transaction is one that creates our key, and has done so. */
    created: (call: FakeCall, revision: bigint) => {
      const { success } = call.request(methods.txn)
      if (kindsOf(success)[0] !== 'put') throw new Error('it does not create our key')
      const responses = success.length === 1 ? [put] : [put, range(kv(revision))]
      call.answer({ header: header(revision), succeeded: true, responses })
    },
    /** It found our key instead. */
    found: (call: FakeCall, createRevision: bigint) => {
      const { failure } = call.request(methods.txn)
      const responses = failure.map(() => range(kv(createRevision)))
      call.answer({ header: header(20n), succeeded: false, responses })
    },
    /** It deletes our key, and has done so. */
    deleted: (call: FakeCall, createRevision: bigint) => {
      const { compare, success } = call.request(methods.txn)
      const [condition] = compare
      if (kindsOf(success)[0] !== 'deleteRange') throw new Error('it does not delete our key')
      const isOurs = condition === undefined || condition.operand?.value === createRevision
      call.answer({ header: header(21n), succeeded: isOurs, responses: [] })
    },
  }
}
