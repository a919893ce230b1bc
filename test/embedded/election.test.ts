import test from 'ava'
import { text, toBytes } from '../../src/wire/bytes.ts'
import { methods } from '../../src/wire/methods.ts'
import { arrive, type Caller, startDirect } from './direct.ts'

const NAME = toBytes('e')

test('who campaigns first leads, the next when the first resigns', async t => {
  const { caller, server } = await withLeases(1n, 2n)
  const { leader } = await caller.call(methods.campaign, { name: NAME, lease: 1n, value: toBytes('one') })
  t.like(leader, { lease: 1n, revision: 2n })
  t.is(text(leader!.key), 'e/1')
  let elected = false
  const second = caller.call(methods.campaign, { name: NAME, lease: 2n, value: toBytes('two') })
  void second.then(() => {
    elected = true
  })
  await arrive()
  t.false(elected)
  t.is(text((await caller.call(methods.leader, { name: NAME })).kv!.value), 'one')
  await caller.call(methods.resign, { leader: leader! })
  // Of the moment it joined the line, which is what its token is of too.
  t.is((await second).header!.revision, (await second).leader!.revision)
  t.is(text((await caller.call(methods.leader, { name: NAME })).kv!.value), 'two')
  await server.close()
})

test('a second campaign of one lease proclaims its value', async t => {
  const { caller, server } = await withLeases(1n)
  const one = await caller.call(methods.campaign, { name: NAME, lease: 1n, value: toBytes('one') })
  const two = await caller.call(methods.campaign, { name: NAME, lease: 1n, value: toBytes('two') })
  t.is(two.leader!.revision, one.leader!.revision)
  t.is(text((await caller.call(methods.leader, { name: NAME })).kv!.value), 'two')
  await server.close()
})

test('who is not leader any more cannot proclaim, and resigns without effect', async t => {
  const { caller, server } = await withLeases(1n)
  const { leader } = await caller.call(methods.campaign, { name: NAME, lease: 1n, value: toBytes('one') })
  await caller.call(methods.proclaim, { leader: leader!, value: toBytes('more') })
  t.is(text((await caller.call(methods.leader, { name: NAME })).kv!.value), 'more')
  const past = { ...leader!, revision: 1n }
  await t.throwsAsync(caller.call(methods.proclaim, { leader: past }), { message: 'election: not leader' })
  await caller.call(methods.resign, { leader: past })
  t.is(text((await caller.call(methods.leader, { name: NAME })).kv!.value), 'more')
  await caller.call(methods.resign, { leader: leader! })
  await t.throwsAsync(caller.call(methods.leader, { name: NAME }), { message: 'election: no leader' })
  await t.throwsAsync(caller.call(methods.resign, {}), { message: '"leader" field must be provided' })
  await server.close()
})

test('what a client could not write by itself an election does not write for it', async t => {
  const { caller, server } = await withLeases(1n)
  const keyless = { name: NAME, key: toBytes(''), revision: 1n, lease: 1n }
  const refused = (call: Promise<unknown>, words: string) =>
    t.throwsAsync(call, { message: `etcdserver: ${words}` })
  await refused(caller.call(methods.proclaim, { leader: keyless }), 'key is not provided')
  await refused(caller.call(methods.resign, { leader: keyless }), 'key is not provided')
  const value = new Uint8Array(1.5 * 2 ** 20)
  await refused(caller.call(methods.campaign, { name: NAME, lease: 1n, value }), 'request is too large')
  const { leader } = await caller.call(methods.campaign, { name: NAME, lease: 1n })
  await refused(caller.call(methods.proclaim, { leader: leader!, value }), 'request is too large')
  await refused(caller.call(methods.lock, { name: value, lease: 1n }), 'request is too large')
  await refused(caller.call(methods.unlock, { key: value }), 'request is too large')
  await server.close()
})

test('an observer is told every leader in order, from the first there is, and every proclamation', async t => {
  const { caller, server } = await withLeases(1n, 2n)
  const observer = caller.stream(methods.observe)
  observer.send({ name: NAME })
  observer.halfClose()
  await arrive()
  t.is(observer.received.length, 0)
  const { leader } = await caller.call(methods.campaign, { name: NAME, lease: 1n, value: toBytes('one') })
  const second = caller.call(methods.campaign, { name: NAME, lease: 2n, value: toBytes('two') })
  await arrive()
  await caller.call(methods.proclaim, { leader: leader!, value: toBytes('one and a half') })
  await caller.call(methods.leaseRevoke, { id: 1n })
  await second
  await arrive()
  t.deepEqual(
    observer.received.map(({ kv }) => text(kv!.value)),
    ['one', 'one and a half', 'two'],
  )
  t.is(observer.received[0]!.header!.revision, observer.received[0]!.kv!.modRevision)
  t.is(observer.end, undefined)

  const late = caller.stream(methods.observe)
  late.send({ name: NAME })
  await arrive()
  t.is(text(late.received[0]!.kv!.value), 'two')
  await server.close()
})

test('an observer who leaves is told nothing more', async t => {
  const { caller, server } = await withLeases(1n)
  const observer = caller.stream(methods.observe)
  observer.send({ name: NAME })
  await arrive()
  observer.cancel()
  await arrive()
  await caller.call(methods.campaign, { name: NAME, lease: 1n, value: toBytes('one') })
  await arrive()
  t.is(observer.received.length, 0)
  await server.close()
})

async function withLeases(...ids: bigint[]): Promise<{ caller: Caller; server: { close(): Promise<void> } }> {
  const { caller, server } = await startDirect()
  for (const id of ids) await caller.call(methods.leaseGrant, { id, ttl: 60n })
  return { caller, server }
}
