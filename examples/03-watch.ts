// A watch tells what happens to some keys, in order and without gaps, whatever happens to connections.
import { connect, prefix } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await etcd.delete(prefix('/examples/03/'))

// It starts with this call, not with the loop: what is written once it is ready will be seen.
const watch = etcd.watch(prefix('/examples/03/'), { previous: true })
await watch.ready

await etcd.put('/examples/03/lamp', 'off')
const { revision } = await etcd.put('/examples/03/lamp', 'on')
await etcd.delete('/examples/03/lamp')

for await (const event of watch) {
  if (event.type === 'put') console.log('put', event.kv.text(), 'after', event.previous?.text())
  else {
    console.log('delete after', event.previous?.text())
    // Leaving the loop closes the watch.
    break
  }
}

// From a revision of the past on. To read a state and then follow it, watch from its revision + 1n.
for await (const event of etcd.watch(prefix('/examples/03/'), { from: revision })) {
  console.log('again:', event.type)
  if (event.type === 'delete') break
}

// Output:
// put off after undefined
// put on after off
// delete after on
// again: put
// again: delete
