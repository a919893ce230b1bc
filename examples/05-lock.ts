// A mutex: one holder at a time, in order of arrival, across processes and languages.
import { connect } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using session = await etcd.session({ owner: 'ada' })
const mutex = session.mutex('/examples/05/printer')

{
  // Unlocked at the end of the block, whatever happens in it.
  await using hold = await mutex.lock()
  console.log('held:', hold.held)

  // Anybody may ask who has it, and who waits.
  const holder = await etcd.mutex('/examples/05/printer').holder()
  console.log(holder?.owner, 'has it; is it us?', holder?.leaseId === session.leaseId)
}

// The same as a function: locks, runs, unlocks, and tells if the lock was lost before the work was done.
const pages = await mutex.run(async hold => {
  hold.assertHeld()
  return 3
})
console.log('printed', pages, 'pages')

// Only if it is free now. When it is not, nothing was written.
const ours = await mutex.tryLock()
await using other = await etcd.session({ owner: 'ben' })
const theirs = await other.mutex('/examples/05/printer').tryLock()
console.log('ours:', ours?.held, 'theirs:', theirs)

// Whoever waits is next when we unlock, without a further request.
const waiting = other.mutex('/examples/05/printer').lock()
await ours?.unlock()
console.log('now theirs:', (await waiting).held)

// Output:
// held: true
// ada has it; is it us? true
// printed 3 pages
// ours: true theirs: undefined
// now theirs: true
