// A lock is a belief: a process may be stopped for a minute and wake up in the middle of its work. The fencing
// token makes that harmless. Each holder gets a larger one; what the lock protects refuses a smaller one.
import { compare, connect, EtcdError, op, prefix } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await etcd.delete(prefix('/examples/07/'))

// The protected thing, outside etcd: it remembers the largest token it has seen. Any database can do that.
let largest = 0n
function store(value: string, token: bigint): string {
  if (token < largest) return `${value}: refused`
  largest = token
  return `${value}: stored`
}

await using one = await etcd.session()
await using two = await etcd.session()
const early = await one.mutex('/examples/07/report').lock()
console.log(store('first draft', early.fencingToken))

// Whatever makes the first holder lose its lock: here somebody deletes its key.
await etcd.delete(early.key)
const late = await two.mutex('/examples/07/report').lock()
console.log('larger:', late.fencingToken > early.fencingToken)
console.log(store('second draft', late.fencingToken))
console.log(store('an answer to the first draft', early.fencingToken))

// Inside etcd no token is compared by hand: the transaction is applied only while the lock is ours.
await late.txn({ then: [op.put('/examples/07/status', 'published')] })
try {
  await early.txn({ then: [op.put('/examples/07/status', 'withdrawn')] })
} catch (error) {
  console.log(EtcdError.is(error, 'LOCK_LOST') && error.outcome)
}

// The same as a compare, for a transaction with more to say.
const { succeeded } = await etcd.txn({
  if: [late.guard(), compare('/examples/07/status').value.equals('published')],
  then: [op.put('/examples/07/status', 'archived')],
})
console.log(succeeded, (await etcd.get('/examples/07/status'))?.text())

// Output:
// first draft: stored
// larger: true
// second draft: stored
// an answer to the first draft: refused
// rejected
// true archived
