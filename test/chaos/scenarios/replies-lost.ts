import { type Etcd, EtcdError, prefix } from '../../../src/index.ts'
import { Chance } from '../chance.ts'
import { Findings, type Guest, type Scenario, withGuests } from '../scenario.ts'

const CLIENTS = 4
const WRITES = { short: 25, long: 500 }

export const repliesLost: Scenario = {
  name: 'replies-lost',
  promise: 'no write is applied twice when replies are lost, and a lost one is never called done or undone',
  runs: 'together',
  async run({ cluster, form, seed }) {
    const findings = new Findings()
    const told = { ok: 0, unknown: 0, undone: 0 }
    const lost: number[] = []
    await withGuests(cluster, CLIENTS, async (guest, index) => {
      const chance = new Chance(seed + index)
      const own = `replies-lost/${index}/`
      for (let write = 0; write < WRITES[form]; write++) {
        await strike(guest, chance)
        const key = `${own}${write}`
        const said = await put(guest.etcd, key)
        told[said]++
        const [kv] = (await cluster.control.range(key)).kvs
        findings.expect(kv === undefined || kv.version === 1n, `${key} was written ${kv?.version} times`)
        findings.expect(said !== 'ok' || kv !== undefined, `${key} was said to be written and is not`)
        findings.expect(said !== 'undone' || kv === undefined, `${key} was said not to be written and is`)
      }
      lost.push(guest.network.proxies.reduce((sum, proxy) => sum + proxy.repliesLost, 0))
      // What may still be on its way comes through one of these, or never.
      await guest.network.heal()
      await guest.etcd.get(own)
      const { kvs } = await cluster.control.range(prefix(own))
      for (const kv of kvs) findings.expect(kv.version === 1n, `${kv.name()} was written ${kv.version} times`)
      await lockThroughLoss(guest, chance, `${own}lock`, cluster.control, findings)
    })
    const replies = lost.reduce((sum, count) => sum + count, 0)
    findings.note(
      `${CLIENTS * WRITES[form]} writes, ${replies} replies lost: said to be done ${told.ok}, unknown ${told.unknown}, not done ${told.undone}`,
    )
    findings.expect(told.unknown > 0, 'no reply to a write was lost')
    return findings.verdict
  },
}

/** Some ways lose every reply; one at least does not, so that whoever repeats a write is answered there. */
async function strike({ network }: Guest, chance: Chance): Promise<void> {
  await network.heal()
  const spared = chance.between(0, 2)
  for (const [index, proxy] of network.proxies.entries()) {
    if (index !== spared) proxy.loseReplies()
    proxy.reset()
  }
}

async function put(etcd: Etcd, key: string): Promise<'ok' | 'unknown' | 'undone'> {
  try {
    await etcd.put(key, 'once')
    return 'ok'
  } catch (error) {
    return EtcdError.is(error) && error.outcome !== 'unknown' ? 'undone' : 'unknown'
  }
}

/** A lock repeats its requests until it knows; its key must be created once for each time it is granted. */
async function lockThroughLoss(
  guest: Guest,
  chance: Chance,
  name: string,
  control: Etcd,
  findings: Findings,
): Promise<void> {
  const session = await guest.etcd.session({ ttl: 10 })
  let last = 0n
  for (let round = 0; round < 5; round++) {
    await strike(guest, chance)
    const hold = await session.mutex(name).lock({ signal: AbortSignal.timeout(10_000) })
    const { kvs } = await control.range(prefix(`${name}/`))
    findings.expect(kvs.length === 1, `${name}: ${kvs.length} places where one holds`)
    findings.expect(kvs[0]?.createRevision === hold.fencingToken, `${name}: the token is not that of the key`)
    findings.expect(hold.fencingToken > last, `${name}: token ${hold.fencingToken} after ${last}`)
    last = hold.fencingToken
    await hold.unlock({ signal: AbortSignal.timeout(10_000) })
    const left = await control.range(prefix(`${name}/`))
    findings.expect(left.count === 0, `${name}: a place is left behind`)
  }
  await guest.network.heal()
  await session.close()
}
