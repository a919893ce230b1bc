// Locks for things that know no tokens: asked for back, taken back, held for a limited time, and who waits for whom.
import { connect, EtcdError } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using session = await etcd.session({
  ttl: 10,
  owner: 'importer',
  describe: ({ owner, sinceMs }) => ({ owner, sinceMs, purpose: 'the nightly import' }),
})
const name = '/examples/16/import'

const polite = session.mutex(name, {
  onRevocation: async ({ reason }, hold) => {
    console.log('asked for it:', reason)
    await hold.unlock()
  },
})
const hold = await polite.lock()
const released = new Promise(resolve => hold.signal.addEventListener('abort', resolve))
await etcd.mutex(name).requestRevocation({ reason: 'maintenance' })
await released
console.log('still held:', hold.held)

const limited = await session.mutex(name, { maxHoldMs: 50 }).lock()
await new Promise(resolve => limited.signal.addEventListener('abort', resolve))
console.log('held too long:', EtcdError.is(limited.signal.reason, 'LOCK_LOST'))

const stubborn = await session.mutex(name).lock()
const [place] = (await session.mutex(name).explain()).holders
console.log(place?.contender.owner, 'holds it for', place?.contender.purpose)
console.log('taken back:', await etcd.mutex(name).breakLock({ token: stubborn.fencingToken }))
console.log(String(await etcd.mutex(name).explain()))

// Output:
// asked for it: maintenance
// still held: false
// held too long: true
// importer holds it for the nightly import
// taken back: true
// mutex /examples/16/import: free, 0 waiting
