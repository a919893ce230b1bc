import type { Etcd } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import type { Series } from '../support/etcd-binaries.ts'
import type { FaultyCluster, Network } from '../support/etcd-cluster.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import { figuresOf, inMs, told } from './figures.ts'
import type { Timing } from './stalls.ts'

/** Below, a late timer is what every machine does. */
const WORTH_TELLING_MS = 20

/** `short` is for every test run: the same things, fewer times. */
export type Form = 'short' | 'long'

export interface Scene {
  readonly series: Series
  readonly form: Form
  readonly seed: number
  readonly cluster: FaultyCluster
}

export interface Verdict {
  /** What was measured, in words and numbers. */
  readonly measured: readonly string[]
  /** How the promise was broken; empty when it holds. */
  readonly broken: readonly string[]
}

/** One promise and how it is put to the test. */
export interface Scenario {
  readonly name: string
  /** A true sentence. */
  readonly promise: string
  /**
   * `together`: it strikes a network of its own and waits for seconds, so others can go on meanwhile. `alone`: it
   * strikes what all use, or measures so finely that it needs the machine.
   */
  readonly runs: 'together' | 'alone'
  run(scene: Scene): Promise<Verdict>
}

/** What a scenario finds out on the way, and what it makes of it in the end. */
export class Findings {
  readonly #measured: string[] = []
  readonly #broken: string[] = []

  get verdict(): Verdict {
    return { measured: this.#measured, broken: this.#broken }
  }

  note(line: string): void {
    this.#measured.push(line)
  }

  expect(isTrue: boolean, otherwise: string): void {
    if (!isTrue) this.#broken.push(otherwise)
  }

  /**
   * Of what was measured, the p99 must not exceed the bound; with fewer than a hundred values that is the largest.
   * What this process stood still meanwhile is told and does not count.
   */
  within(what: string, values: readonly (Timing | number)[], boundMs: number): void {
    const timings = values.map(value => (typeof value === 'number' ? { ms: value, stalledMs: 0 } : value))
    const stalledMs = Math.max(0, ...timings.map(timing => timing.stalledMs))
    const standstill = stalledMs < WORTH_TELLING_MS ? '' : `, this process stood still ${inMs(stalledMs)}`
    this.note(`${what}: ${told(figuresOf(timings.map(({ ms }) => ms)))} (bound ${boundMs} ms${standstill})`)
    const { n, p99 } = figuresOf(timings.map(timing => timing.ms - timing.stalledMs))
    this.expect(n > 0, `${what}: nothing was measured`)
    this.expect(!(p99 > boundMs), `${what}: p99 ${inMs(p99)}, more than ${boundMs} ms`)
  }
}

/** A client on a network of its own. */
export interface Guest extends AsyncDisposable {
  readonly etcd: Etcd
  readonly network: Network
  /** The proxy that carries what it says. It may be connected through another that was slower to begin with. */
  used(): TcpProxy
}

export async function guest(cluster: FaultyCluster): Promise<Guest> {
  const network = await cluster.network()
  const etcd = await connect(network.endpoints)
  etcd.on('warning', () => {})
  return {
    etcd,
    network,
    used: () => network.proxies.reduce((a, b) => (b.forwarded('up') > a.forwarded('up') ? b : a)),
    async [Symbol.asyncDispose]() {
      await network.heal()
      await etcd.close().catch(() => {})
      await network[Symbol.asyncDispose]()
    },
  }
}

/** So many guests at once, each treated by itself. */
export async function withGuests<Result>(
  cluster: FaultyCluster,
  count: number,
  treat: (guest: Guest, index: number) => Promise<Result>,
): Promise<Result[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      await using one = await guest(cluster)
      return await treat(one, index)
    }),
  )
}
