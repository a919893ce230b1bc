import test from 'ava'
import { toBytes } from '../../src/wire/bytes.ts'
import { methods } from '../../src/wire/methods.ts'
import { FakeRuntime } from '../support/fake-runtime.ts'
import { arrive, type Caller, startDirect } from './direct.ts'

const key = toBytes('a')

async function setUp({ members = 1 } = {}) {
  const runtime = new FakeRuntime()
  const { server, callers } = await startDirect({ runtime, members })
  const [caller] = callers
  const isAnswered = async (one: Caller = caller) => {
    let answered = false
    void one.call(methods.put, { key }).then(
      () => (answered = true),
      () => {},
    )
    await arrive()
    return answered
  }
  const keyCount = async () => (await caller.call(methods.range, { key })).count
  return { runtime, server, caller, callers, isAnswered, keyCount, faults: server.faults }
}

test('a member stands still until the last of its pauses is lifted', async t => {
  const { faults, isAnswered } = await setUp()
  const resumeAll = faults.pause()
  const resumeOne = faults.pause(0)
  resumeAll()
  t.false(await isAnswered())
  resumeOne()
  t.true(await isAnswered())
})

test('a member has no leader until the last loss of it is lifted', async t => {
  const { faults, isAnswered } = await setUp()
  const findOne = faults.loseLeader(0)
  const findAll = faults.loseLeader()
  findOne()
  t.false(await isAnswered())
  findAll()
  t.true(await isAnswered())
})

test('of several lags the latest counts, and the one before when it is lifted', async t => {
  const { faults, runtime, isAnswered, caller } = await setUp()
  const stopShort = faults.lag(0, 100)
  const stopLong = faults.lag(0, Infinity)
  const answer = caller.call(methods.put, { key })
  await arrive()
  await runtime.advance(1000)
  stopLong()
  t.is((await answer).header?.revision, 2n)
  t.false(await isAnswered())
  stopShort()
  t.true(await isAnswered())
})

test('no lease ends while every member stands still or has no leader, however that came about', async t => {
  const { faults, runtime, caller, keyCount } = await setUp({ members: 2 })
  await caller.call(methods.leaseGrant, { id: 7n, ttl: 2n })
  await caller.call(methods.put, { key, lease: 7n })
  const resume = faults.pause(0)
  const find = faults.loseLeader(1)
  await runtime.advance(10_000)
  find()
  resume()
  t.is(await keyCount(), 0n)

  await caller.call(methods.leaseGrant, { id: 8n, ttl: 2n })
  await caller.call(methods.put, { key, lease: 8n })
  const lost = [faults.loseLeader(0), faults.loseLeader(1)]
  await runtime.advance(10_000)
  for (const lift of lost) lift()
  t.is(await keyCount(), 1n)
})

test('who leads after nobody did leads in another term', async t => {
  const { faults, caller } = await setUp()
  const term = async () => (await caller.call(methods.status, {})).raftTerm
  const before = await term()
  faults.loseLeader()()
  t.is(await term(), before + 1n)
})
