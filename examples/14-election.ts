// An election: one leader at a time, in order of arrival, and everybody may know who it is.
import { connect } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using ada = await etcd.session({ owner: 'ada' })
await using ben = await etcd.session({ owner: 'ben' })
const name = '/examples/14/shop'

// Whoever is to know who leads needs no session. The present leader comes first, undefined is a vacancy; usually
// this is a loop of its own: for await (const leader of etcd.election(name).observe()) …
await using leaders = etcd.election(name).observe()
const tell = async () => console.log('leader:', (await leaders.next()).value?.text() ?? 'nobody')
await tell()

// With a value of its own, such as the address it is to be reached at.
const first = await ada.election(name).campaign('ada')
await tell()
await first.proclaim('ada, very busy')
await tell()

// Who comes later waits, in order of arrival.
const next = ben.election(name).campaign('ben')
while ((await etcd.election(name).contenders()).length < 2);
await first.resign()
const second = await next
await tell()

// What only the leader may do is bound to its token: inside etcd by txn() and guard(), elsewhere by comparing.
console.log('the token has risen:', second.fencingToken > first.fencingToken)
await second.txn({ then: [] })
await first.txn({ then: [] }).catch(error => console.log('ada:', error.code))
await second.resign()
await tell()

// Output:
// leader: nobody
// leader: ada
// leader: ada, very busy
// leader: ben
// the token has risen: true
// ada: LOCK_RELEASED
// leader: nobody
