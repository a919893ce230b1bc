import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import test, { type ExecutionContext } from 'ava'
import { connect, type Etcd } from '../../src/index.ts'
import { uniquePrefix, useEtcd } from '../support/live.ts'

const server = useEtcd(test)

test('etcdctl lock and ours stand in one line and get their turn in order of arrival, alternating', async t => {
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  const sessions = await Promise.all([1, 2, 3].map(() => etcd.session()))
  const turns: { readonly who: string; readonly token: bigint }[] = []

  const first = await sessions[0]!.mutex(name).lock()
  const ours = (who: string, index: number) =>
    sessions[index]!.mutex(name).run(({ fencingToken }) => void turns.push({ who, token: fencingToken }))
  const theirs = async (who: string) => {
    const lock = lockWithEtcdctl(t, endpoint, name)
    const key = await lock.acquired
    turns.push({ who, token: (await etcd.get(key))!.createRevision })
    await lock.release()
  }

  const arrivals = [
    () => theirs('etcdctl 1'),
    () => ours('ours 1', 1),
    () => theirs('etcdctl 2'),
    () => ours('ours 2', 2),
    () => theirs('etcdctl 3'),
  ]
  const done: Promise<void>[] = []
  for (const arrive of arrivals) {
    done.push(arrive())
    await waiters(etcd, name, done.length)
  }
  t.deepEqual(turns, [])
  await first.unlock()
  await Promise.all(done)

  t.deepEqual(
    turns.map(({ who }) => who),
    ['etcdctl 1', 'ours 1', 'etcdctl 2', 'ours 2', 'etcdctl 3'],
  )
  let previous = first.fencingToken
  for (const { token } of turns) {
    t.true(token > previous)
    previous = token
  }
  t.is(await etcd.mutex(name).holder(), undefined)
})

test('etcdctl lock runs its command only when our session is closed', async t => {
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  const session = await etcd.session()
  await session.mutex(name).lock()
  const command = server().etcdctl('lock', name, 'printenv', 'ETCD_LOCK_KEY')
  await waiters(etcd, name, 1)
  const place = (await etcd.mutex(name).waiters())[0]!
  await session.close()
  t.is((await command).trim(), Buffer.from(place.key).toString())
})

test('an etcdctl lock that is killed is followed by us once its lease is over', async t => {
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  await using session = await etcd.session()
  const lock = lockWithEtcdctl(t, endpoint, name, '--ttl=2')
  const key = await lock.acquired
  const token = (await etcd.get(key))!.createRevision
  t.is(await session.mutex(name).tryLock(), undefined)
  const waiting = session.mutex(name).lock()
  await waiters(etcd, name, 1)
  lock.kill()
  const hold = await waiting
  t.true(hold.fencingToken > token)
  t.is(await etcd.get(key), undefined)
})

test('a place that comes and goes, as the TryLock of newer Go clients does, neither grants nor loses a turn', async t => {
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(endpoint)
  const [one, two, three] = await Promise.all([etcd.session(), etcd.session(), etcd.session()])
  const holder = await one.mutex(name).lock()
  const before = await flicker(etcd, name)
  const second = two.mutex(name).lock()
  await waiters(etcd, name, 2)
  const between = await flicker(etcd, name)
  const third = three.mutex(name).lock()
  await waiters(etcd, name, 4)

  await between.vanish()
  await holder.unlock()
  // Now the place that was put before ours is first in line: only when it goes it is our turn.
  t.is(await Promise.race([second, etcd.get(name).then(() => 'still waiting')]), 'still waiting')
  t.like(await etcd.mutex(name).holder(), { key: before.key })
  await before.vanish()
  const hold = await second
  t.true(hold.held)
  await hold.unlock()
  t.true((await third).fencingToken > hold.fencingToken)
})

/** `etcdctl lock NAME`: prints its key when it owns, and lets go when it is interrupted. */
function lockWithEtcdctl(
  t: ExecutionContext,
  endpoint: string,
  name: string,
  ...flags: readonly string[]
): { readonly acquired: Promise<string>; release(): Promise<void>; kill(): void } {
  const { etcdctl } = server().binary
  if (etcdctl === undefined) throw new Error('no etcdctl: install etcd-client')
  const child: ChildProcess = spawn(etcdctl, [`--endpoints=http://${endpoint}`, 'lock', ...flags, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ETCDCTL_API: '3' },
  })
  const exited = once(child, 'close')
  t.teardown(() => void child.kill('SIGKILL'))
  const acquired = once(createInterface({ input: child.stdout! }), 'line').then(([line]) => String(line))
  return {
    acquired,
    async release() {
      child.kill('SIGINT')
      await exited
    },
    kill: () => void child.kill('SIGKILL'),
  }
}

/** The put of a TryLock; its delete is left to the test. */
async function flicker(
  etcd: Etcd,
  name: string,
): Promise<{ readonly key: Uint8Array; vanish(): Promise<void> }> {
  const { id } = await etcd.lease.grant(60)
  const key = `${name}/${id.toString(16)}`
  await etcd.put(key, '', { lease: id })
  return {
    key: new Uint8Array(Buffer.from(key)),
    vanish: async () => void (await etcd.delete(key)),
  }
}

/** Resolves when so many wait behind the holder. */
async function waiters(etcd: Etcd, name: string, count: number): Promise<void> {
  while ((await etcd.mutex(name).waiters()).length !== count);
}
