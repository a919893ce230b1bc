import { createHash } from 'node:crypto'
import test from 'ava'
import { connect } from '../../../src/facade/connect.ts'
import { concat } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { startEtcd } from '../../support/etcd-server.ts'
import { freePorts } from '../../support/free-port.ts'
import { series } from '../../support/live.ts'
import { useClient } from './use-client.ts'

const live = useClient(test, { members: 3 })

test('all members are listed, with what they are', async t => {
  const { etcd, servers } = live()
  for (const consistency of ['linearizable', 'serializable'] as const) {
    const members = await etcd.cluster.members({ consistency })
    t.deepEqual(
      members.map(({ name }) => name).sort(),
      live().servers.members.map(({ name }) => name),
    )
    t.deepEqual(
      members.flatMap(({ clientUrls }) => clientUrls).sort(),
      servers.endpoints.map(endpoint => `http://${endpoint}`).sort(),
    )
    for (const member of members) {
      t.true(member.id > 0n)
      t.false(member.isLearner)
      t.is(member.peerUrls.length, 1)
    }
  }
})

test('each member says how it is, and one of them leads', async t => {
  const { etcd, servers } = live()
  const reports = await etcd.maintenance.statuses()
  t.deepEqual(
    reports.map(({ endpoint }) => endpoint),
    servers.endpoints.map(endpoint => `http://${endpoint}`),
  )
  const statuses = reports.map(report => {
    if (report.kind === 'failed') throw report.error
    return report.status
  })
  t.is(new Set(statuses.map(({ memberId }) => memberId)).size, 3)
  t.is(statuses.filter(({ memberId, leader }) => memberId === leader).length, 1)
  for (const status of statuses) {
    t.true(status.version.startsWith(live().servers.binary.series))
    t.true(status.dbSize >= status.dbSizeInUse && status.dbSizeInUse > 0)
    t.true(status.raftIndex >= status.raftAppliedIndex)
    t.false(status.isLearner)
  }
})

test('one member is asked by the endpoint it was connected under', async t => {
  const { etcd, servers } = live()
  const ids = new Set<bigint>()
  for (const endpoint of servers.endpoints) {
    const status = await etcd.maintenance.status(endpoint)
    t.is((await etcd.maintenance.status(`http://${endpoint}`)).memberId, status.memberId)
    ids.add(status.memberId)
  }
  t.is(ids.size, 3)
  t.true(ids.has((await etcd.maintenance.status()).memberId))
})

test('all members have the same keys', async t => {
  const { etcd, servers } = live()
  const { revision } = await etcd.put('hashed', 'v')
  const hashes = await Promise.all(
    servers.endpoints.map(async endpoint => {
      await behind(() => etcd.maintenance.status(endpoint), revision)
      return etcd.maintenance.hashKv(endpoint, { revision })
    }),
  )
  t.is(new Set(hashes.map(({ hash }) => hash)).size, 1)
  t.true(hashes.every(answer => answer.revision >= revision))
  t.true((await etcd.maintenance.hash(servers.endpoint)) > 0)
  const error = await t.throwsAsync(
    etcd.maintenance.hashKv(servers.endpoint, { revision: revision + 1_000_000n }),
  )
  t.true(EtcdError.is(error, 'FUTURE_REVISION'), String(error))
})

test('a member is defragmented', async t => {
  const { etcd, servers } = live()
  await etcd.maintenance.defragment(servers.endpoints[1]!)
  t.is((await etcd.maintenance.status(servers.endpoints[1]!)).errors.length, 0)
})

test('a snapshot is the whole database and its checksum', async t => {
  const { etcd, servers } = live()
  await etcd.put('in-the-snapshot', new Uint8Array(300_000).fill(7))
  const pieces: Uint8Array[] = []
  for await (const piece of etcd.maintenance.snapshot({ endpoint: servers.endpoint })) pieces.push(piece)
  const whole = concat(...pieces)
  const database = whole.subarray(0, -32)
  // Whole pages of the real store; of a format of its own the sectors etcdctl asks for.
  t.is(database.length % (series() === 'embedded' ? 512 : 4096), 0)
  t.deepEqual(Buffer.from(whole.subarray(-32)), createHash('sha256').update(database).digest())
})

test('a snapshot ends when its loop is left, or its signal aborts', async t => {
  const { etcd } = live()
  for await (const piece of etcd.maintenance.snapshot()) {
    t.true(piece.length > 0)
    break
  }
  const abort = new AbortController()
  const reason = new Error('enough')
  const error = await t.throwsAsync(async () => {
    for await (const _ of etcd.maintenance.snapshot({ signal: abort.signal })) abort.abort(reason)
  })
  t.is(error, reason)
})

