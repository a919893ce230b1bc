// Everything that waits takes a signal. A timeout is AbortSignal.timeout(ms): there is no second way.
import { connect } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using one = await etcd.session()
await using two = await etcd.session()

await using hold = await one.mutex('/examples/06/door').lock()

try {
  await two.mutex('/examples/06/door').lock({ signal: AbortSignal.timeout(100) })
} catch (error) {
  // The reason of the signal itself, at once. Our place in the line is taken back in the background.
  console.log(error instanceof DOMException && error.name)
}

const impatient = new AbortController()
const waiting = two.mutex('/examples/06/door').lock({ signal: impatient.signal })
impatient.abort(new Error('the user has left'))
await waiting.catch(error => console.log(error.message))

// Work under a lock listens to the signal of the lock: it aborts when the lock is lost.
const work = new Promise(resolve => hold.signal.addEventListener('abort', () => resolve('stopped working')))
await hold.unlock()
console.log(await work)

// Output:
// TimeoutError
// the user has left
// stopped working
