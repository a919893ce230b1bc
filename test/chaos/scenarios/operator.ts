import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError, type Hold } from '../../../src/index.ts'
import { figuresOf, inMs, told } from '../figures.ts'
import { PlainWatch } from '../plain-watch.ts'
import { Findings, type Guest, type Scenario, withGuests } from '../scenario.ts'

const BOUND_MS = 100
const CLIENTS = { short: 3, long: 5 }
const HOLDS = { short: 4, long: 20 }
/** From then on a hold watches its own key. */
const WATCHES_ITSELF_MS = 1500

export const operator: Scenario = {
  name: 'operator',
  promise:
    'a holder learns that somebody revoked its lease or deleted its key within 100 ms of the server telling it',
  runs: 'alone',
  async run({ cluster, form }) {
    const findings = new Findings()
    const revoked = withGuests(cluster, CLIENTS[form], async (guest, index) => {
      const holds = await hold(guest, `revoked/${index}`, HOLDS[form])
      using server = await listen(guest)
      const took: Struck[] = []
      for (const { own, leaseId } of holds) {
        took.push(await strike(own, server, () => cluster.control.lease.revoke(leaseId)))
        findings.expect(!own.held, 'a hold whose lease was revoked is held')
      }
      return took
    })
    const deleted = withGuests(cluster, CLIENTS[form], async (guest, index) => {
      const holds = await hold(guest, `deleted/${index}`, HOLDS[form])
      using server = await listen(guest)
      const took: Struck[] = []
      for (const { own } of holds) {
        took.push(await strike(own, server, () => cluster.control.delete(own.key)))
        findings.expect(!own.held, 'a hold whose key was deleted is held')
        const { reason } = own.signal
        findings.expect(EtcdError.is(reason, 'LOCK_LOST'), `the reason is ${reason}`)
      }
      return took
    })
    const [afterRevoking, afterDeleting] = await Promise.all([revoked, deleted])
    tell('after the lease was revoked', afterRevoking.flat(), findings)
    tell('after the key was deleted', afterDeleting.flat(), findings)
    return findings.verdict
  },
}

/** By the way the holder hears of it, too, so that all else is the same for both. */
function listen({ used }: Guest): Promise<PlainWatch> {
  return PlainWatch.open(used().endpoint, 'operator/', 'operator0')
}

interface Struck {
  readonly noticeMs: number
  /** How long it took until somebody was told by the server itself who asks it over plain HTTP. */
  readonly serverMs: number
}

async function strike(own: Hold, server: PlainWatch, order: () => Promise<unknown>): Promise<Struck> {
  const orderedAtMs = performance.now()
  const told = server.deletedAtMs(own.key)
  const noticed = ended(own).then(() => performance.now())
  await order()
  return { noticeMs: (await noticed) - orderedAtMs, serverMs: (await told) - orderedAtMs }
}

function tell(what: string, struck: readonly Struck[], findings: Findings): void {
  const server = figuresOf(struck.map(({ serverMs }) => serverMs))
  const holder = figuresOf(struck.map(({ noticeMs }) => noticeMs))
  findings.note(`${what} the server told of it: ${told(server)}`)
  findings.note(`${what} the holder noticed: ${told(holder)}`)
  const laterMs = holder.p99 - server.p99
  findings.expect(laterMs <= BOUND_MS, `${what} the p99 is ${inMs(laterMs)} later, more than ${BOUND_MS} ms`)
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
