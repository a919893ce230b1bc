import test, { type ExecutionContext } from 'ava'
import { connect, type Etcd, everything, prefix, type Transaction } from '../../../src/index.ts'
import { useClient } from '../client/use-client.ts'

const ROOT = { username: 'root', password: 'a-root-secret' } as const
const live = useClient(test, { auth: ROOT })

test('what one transaction is not allowed is no matter to others of the same tick', async t => {
  const { etcd: root } = live()
  const etcd = await teller(t, 'tess')
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
  const { kvs } = await root.range(everything)
  t.deepEqual(
    kvs.map(kv => kv.name()).filter(name => !name.startsWith('mine/hot')),
    ['mine/a', 'mine/d'],
  )
})

test('who may not read what it asks for in a batch hears of that, and the others count on', async t => {
  const etcd = await teller(t, 'theo')
  let isOver = false
  const count = async (tx: Transaction) =>
    tx.put('mine/hot', String(Number((await tx.get('mine/hot'))?.text() ?? 0) + 1))
  let counted = 0
  const crowd = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      await etcd.stm(count)
      counted += 1
    }
  })
  let runs = 0
  for (let round = 0; round < 5; round++) {
    await t.throwsAsync(
      etcd.stm(async tx => {
        runs += 1
        await count(tx)
        await tx.get(`theirs/${round}`)
      }),
      { code: 'PERMISSION_DENIED' },
    )
  }
  isOver = true
  await Promise.all(crowd)
  t.is((await etcd.get('mine/hot'))?.text(), String(counted))
  t.true(runs <= 15, `${runs}`)
})

/** A client of somebody who may do what he likes below `mine/`, and nothing elsewhere. */
async function teller(t: ExecutionContext<unknown>, username: string): Promise<Etcd> {
  const { etcd: root, servers } = live()
  await root.auth.addRole(username)
  await root.auth.grantPermission(username, { access: 'readwrite', keys: prefix('mine/') })
  await root.auth.addUser(username, 'a-secret')
  await root.auth.grantRole(username, username)
  const etcd = await connect(servers.endpoints, { credentials: { username, password: 'a-secret' } })
  t.teardown(() => etcd[Symbol.asyncDispose]())
  return etcd
}
