import test from 'ava'
import { connect, prefix } from '../../../src/index.ts'
import { useClient } from '../client/use-client.ts'

const ROOT = { username: 'root', password: 'a-root-secret' } as const
const live = useClient(test, { auth: ROOT })

test('what one transaction is not allowed is no matter to others of the same tick', async t => {
  const { etcd: root, servers } = live()
  await root.auth.addRole('teller')
  await root.auth.grantPermission('teller', { access: 'readwrite', keys: prefix('mine/') })
  await root.auth.addUser('tess', 'a-secret')
  await root.auth.grantRole('tess', 'teller')
  const etcd = await connect(servers.endpoints, { credentials: { username: 'tess', password: 'a-secret' } })
  t.teardown(() => etcd[Symbol.asyncDispose]())
  const write = (...keys: string[]) =>
    etcd.stm(tx => {
      for (const key of keys) tx.put(key, 'x')
    })
  const read = (key: string) => etcd.stm(tx => tx.get(key))
  const results = await Promise.allSettled([
    write('mine/a'),
    write('theirs/b'),
    write('mine/c', 'theirs/c'),
    write('mine/d'),
    read('mine/a'),
    read('theirs/b'),
  ])
  t.deepEqual(
    results.map(result => (result.status === 'fulfilled' ? 'done' : result.reason.code)),
    ['done', 'PERMISSION_DENIED', 'PERMISSION_DENIED', 'done', 'done', 'PERMISSION_DENIED'],
  )
  const { kvs } = await root.range(prefix(''))
  t.deepEqual(
    kvs.map(kv => kv.name()),
    ['mine/a', 'mine/d'],
  )
})
