// What goes wrong has a code, and says whether the request can have taken effect.
import { connect, EtcdError } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)

// The cluster said no: nothing was changed.
try {
  await etcd.put('/examples/09/key', 'value', { lease: 1n })
} catch (error) {
  if (EtcdError.is(error)) console.log(error.code, error.outcome)
}

// Nobody was reached: nothing was sent, so anything may be tried again.
try {
  await connect('127.0.0.1:1', { connectTimeoutMs: 200 })
} catch (error) {
  if (EtcdError.is(error)) console.log(error.code, error.outcome)
}

// `unknown` is the one to think about: the write may have been applied. Make it so that writing twice does no harm.
async function putOnceMore(key: string, value: string): Promise<void> {
  try {
    await etcd.put(key, value)
  } catch (error) {
    if (!EtcdError.is(error) || error.outcome === 'rejected') throw error
    await etcd.put(key, value)
  }
}
await putOnceMore('/examples/09/key', 'value')
console.log((await etcd.get('/examples/09/key'))?.text())

// Mistakes of the caller are plain TypeErrors and RangeErrors, told before anything is sent.
await etcd.get('').catch((error: Error) => console.log(`${error.name}: ${error.message}`))

// What was ended by our own signal rejects with the reason of that signal.
await etcd.get('/examples/09/key', { signal: AbortSignal.abort('no longer wanted') }).catch(console.log)

// Output:
// LEASE_NOT_FOUND rejected
// UNAVAILABLE not-sent
// value
// RangeError: an empty key: etcd has none
// no longer wanted
