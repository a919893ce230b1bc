// Many read, one writes, and nobody passes whoever came earlier.
import { connect, op } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using session = await etcd.session({ ttl: 10 })
const prices = session.rwMutex('/examples/10/prices')

const ada = await prices.readLock()
const ben = await prices.readLock()
console.log('two read at once:', ada.held && ben.held)
console.log('ada may write:', await ada.tryUpgrade())

await ben.unlock()
// In place: whoever waits still waits, and nobody came in between.
console.log('and now:', await ada.tryUpgrade(), ada.mode)
await ada.txn({ then: [op.put('/examples/10/price', '17')] })
const reading = prices.readLock()
await ada.downgrade()
await using carl = await reading
console.log(
  'carl reads',
  (await etcd.get('/examples/10/price'))?.text(),
  'beside ada:',
  carl.held && ada.held,
)
await ada.unlock()

// Output:
// two read at once: true
// ada may write: false
// and now: true write
// carl reads 17 beside ada: true
