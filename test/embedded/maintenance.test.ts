import { createHash } from 'node:crypto'
import test from 'ava'
import { decodeSnapshot } from '../../src/embedded/snapshot.ts'
import { concat, text, toBytes } from '../../src/wire/bytes.ts'
import { AlarmAction, AlarmType } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, type Caller, startDirect } from './direct.ts'

const NO_SPACE = { message: 'etcdserver: mvcc: database space exceeded' }

test('status names the version, the leader, the size and what is wrong', async t => {
  const { callers, server } = await startDirect({ members: 3 })
  const { members } = await callers[0].call(methods.memberList, {})
  const [one, two] = await Promise.all(callers.slice(0, 2).map(caller => caller.call(methods.status, {})))
  t.is(one!.leader, two!.leader)
  t.true(members.some(({ id }) => id === one!.leader))
  t.regex(one!.version, /^3\.5\.\d+$/)
  t.true(one!.dbSize >= one!.dbSizeInUse && one!.dbSizeInUse > 0n)
  t.deepEqual(one!.errors, [])
  await callers[0].call(methods.alarm, {
    action: AlarmAction.activate,
    memberId: 5n,
    alarm: AlarmType.noSpace,
  })
  await callers[0].call(methods.alarm, { action: AlarmAction.activate, alarm: AlarmType.corrupt })
  t.deepEqual((await callers[0].call(methods.status, {})).errors, [
    'memberID:5 alarm:NOSPACE ',
    'alarm:CORRUPT ',
  ])
  await server.close()
})

test('a full database raises NOSPACE: no more puts and leases, but everything else, until it is disarmed', async t => {
  const { caller, server } = await startDirect({ quotaBytes: 64 * 1024 })
  await caller.call(methods.leaseGrant, { id: 1n, ttl: 60n })
  await caller.call(methods.put, { key: toBytes('small') })
  await caller.call(methods.put, { key: toBytes('big'), value: new Uint8Array(40 * 1024), lease: 1n })
  const put = () => caller.call(methods.put, { key: toBytes('k'), value: new Uint8Array(8 * 1024) })
  await t.throwsAsync(put(), NO_SPACE)
  const { alarms } = await caller.call(methods.alarm, { action: AlarmAction.get })
  const { header } = await caller.call(methods.range, { key: toBytes('big') })
  t.deepEqual(alarms, [{ memberId: header!.memberId, alarm: AlarmType.noSpace }])

  const small = { kind: 'put' as const, value: { key: toBytes('k') } }
  await t.throwsAsync(caller.call(methods.put, small.value), NO_SPACE)
  await t.throwsAsync(caller.call(methods.txn, { success: [{ request: small }] }), NO_SPACE)
  // What a real server overlooks.
  const nested = { kind: 'txn' as const, value: { success: [{ request: small }] } }
  await caller.call(methods.txn, { success: [{ request: nested }] })
  await t.throwsAsync(caller.call(methods.leaseGrant, { ttl: 60n }), NO_SPACE)
  await caller.call(methods.leaseRevoke, { id: 1n })
  const { header: now } = await caller.call(methods.deleteRange, { key: toBytes('big') })
  await caller.call(methods.compact, { revision: now!.revision, physical: true })

  // What was freed counts only after defragmenting, and the alarm stays until somebody takes it away.
  await caller.call(methods.deleteRange, { key: toBytes('small') })
  const disarm = { action: AlarmAction.deactivate, ...alarms[0]! }
  await caller.call(methods.alarm, disarm)
  await t.throwsAsync(put(), NO_SPACE)
  await caller.call(methods.defragment, {})
  await t.throwsAsync(put(), NO_SPACE)
  t.deepEqual((await caller.call(methods.alarm, disarm)).alarms, alarms)
  await put()
  await server.close()
})

