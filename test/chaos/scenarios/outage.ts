import { setTimeout as sleep } from 'node:timers/promises'
import type { Etcd } from '../../../src/index.ts'
import { Chance } from '../chance.ts'
import { Findings, type Form, type Guest, guest, type Scenario, withGuests } from '../scenario.ts'
import { Stopwatch, type Timing } from '../stalls.ts'

type Spans = Readonly<Record<Form, readonly [number, number]>>

const BOUND_MS = 1500
const CLIENTS = { short: 4, long: 24 }
const NETWORK_OUTAGE_MS: Spans = { short: [2000, 4000], long: [2000, 20_000] }

export const networkOutage: Scenario = {
  name: 'network-outage',
  promise: 'a client goes on within 1.5 s after its whole network was gone',
  runs: 'together',
  async run({ cluster, form, seed }) {
    const findings = new Findings()
    const took = await withGuests(
      cluster,
      CLIENTS[form],
      async ({ etcd, network }, index): Promise<Timing> => {
        const chance = new Chance(seed + index)
        for (const proxy of network.proxies) {
          proxy.refuse()
          proxy.reset()
        }
        const back = firstSuccess(etcd)
        await sleep(chance.between(...NETWORK_OUTAGE_MS[form]))
        await network.heal()
        const stopwatch = new Stopwatch()
        return await stopwatch.stop(await back)
      },
    )
    findings.within('the first success after it is there again', took, BOUND_MS)
    return findings.verdict
  },
}

const ROUNDS = { short: 1, long: 12 }
const SERVER_OUTAGE_MS: Spans = { short: [500, 2000], long: [500, 15_000] }

export const serverOutage: Scenario = {
  name: 'server-outage',
  promise: 'a client goes on within 1.5 s after all servers were killed and are there again',
  runs: 'alone',
  async run({ cluster, form, seed }) {
    const findings = new Findings()
    const chance = new Chance(seed)
    const guests: Guest[] = await Promise.all([1, 2, 3, 4].map(() => guest(cluster)))
    const took: Timing[] = []
    try {
      for (let round = 0; round < ROUNDS[form]; round++) {
        await Promise.all(cluster.members.map(member => cluster.kill(member)))
        const back = guests.map(({ etcd }) => firstSuccess(etcd))
        await sleep(chance.between(...SERVER_OUTAGE_MS[form]))
        // A member counts as there again when it answers a read that needs the majority.
        const answering = cluster.members.map(member => cluster.restart(member))
        await Promise.race(answering)
        const stopwatch = new Stopwatch()
        const backAtMs = await Promise.all(back)
        const since = backAtMs.map(atMs => stopwatch.stop(Math.max(stopwatch.startedAtMs, atMs)))
        took.push(...(await Promise.all(since)))
        await Promise.all(answering)
      }
    } finally {
      await Promise.all(guests.map(one => one[Symbol.asyncDispose]()))
    }
    findings.within('the first success after they answer again', took, BOUND_MS)
    return findings.verdict
  },
}

/** When a user who asks again and again is answered. */
async function firstSuccess(etcd: Etcd): Promise<number> {
  for (;;) {
    try {
      await etcd.get('outage')
      return performance.now()
    } catch {
      await sleep(10)
    }
  }
}
