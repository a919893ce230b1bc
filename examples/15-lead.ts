// lead: a function that runs wherever this process leads, one term after the other, until it is stopped.
import { connect } from 'quorate'
import { startEtcd } from 'quorate/embedded'

await using server = await startEtcd()
await using etcd = await connect(process.env.ETCD_ENDPOINTS?.split(',') ?? server.endpoints)
const name = '/examples/15/scheduler'

/** Works until the term is over: it is stopped, or has lost the leadership, or somebody else shall lead. */
async function schedule(owner: string, signal: AbortSignal): Promise<void> {
  console.log(`${owner} schedules`)
  if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
  console.log(`${owner} puts things in order`)
}

// Two processes would do this, each once. It takes care of the sessions, and stands again after every term.
const adaStops = new AbortController()
const ada = etcd.lead(name, term => schedule('ada', term.signal), {
  owner: 'ada',
  signal: adaStops.signal,
  preempt: 'gracefully',
  stabilizationMs: 100,
})
for await (const leader of etcd.election(name).observe()) if (leader?.owner === 'ada') break

// Somebody better comes, and stays: ada makes room, and ben leads from the very revision at which ada does not.
const benStops = new AbortController()
await etcd.lead(
  name,
  async term => {
    const work = schedule('ben', term.signal)
    adaStops.abort()
    await ada
    // Stopped, it lets the function put things in order, and resigns; then it resolves.
    benStops.abort()
    await work
  },
  { owner: 'ben', signal: benStops.signal, priority: 1 },
)
console.log('leader:', await etcd.election(name).leader())

// Output:
// ada schedules
// ada puts things in order
// ben schedules
// ben puts things in order
// leader: undefined