test('alarms are raised once, told by kind, and disarmed by name', async t => {
  const { caller, server } = await startDirect()
  const raise = { action: AlarmAction.activate, memberId: 5n, alarm: AlarmType.noSpace }
  t.is((await caller.call(methods.alarm, raise)).alarms.length, 1)
  t.is((await caller.call(methods.alarm, raise)).alarms.length, 1)
  t.is((await caller.call(methods.alarm, { alarm: AlarmType.none })).alarms.length, 1)
  t.is((await caller.call(methods.alarm, { alarm: AlarmType.corrupt })).alarms.length, 0)
  const disarm = { ...raise, action: AlarmAction.deactivate }
  t.is((await caller.call(methods.alarm, disarm)).alarms.length, 1)
  t.is((await caller.call(methods.alarm, disarm)).alarms.length, 0)
  await server.close()
})

test('CORRUPT stops every write and the end of leases, and nothing that only reads, until it is disarmed', async t => {
  const runtime = new FakeRuntime()
  const { caller, server } = await startDirect({ runtime })
  const key = toBytes('k')
  await caller.call(methods.leaseGrant, { id: 1n, ttl: 10n })
  const { header } = await caller.call(methods.put, { key, lease: 1n })
  const raise = { action: AlarmAction.activate, memberId: 5n, alarm: AlarmType.corrupt }
  await caller.call(methods.alarm, raise)
  const range = { request: { kind: 'range' as const, value: { key } } }
  const removal = { request: { kind: 'deleteRange' as const, value: { key } } }
  const refused = (call: Promise<unknown>) => t.throwsAsync(call, { message: 'etcdserver: corrupt cluster' })
  await refused(caller.call(methods.put, { key }))
  await refused(caller.call(methods.deleteRange, { key }))
  await refused(caller.call(methods.txn, { success: [range], failure: [removal] }))
  await refused(caller.call(methods.compact, { revision: header!.revision }))
  await refused(caller.call(methods.leaseGrant, { ttl: 10n }))
  await refused(caller.call(methods.leaseRevoke, { id: 1n }))
  await refused(caller.call(methods.lock, { name: toBytes('l') }))
  await refused(caller.call(methods.lock, { name: toBytes('l'), lease: 1n }))
  await refused(caller.call(methods.unlock, { key }))
  await t.throwsAsync(caller.call(methods.put, {}), { message: 'etcdserver: key is not provided' })
  await runtime.advance(20_000)
  const read = await caller.call(methods.txn, { success: [range] })
  t.deepEqual([read.header!.revision, read.succeeded], [header!.revision, true])
  t.is((await caller.call(methods.range, { key })).count, 1n)

  await caller.call(methods.alarm, { ...raise, action: AlarmAction.deactivate })
  t.is((await caller.call(methods.range, { key })).count, 0n)
  await caller.call(methods.put, { key })
  await server.close()
})

test('an alarm neither gives a permission nor is told to who has none', async t => {
  const { caller, server } = await startDirect()
  const key = toBytes('k')
  for (const name of ['root', 'ann']) await caller.call(methods.userAdd, { name, password: `of ${name}` })
  await caller.call(methods.userGrantRole, { user: 'root', role: 'root' })
  await caller.call(methods.authEnable, {})
  const { token } = await caller.call(methods.authenticate, { name: 'ann', password: 'of ann' })
  const raise = { action: AlarmAction.activate, memberId: 5n, alarm: AlarmType.noSpace }
  await caller.call(methods.alarm, raise, { token })
  const impostor = { token: 'ann.1' }
  const invalid = { message: 'etcdserver: invalid auth token' }
  const denied = { message: 'etcdserver: permission denied' }
  await t.throwsAsync(caller.call(methods.put, { key }, impostor), invalid)
  await t.throwsAsync(caller.call(methods.leaseGrant, { ttl: 60n }, impostor), invalid)
  await t.throwsAsync(caller.call(methods.put, { key }, { token }), denied)
  await t.throwsAsync(caller.call(methods.deleteRange, { key }, { token }), denied)
  await t.throwsAsync(caller.call(methods.userList, {}, { token }), denied)
  await server.close()
})

