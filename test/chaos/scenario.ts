import type { Etcd } from '../../src/index.ts'
import { connect } from '../../src/index.ts'
import type { Series } from '../support/etcd-binaries.ts'
import type { FaultyCluster, Network } from '../support/etcd-cluster.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import { type Figures, figuresOf, inMs } from './figures.ts'

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

  /** Of what was measured, the p99 must not exceed the bound; with fewer than a hundred values that is the largest. */
  within(what: string, values: readonly number[], boundMs: number): Figures {
    const figures = figuresOf(values)
    this.note(`${what}: ${inMs(figures)} (bound ${boundMs} ms)`)
    this.expect(figures.n > 0, `${what}: nothing was measured`)
    this.expect(
      !(figures.p99 > boundMs),
      `${what}: p99 ${Math.round(figures.p99)} ms, more than ${boundMs} ms`,
    )
    return figures
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

/** How long the work takes, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now()
  await work()
  return performance.now() - startedAtMs
}