test('a downgrade is checked from etcd 3.5 on', async t => {
  const { etcd } = live()
  const { maintenance } = etcd
  if (series() === '3.4') {
    const error = await t.throwsAsync(maintenance.validateDowngrade('3.3.0'))
    t.true(EtcdError.is(error, 'UNIMPLEMENTED'), String(error))
    return
  }
  t.true((await maintenance.validateDowngrade('3.4.0')).startsWith('3.'))
  t.true(EtcdError.is(await t.throwsAsync(maintenance.validateDowngrade('3.1.0')), 'INVALID_ARGUMENT'))
  t.true(EtcdError.is(await t.throwsAsync(maintenance.cancelDowngrade()), 'FAILED_PRECONDITION'))
})

test.serial('the lead is handed to another member', async t => {
  const { etcd } = live()
  const { memberId, leader } = await etcd.maintenance.status()
  const members = await etcd.cluster.members()
  const target = members.find(({ id }) => id !== leader)
  t.true(memberId > 0n)
  await etcd.maintenance.moveLeader(target!.id)
  await etcd.put('after-the-move', 'v')
  const reports = await etcd.maintenance.statuses()
  t.true(reports.every(report => report.kind === 'answered' && report.status.leader === target!.id))
})

test.serial('the lead cannot be handed on where the leader is not among the endpoints', async t => {
  const { etcd, servers } = live()
  const leader = await servers.leader()
  await using other = await connect(servers.endpoints.filter(endpoint => endpoint !== leader.endpoint))
  const [member] = await etcd.cluster.members()
  const error = await t.throwsAsync(other.maintenance.moveLeader(member!.id))
  t.true(EtcdError.is(error, 'FAILED_PRECONDITION'))
  t.is((error as unknown as EtcdError).outcome, 'not-sent')
})

test('a member is added as a learner, moved and removed', async t => {
  await using servers = await startEtcd({ series: series() })
  await using etcd = await connect(servers.endpoint)
  const [one, two] = await freePorts(2)
  const learner = await etcd.cluster.addMember([`http://127.0.0.1:${one}`], { learner: true })
  t.true(learner.isLearner)
  t.is(learner.name, '')
  const error = await t.throwsAsync(etcd.cluster.promoteMember(learner.id))
  t.true(EtcdError.is(error, 'FAILED_PRECONDITION'), String(error))
  const moved = await etcd.cluster.updateMember(learner.id, [`http://127.0.0.1:${two}`])
  t.deepEqual(moved.find(({ id }) => id === learner.id)?.peerUrls, [`http://127.0.0.1:${two}`])
  const left = await etcd.cluster.removeMember(learner.id)
  t.is(left.length, 1)
  t.true(EtcdError.is(await t.throwsAsync(etcd.cluster.removeMember(4711n)), 'NOT_FOUND'))
  t.true(EtcdError.is(await t.throwsAsync(etcd.cluster.promoteMember(left[0]!.id)), 'FAILED_PRECONDITION'))
})

test('a member that is down fails by itself, the others answer', async t => {
  await using servers = await startEtcd({ series: series(), members: 3 })
  await using etcd = await connect(servers.endpoints)
  await servers.members[2]!.kill()
  const reports = await etcd.maintenance.statuses({ timeoutMs: 1000 })
  t.deepEqual(
    reports.map(({ kind }) => kind),
    ['answered', 'answered', 'failed'],
  )
})

test('a database without space raises an alarm that refuses writes until it is disarmed', async t => {
  await using servers = await startEtcd({ series: series(), quotaBackendBytes: 512 * 1024 })
  await using etcd = await connect(servers.endpoint)
  const value = new Uint8Array(64 * 1024)
  const error = await t.throwsAsync(async () => {
    for (let index = 0; index < 100; index++) await etcd.put(`k${index % 5}`, value)
  })
  t.true(EtcdError.is(error, 'NO_SPACE'), String(error))
  t.is((error as unknown as EtcdError).outcome, 'unknown')
  const alarms = await etcd.maintenance.alarms()
  t.is(alarms.length, 1)
  t.is(alarms[0]?.kind, 'noSpace')
  await etcd.compact((await etcd.range('k0')).revision, { physical: true })
  await etcd.delete('k0')
  await etcd.maintenance.defragment(servers.endpoint)
  await etcd.maintenance.disarm(alarms[0]!)
  t.deepEqual(await etcd.maintenance.alarms(), [])
})

/** Waits until a member has this revision. */
async function behind(status: () => Promise<{ readonly revision: bigint }>, revision: bigint): Promise<void> {
  while ((await status()).revision < revision);
}
