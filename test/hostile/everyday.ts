/** Uses the library as everybody does, over sockets and without, and says `done`. */
import { startEtcd } from '../../src/embedded/index.ts'
import { compare, connect, op, prefix } from '../../src/index.ts'

const server = await startEtcd()
const root = await connect(server.endpoints)
await root.auth.addUser('root', 'secret')
await root.auth.addRole('root')
await root.auth.grantRole('root', 'root')
await root.auth.enable()
const credentials = { username: 'root', password: 'secret' }
for (const transport of [undefined, server.transport]) {
  const etcd = await connect(server.endpoints, { credentials, transport })
  const app = etcd.namespace('app/')
  const watch = app.watch(prefix('k'))
  await watch.ready
  await app.put('k', JSON.stringify({ a: 1 }))
  for await (const event of watch) {
    if (event.type === 'put' && event.kv.json<{ a: number }>().a === 1) break
  }
  const { succeeded } = await app.txn({
    if: [compare('k').version.greaterThan(0n)],
    then: [op.put('k', 'w'), op.range(prefix('k')), op.delete('x')],
  })
  if (!succeeded) throw new Error('the transaction took the other side')
  const first = await app.session()
  const second = await app.session({ owner: 'second' })
  const hold = await first.mutex('l').lock()
  const waiting = second.mutex('l').lock({ signal: AbortSignal.timeout(10_000) })
  while ((await app.mutex('l').waiters()).length === 0);
  await hold.unlock()
  await (await waiting).unlock()
  await first.close()
  await etcd.maintenance.status()
  await app.get('k', { revision: 10_000n }).then(
    () => {
      throw new Error('the future was read')
    },
    () => {},
  )
  await etcd.close()
}
await root.close()
await server.close()
console.log('done')
