// A session is a lease that is kept alive. Keys bound to it go when it goes, also if the process crashes.
import { connect } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)

// For 15 seconds after the last sign of life nobody else gets what is ours.
const session = await etcd.session({ ttl: 15 })
console.log(session.state, session.ttl)

await etcd.put('/examples/04/worker', 'here', { lease: session.leaseId })
console.log((await etcd.get('/examples/04/worker'))?.lease === session.leaseId)

// Its signal aborts when it is lost, before anybody else can own what was ours, and when it is closed.
session.signal.addEventListener('abort', () => console.log('it is over:', session.signal.reason.code))
session.on('state', state => console.log('state:', state))

await session.close()
console.log(await etcd.get('/examples/04/worker'))

// A lease can be handed on, with all of its keys, to another process: from `orphan` until the TTL is over.
const older = await etcd.session({ ttl: 15 })
await etcd.put('/examples/04/worker', 'still here', { lease: older.leaseId })
const leaseId = await older.orphan()
const younger = await etcd.session({ resume: leaseId })
console.log((await etcd.get('/examples/04/worker'))?.text(), younger.leaseId === leaseId)
await younger.close()

// Output:
// active 15
// true
// it is over: SESSION_CLOSED
// state: closed
// undefined
// still here true
