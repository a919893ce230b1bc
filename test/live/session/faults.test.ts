import test, { type ExecutionContext } from 'ava'
import { EtcdError } from '../../../src/index.ts'
import { startEtcd } from '../../support/etcd-server.ts'
import { series, uniquePrefix } from '../../support/live.ts'
import { aborted, keyIn, keysOf, line, player, sessionPlayer } from '../../traits/arena.ts'

test('a session and its lock outlive any one of three members', async t => {
  t.timeout(60_000)
  const cluster = await startEtcd({ series: series(), members: 3 })
  t.teardown(() => cluster.close())
  const { session } = await sessionPlayer(t, cluster, { ttl: 10 })
  const waiter = await sessionPlayer(t, cluster, { ttl: 10 })
  const name = `${uniquePrefix(t)}lock`
  const hold = await session.mutex(name).lock()
  const waiting = waiter.session.mutex(name).lock()
  await line(waiter.etcd, name, 2)
  const { remainingMs } = session
  // The one everybody is connected to first.
  const [first] = cluster.members
  await first.kill()
  // A renewal from after the kill: belief goes further than it did.
  const untilMs = performance.now() + remainingMs
  while (performance.now() + session.remainingMs <= untilMs) await session.mutex(name).holder()
  t.true(hold.held)
  t.is(session.state === 'lost', false)
  await hold.unlock()
  t.true((await waiting).fencingToken > hold.fencingToken)
})

test('close is bounded while the cluster stands still, and a lost session costs only its own', async t => {
  t.timeout(60_000)
  const cluster = await startEtcd({ series: series() })
  t.teardown(() => cluster.close())
  const [member] = cluster.members
  const { etcd, session } = await sessionPlayer(t, cluster, { ttl: 10 })
  const { session: other } = await sessionPlayer(t, cluster, { ttl: 60 })
  const name = `${uniquePrefix(t)}lock`
  const hold = await session.mutex(name).lock()
  member.pause()
  const startedAtMs = performance.now()
  const error = await t.throwsAsync(session.close({ timeoutMs: 500 }))
  t.true(EtcdError.is(error, 'TIMEOUT'))
  t.true(performance.now() - startedAtMs < 2000)
  t.true(EtcdError.is(hold.signal.reason, 'SESSION_CLOSED'))
  t.is(session.state, 'closed')
  member.resume()
  t.is(other.state === 'lost', false)
  const { etcd: onlooker } = await player(t, cluster)
  await line(onlooker, name, 0)
  await etcd.close()
})

test.serial(
  'a loop past the deadline is noticed by whoever looks next, before any timer has run',
  async t => {
    t.timeout(60_000)
    const cluster = await startEtcd({ series: series() })
    t.teardown(() => cluster.close())
    const { session } = await sessionPlayer(t, cluster, { ttl: 3 })
    const hold = await session.mutex(nameOf(t)).lock()
    // A loop that stands still for real: no timer has run when it ends.
    const untilMs = performance.now() + session.remainingMs + 1
    while (performance.now() < untilMs) Math.sqrt(untilMs)
    t.false(hold.signal.aborted, 'nobody has looked yet')
    t.false(hold.held)
    t.true(EtcdError.is(await aborted(hold.signal), 'SESSION_LOST'))
    t.is(session.state, 'lost')
  },
)

test('keys of a client that vanished go to the next after its TTL', async t => {
  t.timeout(60_000)
  const cluster = await startEtcd({ series: series() })
  t.teardown(() => cluster.close())
  const gone = await sessionPlayer(t, cluster, { ttl: 2 })
  const { session } = await sessionPlayer(t, cluster)
  const { etcd: onlooker } = await player(t, cluster)
  const name = nameOf(t)
  const hold = await gone.session.mutex(name).lock()
  const waiting = session.mutex(name).lock()
  await line(onlooker, name, 2)
  t.deepEqual((await keysOf(onlooker, name))[0], keyIn(gone.session, name))
  // As a crash: no renewal, no farewell.
  gone.net.vanish()
  const next = await waiting
  t.true(next.fencingToken > hold.fencingToken)
  t.false(hold.held, 'belief had ended before')
})

function nameOf(t: ExecutionContext): string {
  t.context ??= {}
  const context = t.context as { name?: string }
  context.name ??= `${uniquePrefix(t)}lock`
  return context.name
}
