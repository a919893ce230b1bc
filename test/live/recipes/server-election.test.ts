import test, { type ExecutionContext } from 'ava'
import { text } from '../../../src/wire/bytes.ts'
import { methods } from '../../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { keysOf, line, player, sessionPlayer, stateOf } from '../../traits/arena.ts'

const server = useEtcd(test)

test('the election service stands in one line with elections', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const first = await session.election(name).campaign('ours')
  const { id } = await etcd.lease.grant(60)
  const campaigning = etcd.serverElection.campaign(name, id, 'theirs')
  await line(etcd, name, 2)
  t.is(await stateOf(campaigning), 'pending')
  t.is((await etcd.serverElection.leader(name))!.text(), 'ours')
  await first.resign()
  const leader = await campaigning
  t.true(leader.revision > first.fencingToken)
  t.is(text(leader.name), name)
  t.is(leader.leaseId, id)
  t.is((await etcd.election(name).leader())!.text(), 'theirs')
  await etcd.serverElection.proclaim(leader, 'changed')
  t.is((await etcd.election(name).leader())!.text(), 'changed')
  const next = session.election(name).campaign('ours again')
  await line(etcd, name, 2)
  await etcd.serverElection.resign(leader)
  t.true((await next).held)
  await t.throwsAsync(etcd.serverElection.proclaim(leader, 'late'), { code: 'FAILED_PRECONDITION' })
  await etcd.serverElection.resign(leader)
})

test('a leadership of the service is resumed by our election, and ours by the service', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const { id } = await etcd.lease.grant(60)
  const { key, revision } = await etcd.serverElection.campaign(name, id, 'theirs')
  const resumed = await etcd.session({ resume: id })
  const leadership = (await resumed.election(name).resume({ key, revision }))!
  t.is(text(leadership.value), 'theirs')
  await leadership.proclaim('ours')
  t.is((await etcd.serverElection.leader(name))!.text(), 'ours')
  await leadership.resign()
  const ours = await session.election(name).campaign('ours')
  await etcd.serverElection.resign({
    name: Buffer.from(name),
    key: ours.key,
    revision: ours.fencingToken,
    leaseId: session.leaseId,
  })
  t.is(await etcd.serverElection.leader(name), undefined)
})

test('the service tells its observers each leader and each proclamation', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  const leadership = await session.election(name).campaign('one')
  const said: string[] = []
  for await (const leader of etcd.serverElection.observe(name)) {
    said.push(leader.text())
    if (said.length === 1) await leadership.proclaim('two')
    if (said.length === 2) {
      await leadership.resign()
      await session.election(name).campaign('three')
    }
    if (said.length === 3) break
  }
  t.deepEqual(said, ['one', 'two', 'three'])
})

test('an observation of the service ends with the signal', async t => {
  const { etcd, net } = await player(t, server())
  const leaving = new AbortController()
  const loop = (async () => {
    for await (const leader of etcd.serverElection.observe(nameOf(t), { signal: leaving.signal }))
      t.log(leader)
  })()
  while (net.openStreams(methods.observe) === 0) await etcd.get('nothing')
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(loop, { message: 'leaves' })
  t.is(net.openStreams(methods.observe), 0)
})

test('cancelling a campaign in the server rejects at once, and revoking the lease is sure to end it', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const name = nameOf(t)
  await session.election(name).campaign()
  const { id } = await etcd.lease.grant(60)
  const leaving = new AbortController()
  const campaigning = etcd.serverElection.campaign(name, id, '', { signal: leaving.signal })
  await line(etcd, name, 2)
  leaving.abort(new Error('leaves'))
  await t.throwsAsync(campaigning, { message: 'leaves' })
  await etcd.lease.revoke(id)
  t.is((await keysOf(etcd, name)).length, 1)
})

test('the election service knows the keys of a namespace by its names', async t => {
  const { etcd } = await player(t, server())
  const inside = etcd.namespace(`${nameOf(t)}/in/`)
  const { id } = await etcd.lease.grant(60)
  const leader = await inside.serverElection.campaign('e', id, 'me')
  t.is(text(leader.key), `e/${id.toString(16)}`)
  t.is((await inside.serverElection.leader('e'))!.name(), `e/${id.toString(16)}`)
  await inside.serverElection.proclaim(leader, 'still me')
  t.is((await inside.election('e').leader())!.text(), 'still me')
  await inside.serverElection.resign(leader)
  t.is(await inside.serverElection.leader('e'), undefined)
})

function nameOf(t: ExecutionContext): string {
  return `${uniquePrefix(t)}election`
}
