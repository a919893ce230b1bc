// Three seats, numbered, for as many workers as want one; and two at once for a group.
import { connect } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using session = await etcd.session({ ttl: 10 })
const seats = session.semaphore('/examples/13/seats', { permits: 3 })

const [ada, ben] = [await seats.acquire(), await seats.acquire()]
console.log('seats', ada.slot, 'and', ben.slot, 'are taken, free:', await seats.available())

// Both seats come at once, when there are two; meanwhile nobody passes the group.
const group = seats.acquire({ count: 2 })
while ((await seats.waiters()).length === 0);
console.log('one by one:', await seats.tryAcquire())
await ada.release()
const together = await group
console.log('the group has seats', together.slots.join(' and '))

await seats.resize(4)
await seats.run(permit => console.log('one more has seat', permit.slot))
await together.release()
await ben.release()
console.log('free:', await etcd.semaphore('/examples/13/seats').available())

// Output:
// seats 0 and 1 are taken, free: 1
// one by one: undefined
// the group has seats 0 and 2
// one more has seat 3
// free: 4
