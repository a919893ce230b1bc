// A namespace is a view in which every key begins with something unseen: keys, locks, watches and all.
import { connect, everything } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
const blue = etcd.namespace('/examples/08/blue/')
const green = etcd.namespace('/examples/08/green/')
await blue.delete(everything)
await green.delete(everything)

await blue.put('colour', 'blue')
await green.put('colour', 'green')
console.log((await blue.get('colour'))?.text(), (await green.get('colour'))?.text())
console.log((await etcd.get('/examples/08/blue/colour'))?.text())

// `everything` is everything of the view.
console.log((await blue.range(everything)).kvs.map(kv => kv.name()))

// Locks of one name are different locks in different namespaces.
await using session = await blue.session()
await using hold = await session.mutex('lock').lock()
console.log(await green.mutex('lock').holder())
console.log(Buffer.from(hold.key).toString().startsWith('/examples/08/blue/lock/'))

// Closing a view closes what was opened through it, and leaves the client open.
await blue.close()
console.log(session.state, (await etcd.get('/examples/08/green/colour'))?.text())

// Output:
// blue green
// blue
// [ 'colour' ]
// undefined
// true
// closed green
