import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { startEtcd } from '../../src/embedded/index.ts'
import { connect, type Etcd, everything } from '../../src/index.ts'
import { CountingTransport } from './counting-transport.ts'
import type { Scenario } from './scenario.ts'

/** How often the heap is measured, evenly over the cycles. */
const SAMPLES = 20
/** Cycles before the first measurement: code is compiled and tables find their size. */
const WARM_UP_CYCLES = 500

/** A watch that lingers, a timer that is about to be cancelled: what may be there in one moment and not in another. */
const SLACK = 4
/** A minute, also where time runs a thousand times as fast. */
const PATIENCE = { connectTimeoutMs: 60_000_000, requestTimeoutMs: 60_000_000 }
/** What cycles write on purpose. */
const OURS: ReadonlySet<string> = new Set(['compacted', 'watched/key', 'through/key'])

export interface Finding {
  readonly scenario: string
  readonly cycles: number
  /** Bytes in use after collecting garbage, evenly over the cycles. */
  readonly heap: readonly number[]
  /** Median of the second half less that of the first, in bytes. */
  readonly growth: number
  readonly seconds: number
  /** What is left after closing; a list of nothing, if all is well. */
  readonly left: readonly string[]
}

/** Plays a scenario so many times, measures, closes everything, and looks for what was left. */
export async function play(scenario: Scenario, cycles: number): Promise<Finding> {
  const before = process.getActiveResourcesInfo()
  const startedAtMs = performance.now()
  const runtime = scenario.runtime?.()
  const server = await startEtcd({ port: false, runtime })
  const transport = new CountingTransport(server.transport)
  const shared = new AbortController()
  const open = (options = {}): Promise<Etcd> =>
    connect(server.endpoints, { transport, runtime, ...PATIENCE, ...options })
  const observer = await open()

  const act = await scenario.open({ signal: shared.signal, server, connect: open })
  for (let index = 0; index < WARM_UP_CYCLES; index++) await act.cycle(index)
  const heap: number[] = []
  const early = await census(shared.signal, transport, observer)
  let index = WARM_UP_CYCLES
  for (let sample = 1; sample <= SAMPLES; sample++) {
    const end = WARM_UP_CYCLES + Math.round((cycles * sample) / SAMPLES)
    for (; index < end; index++) await act.cycle(index)
    heap.push(await heapInUse(observer))
  }
  const left = more(await census(shared.signal, transport, observer), early, SLACK, 'more, in all cycles')
  await act.close()
  const late = await census(shared.signal, transport, observer)
  await observer.close()
  await turn()
  const { links, streams, watches } = transport
  const final = { ...late, resources: 0, links, streams, watches }
  left.push(...more(final, {}, 0, 'after closing'))
  await server.close()
  await turn()
  left.push(...more(byKind(process.getActiveResourcesInfo()), byKind(before), 0, 'after closing'))
  const half = heap.length / 2
  return {
    scenario: scenario.name,
    cycles,
    heap,
    growth: median(heap.slice(half)) - median(heap.slice(0, half)),
    seconds: (performance.now() - startedAtMs) / 1000,
    left,
  }
}

/** The server keeps its history in this heap, too: all but the last revision is forgotten first. */
async function heapInUse(etcd: Etcd): Promise<number> {
  const { revision } = await etcd.put('compacted', '')
  await etcd.compact(revision, { physical: true })
  for (let round = 0; round < 2; round++) {
    await turn()
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed
}

type Census = Readonly<Record<string, number>>

/** All there is now that a cycle could leave behind, besides memory. */
async function census(signal: AbortSignal, transport: CountingTransport, observer: Etcd): Promise<Census> {
  const { kvs } = await observer.range(everything, { only: 'keys' })
  return {
    keys: kvs.filter(kv => !OURS.has(kv.name())).length,
    leases: (await observer.lease.list()).length,
    listeners: getEventListeners(signal, 'abort').length,
    resources: process.getActiveResourcesInfo().length,
    links: transport.links,
    streams: transport.streams,
    watches: transport.watches,
  }
}

function more(now: Census, before: Census, slack: number, when: string): string[] {
  const grown = Object.entries(now).map(([what, count]) => ({ what, by: count - (before[what] ?? 0) }))
  return grown.filter(({ by }) => by > slack).map(({ what, by }) => `${by} ${what} ${when}`)
}

function byKind(resources: readonly string[]): Census {
  const counts: Record<string, number> = {}
  for (const kind of resources) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
