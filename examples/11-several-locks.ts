// All locks or none, with one place in every line: no deadlock, whatever the order of the names.
import { connect, op } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using session = await etcd.session({ ttl: 10 })
await etcd.put('/examples/11/ada', '100')
await etcd.put('/examples/11/ben', '100')

async function transfer(from: string, to: string, amount: number): Promise<void> {
  await using hold = await session.lockAll([from, to])
  const [source, target] = await Promise.all([etcd.get(from), etcd.get(to)])
  await hold.txn({
    then: [
      op.put(from, String(Number(source?.text()) - amount)),
      op.put(to, String(Number(target?.text()) + amount)),
    ],
  })
}

await Promise.all([
  transfer('/examples/11/ada', '/examples/11/ben', 30),
  transfer('/examples/11/ben', '/examples/11/ada', 10),
  transfer('/examples/11/ada', '/examples/11/ben', 5),
])
console.log((await etcd.get('/examples/11/ada'))?.text(), (await etcd.get('/examples/11/ben'))?.text())

const taken = await session.lockAll(['/examples/11/ada', '/examples/11/ben'])
console.log(await session.tryLockAll(['/examples/11/ben', '/examples/11/carl']))
await taken.unlock()

// Output:
// 75 125
// undefined
