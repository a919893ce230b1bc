// Transactions that run as often as it takes, and wait for what they need.
import { connect, type Transaction } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await etcd.put('/examples/17/ada', '100')
await etcd.put('/examples/17/ben', '100')

async function move(tx: Transaction, from: string, to: string, amount: number): Promise<void> {
  const [source, target] = await tx.getMany([from, to])
  tx.check(Number(source?.text()) >= amount)
  tx.put(from, String(Number(source?.text()) - amount))
  tx.put(to, String(Number(target?.text()) + amount))
}

// Ada has not got so much yet: this one waits until she has.
const large = etcd.stm(tx => move(tx, '/examples/17/ada', '/examples/17/ben', 110))
await Promise.all(
  Array.from({ length: 10 }, () => etcd.stm(tx => move(tx, '/examples/17/ben', '/examples/17/ada', 2))),
)
await large
const { value } = await etcd.stm(tx => tx.prefix('/examples/17/'))
console.log(value.map(kv => `${kv.name()} ${kv.text()}`).join(', '))

// Output:
// /examples/17/ada 10, /examples/17/ben 190
