import test from 'ava'
import { connect, type Etcd } from '../../src/index.ts'
import { methods } from '../../src/wire/methods.ts'
import { uniquePrefix, useEtcd } from '../support/live.ts'

const server = useEtcd(test)

test("the server's own lock service stands in our line, and we in its", async t => {
  const name = `${uniquePrefix(t)}lock`
  await using etcd = await connect(server().endpoint)
  const [one, two] = await Promise.all([etcd.session(), etcd.session()])
  const first = await one.mutex(name).lock()
  const second = lockByService(etcd, name, (await etcd.lease.grant(60)).id)
  await waiters(etcd, name, 1)
  const third = two.mutex(name).lock()
  await waiters(etcd, name, 2)

  await first.unlock()
  const key = await second
  const token = (await etcd.get(key))!.createRevision
  t.true(token > first.fencingToken)
  t.deepEqual((await etcd.mutex(name).holder())?.key, key)
  await etcd.engine.submitter.submit({ method: methods.unlock, request: { key }, footprint: 'alone' })
  t.true((await third).fencingToken > token)
})

/** The service answers when the lock is owned. */
async function lockByService(etcd: Etcd, name: string, lease: bigint): Promise<Uint8Array> {
  const { key } = await etcd.engine.submitter.submit({
    method: methods.lock,
    request: { name: new Uint8Array(Buffer.from(name)), lease },
    footprint: 'alone',
    timeoutMs: 30_000,
  })
  return Uint8Array.from(key)
}

/** Resolves when so many wait behind the holder. */
async function waiters(etcd: Etcd, name: string, count: number): Promise<void> {
  while ((await etcd.mutex(name).waiters()).length !== count);
}
