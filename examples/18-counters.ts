// A counter, a sequence without gaps, and ids by the thousand.
import { connect } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)

const visits = etcd.counter('/examples/18/visits')
await Promise.all(Array.from({ length: 50 }, () => visits.add()))
console.log(await visits.get())

const orders = etcd.sequence('/examples/18/orders')
console.log(await orders.next(), await orders.next(), await orders.next())

const ids = etcd.idBlocks('/examples/18/ids', { size: 100 })
console.log(await ids.next(), await ids.next())

// Output:
// 50n
// 1n 2n 3n
// 0n 1n
