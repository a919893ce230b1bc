import test, { type ExecutionContext } from 'ava'
import {
  type Credentials,
  connect,
  type Etcd,
  everything,
  prefix,
  type Transaction,
} from '../../../src/index.ts'
import { methods } from '../../../src/wire/methods.ts'
import { looksAt, player, quiet } from '../../traits/arena.ts'
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

test('what is read apart from a question that is not allowed is of one revision all the same', async t => {
  const { etcd: root, servers } = live()
  const credentials = await account('tara')
  const { etcd, net } = await player(t, servers, { credentials })
  const keys = ['mine/hot/a', 'mine/hot/b']
  const write = (value: string) => root.stm(tx => keys.forEach(key => void tx.put(key, value)))
  await write('1')
  const trap = net.stopRequests(methods.txn, txn => txn.success.length === 1 && looksAt(keys[1]!)(txn))
  const reading = etcd.stm(async tx => (await tx.getMany(keys)).map(kv => kv?.text()))
  const refused = t.throwsAsync(
    etcd.stm(tx => tx.get('theirs/skew')),
    { code: 'PERMISSION_DENIED' },
  )
  const second = await trap.caught()
  trap.off()
  await quiet(net)
  await write('2')
  await second.deliver()
  t.deepEqual((await reading).value, ['1', '1'])
  await refused
})

/** A client of somebody who may do what he likes below `mine/`, and nothing elsewhere. */
async function teller(t: ExecutionContext<unknown>, username: string): Promise<Etcd> {
  const etcd = await connect(live().servers.endpoints, { credentials: await account(username) })
  t.teardown(() => etcd[Symbol.asyncDispose]())
  return etcd
}

async function account(username: string): Promise<Credentials> {
  const { etcd: root } = live()
  await root.auth.addRole(username)
  await root.auth.grantPermission(username, { access: 'readwrite', keys: prefix('mine/') })
  await root.auth.addUser(username, 'a-secret')
  await root.auth.grantRole(username, username)
  return { username, password: 'a-secret' }
}
