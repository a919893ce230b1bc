import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdError, prefix } from '../../../src/index.ts'
import type { FaultyCluster } from '../../support/etcd-cluster.ts'
import { Findings, type Guest, type Scenario, withGuests } from '../scenario.ts'

const CLIENTS = { short: 4, long: 20 }
/** Longer than pings take to notice that nothing comes: the watch must be opened anew, below what is compacted. */
const CUT_OFF_MS = 500
const GRANT_MS = 10_000

export const compaction: Scenario = {
  name: 'compaction',
  promise: 'a wait survives that the revision it waits at is compacted, and a watch is told',
  runs: 'alone',
  async run({ cluster, form }) {
    const findings = new Findings()
    const told = await withGuests(cluster, CLIENTS[form], async (guest, index) => {
      const name = `compaction/${index}`
      await using holder = await cluster.control.session({ ttl: 30 })
      const hold = await holder.mutex(name).lock()
      const session = await guest.etcd.session({ ttl: 30 })
      const waiting = session.mutex(name).lock({ signal: AbortSignal.timeout(CUT_OFF_MS + GRANT_MS) })
      const watching = watchOver(guest, `${name}-kv/`)
      while ((await cluster.control.mutex(name).waiters()).length === 0) await sleep(10)
      await watching.ready
      for (const proxy of guest.network.proxies) proxy.stall('both')
      await forget(cluster, `${name}-kv/`)
      await hold.unlock()
      await forget(cluster, `${name}-kv/`)
      await sleep(CUT_OFF_MS)
      // Every connection breaks, so everything is opened anew.
      for (const proxy of guest.network.proxies) proxy.reset()
      await guest.network.heal()
      await forget(cluster, `${name}-kv/`)
      const next = await waiting.catch(error => error as Error)
      findings.expect(!(next instanceof Error), `the wait for ${name} ended with ${next}`)
      const end = await watching.end
      findings.expect(end !== 'gap', `the watch of ${name}-kv/ left something out without a word`)
      return end
    })
    findings.note(
      `${told.length} waits granted; watches: told of it ${count(told, 'compacted')}, went on ${count(told, 'whole')}`,
    )
    return findings.verdict
  },
}

interface Watching {
  readonly ready: Promise<unknown>
  readonly end: Promise<'whole' | 'compacted' | 'gap'>
}

/** Versions of one key must come one after the other, or the watch must say why not. */
function watchOver({ etcd }: Guest, keys: string): Watching {
  const watch = etcd.watch(prefix(keys))
  const end = (async () => {
    let version = 0n
    try {
      for await (const event of watch) {
        if (event.type === 'delete') continue
        if (event.kv.version !== version + 1n) return 'gap' as const
        version = event.kv.version
        if (version === 3n * WRITES) return 'whole' as const
      }
      return 'gap' as const
    } catch (error) {
      if (EtcdError.is(error, 'COMPACTED')) return 'compacted' as const
      throw error
    }
  })()
  return { ready: watch.ready, end }
}

const WRITES = 5n

async function forget({ control }: FaultyCluster, keys: string): Promise<void> {
  let revision = 0n
  for (let write = 0n; write < WRITES; write++) revision = (await control.put(`${keys}k`, 'v')).revision
  // Others forget, too, and may have gone further.
  await control.compact(revision).catch(error => {
    if (!EtcdError.is(error, 'COMPACTED')) throw error
  })
}

function count(list: readonly string[], wanted: string): number {
  return list.filter(one => one === wanted).length
}