test('of two kinds of alarms the latest is in force, and none once one of them is disarmed', async t => {
  const { caller, server } = await startDirect()
  const alarm = (action: AlarmAction, memberId: bigint, alarm: AlarmType) =>
    caller.call(methods.alarm, { action, memberId, alarm })
  const { activate, deactivate } = AlarmAction
  const put = () => caller.call(methods.put, { key: toBytes('k') })
  const remove = () => caller.call(methods.deleteRange, { key: toBytes('k') })
  await alarm(activate, 5n, AlarmType.corrupt)
  await alarm(activate, 5n, AlarmType.noSpace)
  await t.throwsAsync(put(), NO_SPACE)
  await remove()
  await alarm(activate, 6n, AlarmType.corrupt)
  await remove()
  await alarm(deactivate, 6n, AlarmType.corrupt)
  await t.throwsAsync(put(), NO_SPACE)
  await alarm(deactivate, 5n, AlarmType.corrupt)
  await put()
  t.is((await caller.call(methods.alarm, {})).alarms.length, 1)
  await server.close()
})

test('equal histories have equal hashes, and one more write another', async t => {
  const one = await startDirect()
  const two = await startDirect()
  const hash = async (caller: Caller, revision = 0n) => (await caller.call(methods.hashKv, { revision })).hash
  for (const { caller } of [one, two])
    for (const key of ['a', 'b']) await caller.call(methods.put, { key: toBytes(key), value: toBytes('x') })
  t.is(await hash(one.caller), await hash(two.caller))
  const before = await hash(one.caller)
  await one.caller.call(methods.deleteRange, { key: toBytes('a') })
  t.not(await hash(one.caller), before)
  t.is(await hash(one.caller, 3n), before)
  await t.throwsAsync(hash(one.caller, 9n), { message: /future revision/ })
  await one.caller.call(methods.compact, { revision: 4n })
  await t.throwsAsync(hash(one.caller, 3n), { message: /compacted/ })
  t.is((await one.caller.call(methods.hashKv, {})).compactRevision, 4n)
  await one.server.close()
  await two.server.close()
})

test('a snapshot arrives in parts with its digest last, and another server starts from it', async t => {
  const { caller, server } = await startDirect()
  await caller.call(methods.leaseGrant, { id: 9n, ttl: 1000n })
  await caller.call(methods.put, { key: toBytes('a'), value: toBytes('old') })
  await caller.call(methods.put, { key: toBytes('a'), value: toBytes('new'), lease: 9n })
  await caller.call(methods.put, { key: toBytes('big'), value: new Uint8Array(100_000).fill(7) })
  await caller.call(methods.userAdd, { name: 'root', password: 'of root' })
  await caller.call(methods.userGrantRole, { user: 'root', role: 'root' })
  await caller.call(methods.roleAdd, { name: 'r' })
  await caller.call(methods.roleGrantPermission, { name: 'r', permission: { type: 2, key: toBytes('k') } })
  await caller.call(methods.authEnable, {})
  const { token } = await caller.call(methods.authenticate, { name: 'root', password: 'of root' })

  const stream = caller.stream(methods.snapshot, { token })
  stream.send({})
  stream.halfClose()
  await arrive()
  t.is(stream.end?.status, 0)
  const body = concat(...stream.received.slice(0, -1).map(({ blob }) => blob))
  const digest = stream.received.at(-1)!.blob
  t.true(stream.received.length > 3)
  t.is(body.length % 512, 0)
  t.deepEqual(Buffer.from(digest), createHash('sha256').update(body).digest())
  let left = BigInt(body.length)
  for (const { blob, remainingBytes } of stream.received.slice(0, -1)) {
    left -= BigInt(blob.length)
    t.is(remainingBytes, left)
  }
  await server.close()

  const restored = await startDirect({ snapshot: concat(body, digest) })
  const again = await restored.caller.call(methods.authenticate, { name: 'root', password: 'of root' })
  const metadata = { token: again.token }
  const { kvs, header } = await restored.caller.call(methods.range, { key: toBytes('a') }, metadata)
  t.like(kvs[0], { createRevision: 2n, modRevision: 3n, version: 2n, lease: 9n })
  t.is(text(kvs[0]!.value), 'new')
  t.is(header!.revision, 4n)
  const old = await restored.caller.call(methods.range, { key: toBytes('a'), revision: 2n }, metadata)
  t.is(text(old.kvs[0]!.value), 'old')
  await restored.caller.call(methods.leaseRevoke, { id: 9n }, metadata)
  t.is((await restored.caller.call(methods.range, { key: toBytes('a') }, metadata)).count, 0n)
  t.is((await restored.caller.call(methods.roleGet, { role: 'r' }, metadata)).permissions.length, 1)
  await restored.server.close()
})

