// Keys and values are bytes; strings are UTF-8. A key that does not exist is undefined, not an error.
import { connect, prefix } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
const etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await etcd.delete(prefix('/examples/01/'))

await etcd.put('/examples/01/greeting', 'hello')
console.log((await etcd.get('/examples/01/greeting'))?.text())
console.log(await etcd.get('/examples/01/nobody'))

await etcd.put('/examples/01/config', JSON.stringify({ retries: 3 }))
const config = (await etcd.get('/examples/01/config'))?.json<{ retries: number }>()
console.log(config?.retries)

// Every change of the cluster has a revision, and the past can be read until it is compacted.
const { revision, previous } = await etcd.put('/examples/01/greeting', 'good evening', { previous: true })
console.log(previous?.text(), '→', (await etcd.get('/examples/01/greeting'))?.text())
console.log((await etcd.get('/examples/01/greeting', { revision: revision - 1n }))?.text())

// A range is read at one revision. For one that may be large, `etcd.pages()` goes through it in parts.
const { kvs, count } = await etcd.range(prefix('/examples/01/'))
console.log(
  count,
  kvs.map(kv => kv.name()),
)

const { deleted } = await etcd.delete(prefix('/examples/01/'))
console.log('deleted', deleted)

// Nothing of the client keeps the process alive after this.
await etcd.close()

// Output:
// hello
// undefined
// 3
// hello → good evening
// hello
// 2 [ '/examples/01/config', '/examples/01/greeting' ]
// deleted 2
