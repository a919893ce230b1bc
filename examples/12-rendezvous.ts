// Rendezvous: a gate, a start and a finish line, rounds in step, and a countdown.
import { connect, EtcdError } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
await using ada = await etcd.session({ owner: 'ada' })
await using ben = await etcd.session({ owner: 'ben' })

// A barrier: closed by one, passed by all who wait, who learn why it opened.
const gate = etcd.barrier('/examples/12/gate')
const hold = await gate.hold({ session: ada })
const waiting = gate.wait({ signal: AbortSignal.timeout(10_000) })
await hold.release()
// 'released' for whoever stood before it, 'absent' for whoever came when it was open, 'abandoned' had ada been lost.
const why = await waiting
console.log('the gate opened:', why === 'released' || why === 'absent')
console.log('and is', await gate.wait())

// A double barrier: all enter together, all leave together.
const entering = [ada, ben].map(session => session.doubleBarrier('/examples/12/race', 2).enter())
const entries = await Promise.all(entering)
console.log('both are in round', entries[0]?.generation)
await Promise.all(entries.map(entry => entry.leave()))

// A cyclic barrier: nobody begins a step before all have finished the one before.
const steps = [ada, ben].map(session =>
  session.cyclicBarrier('/examples/12/steps', 2, { action: () => console.log('everybody has come') }),
)
for (let step = 0; step < 2; step++) {
  const arrivals = await Promise.all(steps.map(barrier => barrier.await()))
  console.log('step', arrivals[0]?.generation, 'came in order', arrivals.map(({ index }) => index).sort())
}

// Who gives up breaks it for all, so that nobody waits for ever.
const impatient = new AbortController()
const three = [ada, ben].map(session => session.cyclicBarrier('/examples/12/three', 3))
const waits = [three[0]?.await({ signal: impatient.signal }), three[1]?.await()]
const ends = Promise.allSettled(waits)
while ((await three[1]?.status())?.waiting !== 2);
impatient.abort()
const [, broken] = await ends
console.log(broken?.status === 'rejected' && EtcdError.is(broken.reason) && broken.reason.code)
await three[1]?.reset()

// A latch: opens after so many, each of whom is counted once however often it says so.
const latch = etcd.latch('/examples/12/ready')
await latch.trySetCount(2)
console.log(
  'missing:',
  await latch.countDown('ada'),
  await latch.countDown('ada'),
  await latch.countDown('ben'),
)
await latch.wait()
console.log('all are ready')

// Output:
// the gate opened: true
// and is absent
// both are in round 0
// everybody has come
// step 0 came in order [ 0, 1 ]
// everybody has come
// step 1 came in order [ 0, 1 ]
// BARRIER_BROKEN
// missing: 1 1 0
// all are ready
