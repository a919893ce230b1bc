import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError, type Hold } from '../../../src/index.ts'
import { Findings, type Guest, type Scenario, timed, withGuests } from '../scenario.ts'

const BOUND_MS = 100
const CLIENTS = { short: 3, long: 10 }
const HOLDS = { short: 4, long: 20 }
/** From then on a hold watches its own key. */
const WATCHES_ITSELF_MS = 1500

export const operator: Scenario = {
  name: 'operator',
  promise: 'a holder learns within 100 ms that somebody revoked its lease or deleted its key',
  runs: 'alone',
  async run({ cluster, form }) {
    const findings = new Findings()
    const revoked = withGuests(cluster, CLIENTS[form], async (guest, index) => {
      const holds = await hold(guest, `revoked/${index}`, HOLDS[form])
      const took: number[] = []
      for (const { own, leaseId } of holds) {
        took.push(
          await timed(async () => {
            await Promise.all([ended(own), cluster.control.lease.revoke(leaseId)])
          }),
        )
        findings.expect(!own.held, 'a hold whose lease was revoked is held')
      }
      return took
    })
    const deleted = withGuests(cluster, CLIENTS[form], async (guest, index) => {
      const holds = await hold(guest, `deleted/${index}`, HOLDS[form])
      const took: number[] = []
      for (const { own } of holds) {
        took.push(
          await timed(async () => {
            await Promise.all([ended(own), cluster.control.delete(own.key)])
          }),
        )
        findings.expect(!own.held, 'a hold whose key was deleted is held')
        const { reason } = own.signal
        findings.expect(EtcdError.is(reason, 'LOCK_LOST'), `the reason is ${reason}`)
      }
      return took
    })
    findings.within('after the lease was revoked', (await revoked).flat(), BOUND_MS)
    findings.within('after the key was deleted', (await deleted).flat(), BOUND_MS)
    return findings.verdict
  },
}

interface Held {
  readonly own: Hold
  readonly leaseId: bigint
}

async function hold({ etcd }: Guest, name: string, count: number): Promise<readonly Held[]> {
  const holds = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const session = await etcd.session({ ttl: 30 })
      return { own: await session.mutex(`operator/${name}/${index}`).lock(), leaseId: session.leaseId }
    }),
  )
  await sleep(WATCHES_ITSELF_MS)
  return holds
}

function ended({ signal }: Hold): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
