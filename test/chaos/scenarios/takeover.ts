import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultyCluster } from '../../support/etcd-cluster.ts'
import { Chance } from '../chance.ts'
import type { HolderConfig } from '../holder.ts'
import { PlayerProcess } from '../player-process.ts'
import { Findings, type Scenario } from '../scenario.ts'

/** From the end of a lease to the end of its keys and the news of it: the server looks every 500 ms. */
const BEYOND_TTL_MS = 600
const LOCKS = { short: 6, long: 12 }
const TTLS = { short: [2], long: [2, 5, 10] }

interface Case {
  readonly ttl: number
  readonly leaderChanges: number
}

export const takeover: Scenario = {
  name: 'takeover',
  promise: 'the lock of a crashed process is taken over within its TTL and 0.6 s',
  runs: 'together',
  async run({ cluster, form, seed }) {
    const findings = new Findings()
    for (const ttl of TTLS[form]) {
      await measure({ ttl, leaderChanges: 0 }, cluster, LOCKS[form], new Chance(seed), findings)
    }
    return findings.verdict
  },
}

export const takeoverAfterLeaderChanges: Scenario = {
  name: 'takeover-after-leader-changes',
  promise: 'each change of the leader puts off a takeover by no more than one TTL',
  runs: 'alone',
  async run({ cluster, form, seed }) {
    const findings = new Findings()
    const cases = form === 'short' ? [{ ttl: 2, leaderChanges: 1 }] : LONG_CASES
    for (const one of cases) await measure(one, cluster, LOCKS[form], new Chance(seed), findings)
    return findings.verdict
  },
}

const LONG_CASES: readonly Case[] = [
  { ttl: 2, leaderChanges: 1 },
  { ttl: 5, leaderChanges: 1 },
  { ttl: 5, leaderChanges: 3 },
  { ttl: 10, leaderChanges: 2 },
]

async function measure(
  { ttl, leaderChanges }: Case,
  cluster: FaultyCluster,
  count: number,
  chance: Chance,
  findings: Findings,
): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `takeover/${ttl}-${leaderChanges}/${index}`)
  const config: HolderConfig = { endpoints: cluster.endpoints, locks: names.map(name => ({ name, ttl })) }
  const holder = new PlayerProcess<{ kind: 'holding' }, never>('holder', 'holder', config, () => {})
  try {
    await holder.hears('holding', 30_000)
    await using session = await cluster.control.session({ ttl: 60 })
    const turns = names.map(async name => {
      await session.mutex(name).lock()
      return performance.now()
    })
    await Promise.all(names.map(name => untilWaitedFor(cluster, name)))
    await sleep(chance.between(0, ttl * 400))
    const killedAtMs = performance.now()
    await holder.kill()
    for (let change = 0; change < leaderChanges; change++) {
      await cluster.moveLeader()
      await sleep(chance.between(0, ttl * 500))
    }
    const took = (await Promise.all(turns)).map(atMs => atMs - killedAtMs)
    const what = leaderChanges === 0 ? `TTL ${ttl} s` : `TTL ${ttl} s, ${leaderChanges} leader changes`
    findings.within(what, took, ttl * 1000 * (1 + leaderChanges) + BEYOND_TTL_MS)
    // Sooner than the lease can have ended, somebody was deprived.
    const soonest = Math.min(...took)
    findings.expect(soonest > ttl * 600, `${what}: taken over after ${Math.round(soonest)} ms`)
  } finally {
    await holder.kill()
  }
}

async function untilWaitedFor(cluster: FaultyCluster, name: string): Promise<void> {
  while ((await cluster.control.mutex(name).waiters()).length === 0) await sleep(10)
}
