import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import test, { type ExecutionContext } from 'ava'
import { connect, type Etcd } from '../../src/index.ts'
import { uniquePrefix, useEtcd } from '../support/live.ts'

const server = useEtcd(test)

test('etcdctl elect and our elections are won in order of arrival, and we see what it proclaims', async t => {
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}election`
  await using etcd = await connect(endpoint)
  await using session = await etcd.session()
  const first = await session.election(name).campaign('ours')
  const theirs = electWithEtcdctl(t, endpoint, name, 'theirs')
  await places(etcd, name, 2)
  const again = session.election(name).campaign('ours again')
  await first.resign()
  const key = await theirs.elected
  const leader = (await etcd.election(name).leader())!
  t.is(leader.text(), 'theirs')
  t.is(Buffer.from(leader.key).toString(), key)
  t.true(leader.createRevision > first.fencingToken)
  await places(etcd, name, 2)
  await theirs.resign()
  t.true((await again).fencingToken > leader.createRevision)
})

test('etcdctl elect --listen sees our leaders and what they proclaim', async t => {
  const { endpoint } = server()
  const name = `${uniquePrefix(t)}election`
  await using etcd = await connect(endpoint)
  await using session = await etcd.session()
  const leadership = await session.election(name).campaign('one')
  const { etcdctl } = server().binary
  const child = spawn(etcdctl!, [`--endpoints=http://${endpoint}`, 'elect', '--listen', name], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ETCDCTL_API: '3' },
  })
  t.teardown(() => void child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  t.deepEqual(
    [(await lines.next()).value, (await lines.next()).value],
    [Buffer.from(leadership.key).toString(), 'one'],
  )
  await leadership.proclaim('two')
  t.deepEqual(
    [(await lines.next()).value, (await lines.next()).value],
    [Buffer.from(leadership.key).toString(), 'two'],
  )
})

/** `etcdctl elect NAME VALUE`: prints its key when it leads, and resigns when it is interrupted. */
function electWithEtcdctl(
  t: ExecutionContext,
  endpoint: string,
  name: string,
  value: string,
): { readonly elected: Promise<string>; resign(): Promise<void> } {
  const { etcdctl } = server().binary
  if (etcdctl === undefined) throw new Error('no etcdctl: install etcd-client')
  const child = spawn(etcdctl, [`--endpoints=http://${endpoint}`, 'elect', name, value], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ETCDCTL_API: '3' },
  })
  const exited = once(child, 'close')
  t.teardown(() => void child.kill('SIGKILL'))
  return {
    elected: once(createInterface({ input: child.stdout }), 'line').then(([line]) => String(line)),
    async resign() {
      child.kill('SIGINT')
      await exited
    },
  }
}

/** Resolves when so many stand in line, the leader among them. */
async function places(etcd: Etcd, name: string, count: number): Promise<void> {
  while ((await etcd.election(name).contenders()).length !== count);
}
