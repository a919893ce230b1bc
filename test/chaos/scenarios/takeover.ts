import { setTimeout as sleep } from 'node:timers/promises'
import { prefix } from '../../../src/index.ts'
import type { FaultyCluster } from '../../support/etcd-cluster.ts'
import { Chance } from '../chance.ts'
import { figuresOf, told } from '../figures.ts'
import type { HolderConfig } from '../holder.ts'
import { PlainWatch } from '../plain-watch.ts'
import { PlayerProcess } from '../player-process.ts'
import { Findings, type Scenario } from '../scenario.ts'

/** For leases that have ended. */
const LOOKS_EVERY_MS = 500
/** From the end of the keys to the news of it. */
const NEWS_MS = 100
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
    const keys = await Promise.all(names.map(name => holdersKey(cluster, name)))
    using server = await PlainWatch.open(cluster.endpoints[0]!, 'takeover/', 'takeover0')
    await sleep(chance.between(0, ttl * 400))
    const killedAtMs = performance.now()
    await holder.kill()
    for (let change = 0; change < leaderChanges; change++) {
      await cluster.moveLeader()
      await sleep(chance.between(0, ttl * 500))
    }
    const took = (await Promise.all(turns)).map(atMs => atMs - killedAtMs)
    const endedMs = (await Promise.all(keys.map(key => server.deletedAtMs(key)))).map(at => at - killedAtMs)
    const what = leaderChanges === 0 ? `TTL ${ttl} s` : `TTL ${ttl} s, ${leaderChanges} leader changes`
    findings.note(`${what}, the server ended the keys: ${told(figuresOf(endedMs))}`)
    // A busy server looks late; a takeover is late only beyond that.
    const dueMs = ttl * 1000 * (1 + leaderChanges) + LOOKS_EVERY_MS
    const lateMs = endedMs.map(ended => Math.max(0, ended - dueMs))
    findings.within(
      `${what}, the next held the lock`,
      took.map((ms, index) => ms - lateMs[index]!),
      dueMs + NEWS_MS,
    )
    // Sooner than the lease can have ended, somebody was deprived.
    const soonest = Math.min(...took)
    findings.expect(soonest > ttl * 600, `${what}: taken over after ${Math.round(soonest)} ms`)
  } finally {
    await holder.kill()
  }
}

/** Of the first place, once somebody stands behind it. */
async function holdersKey({ control }: FaultyCluster, name: string): Promise<Uint8Array> {
  for (;;) {
    const { kvs } = await control.range(prefix(`${name}/`))
    const [first, second] = kvs.toSorted((a, b) => Number(a.createRevision - b.createRevision))
    if (first !== undefined && second !== undefined) return first.key
    await sleep(10)
  }
}
