// A transaction compares, then does one of two lists of steps, all at one revision.
import { compare, connect, op, prefix } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await etcd.delete(prefix('/examples/02/'))

// Create it if it is not there; else tell who was faster. A key that does not exist has version 0.
async function claim(seat: string, who: string): Promise<string> {
  const result = await etcd.txn({
    if: [compare(seat).version.equals(0n)],
    then: [op.put(seat, who)],
    else: [op.get(seat)],
  })
  // Each answer has the type of its step: here the result of a put, or a key and its value.
  return result.succeeded ? `${who} has it` : `${who} is too late for ${result.results[0]?.text()}`
}
console.log(await claim('/examples/02/seat', 'ada'))
console.log(await claim('/examples/02/seat', 'ben'))

// Move money: nobody ever sees it on both accounts, or on neither.
await etcd.put('/examples/02/from', '100')
await etcd.put('/examples/02/to', '0')
const { results } = await etcd.txn({ then: [op.get('/examples/02/from'), op.get('/examples/02/to')] })
const [source, target] = results
const moved = await etcd.txn({
  if: [
    compare('/examples/02/from').modRevision.equals(source?.modRevision ?? 0n),
    compare('/examples/02/to').modRevision.equals(target?.modRevision ?? 0n),
  ],
  then: [
    op.put('/examples/02/from', String(Number(source?.text()) - 30)),
    op.put('/examples/02/to', String(Number(target?.text()) + 30)),
  ],
})
console.log(moved.succeeded ? 'moved' : 'somebody was in between: read again')
const { kvs } = await etcd.range(prefix('/examples/02/'))
for (const kv of kvs) console.log(kv.name(), kv.text())

// Output:
// ada has it
// ben is too late for ada
// moved
// /examples/02/from 70
// /examples/02/seat ada
// /examples/02/to 30