test('a snapshot that is damaged, cut off or of another kind is refused', async t => {
  const { caller, server } = await startDirect()
  await caller.call(methods.put, { key: toBytes('a'), value: toBytes('x') })
  const stream = caller.stream(methods.snapshot)
  stream.send({})
  await arrive()
  const whole = concat(...stream.received.map(({ blob }) => blob))
  t.is(decodeSnapshot(whole).store.changes.length, 1)
  const damaged = Uint8Array.from(whole)
  damaged[100]! ^= 1
  t.throws(() => decodeSnapshot(damaged), { instanceOf: TypeError, message: /damaged/ })
  t.throws(() => decodeSnapshot(whole.subarray(0, -512)), { instanceOf: TypeError, message: /damaged/ })
  t.throws(() => decodeSnapshot(new Uint8Array(2048)), { instanceOf: TypeError, message: /not a snapshot/ })
  await server.close()
})

test('leadership moves to the member that is named, by order of the leader alone, and leases start anew', async t => {
  const runtime = new FakeRuntime()
  const { callers, server } = await startDirect({ members: 3, runtime })
  await callers[0].call(methods.leaseGrant, { id: 1n, ttl: 60n })
  await runtime.advance(30_000)
  t.is((await callers[0].call(methods.leaseTimeToLive, { id: 1n })).ttl, 30n)
  const statuses = await Promise.all(callers.map(caller => caller.call(methods.status, {})))
  const leader = callers[statuses.findIndex(({ header, leader }) => header!.memberId === leader)]!
  const follower = callers.find(caller => caller !== leader)!
  const { header } = await follower.call(methods.status, {})
  await t.throwsAsync(follower.call(methods.moveLeader, { targetId: header!.memberId }), {
    message: 'etcdserver: not leader',
  })
  await t.throwsAsync(leader.call(methods.moveLeader, { targetId: 1n }), {
    message: 'etcdserver: bad leader transferee',
  })
  const term = statuses[0]!.raftTerm
  await leader.call(methods.moveLeader, { targetId: header!.memberId })
  t.like(await leader.call(methods.status, {}), { leader: header!.memberId, raftTerm: term + 1n })
  t.is((await callers[0].call(methods.leaseTimeToLive, { id: 1n })).ttl, 60n)
  await server.close()
})

test('a downgrade goes back one minor version, one job at a time', async t => {
  const { caller, server } = await startDirect()
  const act = async (action: 0 | 1 | 2, version = '') =>
    (await caller.call(methods.downgrade, { action, version })).version
  t.is(await act(0, '3.4'), '3.5.0')
  await t.throwsAsync(act(0, '3.3'), { message: 'etcdserver: invalid downgrade target version' })
  await t.throwsAsync(act(0, 'x'), { message: 'etcdserver: wrong downgrade target version format' })
  await t.throwsAsync(act(2), { message: 'etcdserver: no inflight downgrade job' })
  await act(1, '3.4.0')
  await t.throwsAsync(act(1, '3.4'), { message: 'etcdserver: cluster has a downgrade job in progress' })
  await act(2)
  await server.close()
})
