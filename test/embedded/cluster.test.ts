import test from 'ava'
import type { Init } from '../../src/wire/codec.ts'
import { type Method, methods } from '../../src/wire/methods.ts'
import { type Caller, Refused, startDirect } from './direct.ts'

test('every member is listed once, with its own endpoint, the same by whichever is asked', async t => {
  const { callers, server } = await startDirect({ members: 3 })
  const lists = await Promise.all(
    callers.map(caller => caller.call(methods.memberList, { linearizable: true })),
  )
  t.is(new Set(lists[0]!.members.map(({ id }) => id)).size, 3)
  t.deepEqual(
    lists[0]!.members.flatMap(({ clientUrls }) => clientUrls).sort(),
    server.endpoints.map(endpoint => `http://${endpoint}`).sort(),
  )
  for (const { members, header } of lists) {
    t.deepEqual(members, lists[0]!.members)
    t.is(header?.revision, 0n)
  }
  t.is(new Set(lists.map(({ header }) => header?.memberId)).size, 3)
  t.is(new Set(lists.map(({ header }) => header?.clusterId)).size, 1)
  await server.close()
})

test('what cannot be a peer url is refused, and so is one that is taken', async t => {
  const { caller, server } = await startDirect()
  const invalid = '3 etcdserver: given member URLs are invalid'
  for (const url of ['x', 'http://a', 'http://a:1/path', 'ftp://a:1'])
    t.is(await refusal(caller, methods.memberAdd, { peerUrls: [url] }), invalid, url)
  t.is(await refusal(caller, methods.memberAdd, { peerUrls: [] }), invalid)
  const { members } = await caller.call(methods.memberList, {})
  const taken = { peerUrls: members[0]!.peerUrls }
  t.is(await refusal(caller, methods.memberAdd, taken), '9 etcdserver: Peer URLs already exists')
  await server.close()
})

test('an added member has no name until it starts, and its urls in order', async t => {
  const { caller, server } = await startDirect()
  const added = await caller.call(methods.memberAdd, { peerUrls: ['http://b:9', 'http://b:8'] })
  t.like(added.member, { name: '', peerUrls: ['http://b:8', 'http://b:9'], clientUrls: [], isLearner: false })
  t.is(added.members.length, 2)
  t.is(
    await refusal(caller, methods.memberAdd, { peerUrls: ['http://c:1'] }),
    '9 etcdserver: re-configuration failed due to not enough started members',
  )
  const removed = await caller.call(methods.memberRemove, { id: added.member!.id })
  t.is(removed.members.length, 1)
  await server.close()
})

test('there is one learner at most, and it is never ready to be promoted', async t => {
  const { caller, server } = await startDirect()
  const { member } = await caller.call(methods.memberAdd, { peerUrls: ['http://b:1'], isLearner: true })
  t.true(member!.isLearner)
  t.is(
    await refusal(caller, methods.memberAdd, { peerUrls: ['http://c:1'], isLearner: true }),
    '9 etcdserver: too many learner members in cluster',
  )
  t.is(
    await refusal(caller, methods.memberPromote, { id: member!.id }),
    '9 etcdserver: can only promote a learner member which is in sync with leader',
  )
  await server.close()
})

test('who is not a member cannot be changed, and the last voter cannot go', async t => {
  const { caller, server } = await startDirect()
  const unknown = '5 etcdserver: member not found'
  t.is(await refusal(caller, methods.memberPromote, { id: 1n }), unknown)
  t.is(await refusal(caller, methods.memberRemove, { id: 1n }), unknown)
  t.is(await refusal(caller, methods.memberUpdate, { id: 1n, peerUrls: ['http://b:1'] }), unknown)
  const { members } = await caller.call(methods.memberList, {})
  const { id } = members[0]!
  t.is(
    await refusal(caller, methods.memberPromote, { id }),
    '9 etcdserver: can only promote a learner member',
  )
  t.is(
    await refusal(caller, methods.memberRemove, { id }),
    '2 etcdserver: re-configuration failed due to not enough started members',
  )
  const updated = await caller.call(methods.memberUpdate, { id, peerUrls: ['http://moved:1'] })
  t.deepEqual(updated.members[0]?.peerUrls, ['http://moved:1'])
  await server.close()
})

test('a removed member serves nobody, and another leads in its place', async t => {
  const { callers, server } = await startDirect({ members: 3 })
  const [first, second] = callers as [Caller, Caller]
  const { leader } = await second.call(methods.status, {})
  await second.call(methods.memberRemove, { id: leader })
  t.is((await second.call(methods.memberList, {})).members.length, 2)
  t.not((await second.call(methods.status, {})).leader, leader)
  t.is((await first.call(methods.status, {})).leader, 0n)
  await server.close()
})

async function refusal<Request, Response>(
  caller: Caller,
  method: Method<Request, Response>,
  request: Init<Request>,
): Promise<string> {
  try {
    await caller.call(method, request)
  } catch (error) {
    if (error instanceof Refused) return `${error.failure.status} ${error.failure.message}`
    throw error
  }
  return 'no refusal'
}
