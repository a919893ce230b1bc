import { inspect } from 'node:util'
import test from 'ava'
import { text } from '../../../src/wire/bytes.ts'
import { uniquePrefix, useEtcd } from '../../support/live.ts'
import { player, sessionPlayer } from '../../traits/arena.ts'

const server = useEtcd(test)

test('a hold shows what it is, with its key as text, and whether it is held', async t => {
  const { session } = await sessionPlayer(t, server())
  const name = uniquePrefix(t).slice(0, -1)
  const hold = await session.mutex(name).lock()
  const { fencingToken } = hold
  t.is(inspect(hold), `Hold ${inspect({ name, fencingToken, key: text(hold.key), held: true })}`)
  await hold.unlock()
  t.true(inspect(hold).includes('held: false'))
  const both = await session.lockAll([`${name}/a`, `${name}/b`])
  t.regex(inspect(both), /^JointHold/)
  for (const key of both.keys) t.true(inspect(both).includes(`'${text(key)}'`))
})

test('a session shows its lease and its state, and what hangs on it is named by its name', async t => {
  const { etcd, session } = await sessionPlayer(t, server())
  const shown = inspect(session)
  t.regex(shown, /^Session \{/)
  t.true(shown.includes(`leaseId: ${session.leaseId}n`))
  t.true(shown.includes("state: 'active'"))
  t.is(inspect(session.mutex('/m')), "Mutex { name: '/m' }")
  t.is(inspect(session.rwMutex('/m')), "RwMutex { name: '/m' }")
  t.is(inspect(session.election('/m')), "Election { name: '/m' }")
  t.is(inspect(session.semaphore('/m', { permits: 1 })), "Semaphore { name: '/m' }")
  t.is(inspect(etcd.mutex('/m')), "MutexView { name: '/m' }")
  await session.close()
  t.true(inspect(session).includes("state: 'closed'"))
})

test('a client shows where it is connected to, and of a namespace which', async t => {
  const { etcd } = await player(t, server())
  t.regex(inspect(etcd), /^Etcd \{/)
  for (const endpoint of server().endpoints) t.true(inspect(etcd).includes(endpoint))
  t.true(inspect(etcd.namespace('/a/').namespace('b/')).includes("namespace: '/a/b/'"))
  await etcd.close()
  t.true(inspect(etcd).includes('isOpen: false'))
})
