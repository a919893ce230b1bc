import type { Etcd } from '../../../src/index.ts'
import { Findings, type Guest, type Scenario, withGuests } from '../scenario.ts'
import { type Timing, timed } from '../stalls.ts'

const BOUND_MS = 8000
const COUNT = { short: 4, long: 24 }

export const blackHole: Scenario = {
  name: 'black-hole',
  promise: 'an endpoint that became a black hole is left within 8 s',
  runs: 'together',
  async run({ cluster, form }) {
    const findings = new Findings()
    const [watches, reads] = await Promise.all([
      withGuests(cluster, COUNT[form], (guest, index) => eventFromBeyond(cluster.control, guest, index)),
      withGuests(cluster, COUNT[form], async ({ etcd, used }) => {
        await etcd.get('hole')
        used().blackhole('both')
        return timed(() => etcd.get('hole'))
      }),
    ])
    findings.within('an event for a watch that was idle', watches, BOUND_MS)
    findings.within('a read', reads, BOUND_MS)
    return findings.verdict
  },
}

/** How long an event takes to a watcher whose connection is a black hole, and who asks for nothing else. */
async function eventFromBeyond(control: Etcd, { etcd, used }: Guest, index: number): Promise<Timing> {
  const key = `black-hole/${index}`
  await using watch = etcd.watch(key)
  await watch.ready
  used().blackhole('both')
  // Not before it is over: leaving closes the watch.
  return await timed(async () => {
    const { revision } = await control.put(key, 'v')
    for await (const event of watch) if (event.revision === revision) return
    throw new Error('the watch ended without the event')
  })
}
