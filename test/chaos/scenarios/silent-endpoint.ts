import { connect } from '../../../src/index.ts'
import { Findings, guest, type Scenario, withGuests } from '../scenario.ts'
import { timed } from '../stalls.ts'

const BOUND_MS = 3000
const COUNT = { short: 4, long: 24 }

export const silentEndpoint: Scenario = {
  name: 'silent-endpoint',
  promise: 'an endpoint that accepts and never speaks is left within 3 s',
  runs: 'together',
  async run({ cluster, form }) {
    const findings = new Findings()
    const before = await withGuests(cluster, COUNT[form], async ({ etcd, used }) => {
      await etcd.get('silent')
      const proxy = used()
      proxy.acceptSilently()
      proxy.reset()
      return timed(() => etcd.get('silent'))
    })
    findings.within('a read after the connection broke', before, BOUND_MS)
    await using newcomer = await guest(cluster)
    newcomer.network.proxies[0].acceptSilently()
    const connecting = await timed(async () => {
      await using etcd = await connect(newcomer.network.endpoints)
      await etcd.get('silent')
    })
    findings.within('connecting, and a read', [connecting], BOUND_MS)
    return findings.verdict
  },
}
