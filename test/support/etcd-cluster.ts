/** Three real members, and everything that can be done to them while others rely on them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Etcd } from '../../src/index.ts'
import { allSeries, type Series } from './etcd-binaries.ts'
import { type EtcdMember, type EtcdServers, startEtcd } from './etcd-server.ts'
import { PeerProxy } from './peer-proxy.ts'
import { startProxy, type TcpProxy } from './tcp-proxy.ts'

export interface FaultyClusterOptions {
  readonly series: Series
  readonly quotaBackendBytes?: number
  /** Proxies between the members too, for `isolate`. */
  readonly peers?: boolean
}

/** One way to all members: a proxy in front of each, shared by whoever is given these endpoints. */
export interface Network extends AsyncDisposable {
  readonly proxies: readonly [TcpProxy, TcpProxy, TcpProxy]
  readonly endpoints: readonly string[]
  heal(): Promise<void>
}

type MemberCondition = 'running' | 'paused' | 'dead'

export interface FaultyMember {
  readonly name: string
  readonly id: bigint
  /** Past every proxy. */
  readonly endpoint: string
  readonly condition: MemberCondition
}

const PATIENCE_MS = 30_000
const ASK_MS = 500
const ASK_EVERY_MS = 25
const ASK_PLAINLY_MS = 3000
/** Killed all at once, members of a busy machine take long to be a cluster again. */
const RESTART_PATIENCE_MS = 120_000

export class FaultyCluster implements AsyncDisposable {
  readonly #servers: EtcdServers
  readonly #members: readonly Member[]
  readonly #control: Etcd
  readonly #networks = new Set<Network>()
  readonly #cutOff = new Set<bigint>()
  readonly #peers: PeerProxy[] = []

  private constructor(servers: EtcdServers, members: readonly Member[], control: Etcd) {
    this.#servers = servers
    this.#members = members
    this.#control = control
  }

  static async start(options: FaultyClusterOptions): Promise<FaultyCluster> {
    const { series, quotaBackendBytes, peers = false } = options
    if (!allSeries.includes(series)) throw new RangeError(`no such series: ${series}`)
    const servers = await startEtcd({
      series,
      members: 3,
      ...(quotaBackendBytes !== undefined && { quotaBackendBytes }),
    })
    let control: Etcd | undefined
    try {
      control = await connect(servers.endpoints)
      const members: Member[] = []
      for (const server of servers.members) {
        const { memberId } = await control.maintenance.status(server.endpoint)
        members.push(new Member(server, memberId))
      }
      const cluster = new FaultyCluster(servers, members, control)
      if (peers) await cluster.#interpose()
      return cluster
    } catch (error) {
      await control?.close()
      await servers.close()
      throw error
    }
  }

  get members(): readonly FaultyMember[] {
    return this.#members
  }

  get version(): string {
    return this.#servers.binary.version
  }

  /** Past every proxy. */
  get endpoints(): readonly string[] {
    return this.#servers.endpoints
  }

  /** A client of its own on the members themselves: what is seen through it suffers no fault of a network. */
  get control(): Etcd {
    return this.#control
  }

  async network(): Promise<Network> {
    const [one, two, three] = this.endpoints as [string, string, string]
    const proxies = await Promise.all([startProxy(one), startProxy(two), startProxy(three)])
    const network: Network = {
      proxies,
      endpoints: proxies.map(proxy => proxy.endpoint),
      heal: async () => void (await Promise.all(proxies.map(proxy => proxy.heal()))),
      [Symbol.asyncDispose]: async () => {
        this.#networks.delete(network)
        await Promise.all(proxies.map(proxy => proxy.close()))
      },
    }
    this.#networks.add(network)
    return network
  }

  /** The member the majority follows, asked of all that can answer until one is known. */
  async leader(): Promise<FaultyMember> {
    const giveUpAtMs = performance.now() + PATIENCE_MS
    while (performance.now() < giveUpAtMs) {
      const answers = await Promise.all(
        this.#members
          .filter(member => member.condition === 'running')
          .map(member =>
            this.#control.maintenance.status(member.endpoint, { timeoutMs: ASK_MS }).catch(() => undefined),
          ),
      )
      const [newest] = answers
        .filter(answer => answer !== undefined && answer.leader !== 0n)
        .toSorted((a, b) => Number(b!.raftTerm - a!.raftTerm))
      const found = this.#members.find(member => member.id === newest?.leader)
      if (found?.condition === 'running') return found
      await sleep(20)
    }
    throw new Error(`no leader after ${PATIENCE_MS} ms`)
  }

  /**
   * When the first and the last of the members that run now took a write, asked again and again over plain HTTP:
   * what the cluster itself is able to do, whatever a client makes of it.
   */
  async writable(): Promise<{ readonly firstAtMs: number; readonly allAtMs: number }> {
    const running = this.#members.filter(({ condition }) => condition === 'running')
    const tookAtMs = await Promise.all(running.map(member => sayingYes(member, 'put')))
    return { firstAtMs: Math.min(...tookAtMs), allAtMs: Math.max(...tookAtMs) }
  }

  async kill(member: FaultyMember): Promise<void> {
    const own = this.#own(member)
    own.condition = 'dead'
    await own.server.kill()
  }

  /** SIGSTOP. */
  async pause(member: FaultyMember): Promise<void> {
    const own = this.#own(member)
    own.condition = 'paused'
    await own.server.pause()
  }

  async resume(member: FaultyMember): Promise<void> {
    const own = this.#own(member)
    if (own.condition !== 'paused') return
    await own.server.resume()
    own.condition = 'running'
  }

  /** Starts dead members with their old data. Resolves when each answers. */
  async restart(...members: readonly FaultyMember[]): Promise<void> {
    const dead = members.map(member => this.#own(member)).filter(own => own.condition === 'dead')
    await Promise.all(
      dead.map(async own => {
        await own.server.restart({ until: 'started' })
        await sayingYes(own, 'range')
        own.condition = 'running'
      }),
    )
  }

  /** Hands leadership to the next member; resolves with the one that leads then. */
  async moveLeader(): Promise<FaultyMember> {
    const leader = await this.leader()
    const others = this.#members.filter(member => member !== leader && member.condition === 'running')
    const target = others[0]
    if (target === undefined) throw new Error('nobody is left to lead')
    await this.#control.maintenance.moveLeader(target.id, { timeoutMs: 5000 })
    return target
  }

  /** Cuts the member off from the others, both ways. Clients still reach it. Needs `peers`. */
  isolate(member: FaultyMember): void {
    if (this.#peers.length === 0) throw new Error('the cluster was started without `peers`')
    this.#cutOff.add(member.id)
    for (const proxy of this.#peers) proxy.apply()
  }

  reunite(): void {
    this.#cutOff.clear()
    for (const proxy of this.#peers) proxy.apply()
  }

  /** Undoes all that was done, and resolves when every member answers reads that need the majority. */
  async mend(): Promise<void> {
    this.reunite()
    for (const network of this.#networks) await network.heal()
    for (const member of this.#members) await this.resume(member)
    await this.restart(...this.#members)
    await Promise.all(this.#members.map(member => answers(member.endpoint)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#networks].map(network => network[Symbol.asyncDispose]()))
    await this.#control.close().catch(() => {})
    for (const proxy of this.#peers) proxy.close()
    await this.#servers.close()
  }

  /** Members learn each other's addresses from the cluster itself, so they can be changed while it runs. */
  async #interpose(): Promise<void> {
    for (const { id, peerUrls } of await this.#control.cluster.members()) {
      const proxy = await PeerProxy.start(id, peerUrls[0]!, this.#cutOff)
      this.#peers.push(proxy)
      await this.#control.cluster.updateMember(id, [proxy.url])
    }
    // Connections made before go on past the proxies until they break.
    for (const member of this.#members) {
      await this.kill(member)
      await this.restart(member)
    }
  }

  #own(member: FaultyMember): Member {
    const own = this.#members.find(candidate => candidate === member)
    if (own === undefined) throw new Error(`${member.name} is not of this cluster`)
    return own
  }
}

class Member implements FaultyMember {
  readonly id: bigint
  readonly server: EtcdMember
  condition: MemberCondition = 'running'

  constructor(server: EtcdMember, id: bigint) {
    this.server = server
    this.id = id
  }

  get name(): string {
    return this.server.name
  }

  get endpoint(): string {
    return this.server.endpoint
  }
}

/**
 * When that member did such a thing, asked again and again over plain HTTP, through its JSON gateway: either needs
 * the majority.
 */
async function sayingYes({ name, server }: Member, what: 'put' | 'range'): Promise<number> {
  const over = new AbortController()
  const { signal } = over
  const giveUpAtMs = performance.now() + RESTART_PATIENCE_MS
  let saidAtMs: number | undefined
  while (saidAtMs === undefined) {
    if (!server.isRunning) throw new Error(`${name} ended\n${await server.log()}`)
    if (performance.now() > giveUpAtMs) {
      over.abort()
      throw new Error(`${name} did no ${what} within ${RESTART_PATIENCE_MS} ms\n${await server.log()}`)
    }
    // Nobody waits for one that hangs: the next may come to a leader.
    void askPlainly(server.endpoint, what, signal).then(isDone => {
      if (!isDone || saidAtMs !== undefined) return
      saidAtMs = performance.now()
      over.abort()
    })
    await sleep(ASK_EVERY_MS, undefined, { signal }).catch(() => {})
  }
  return saidAtMs
}

async function askPlainly(endpoint: string, what: 'put' | 'range', signal: AbortSignal): Promise<boolean> {
  const key = Buffer.from('/plainly').toString('base64')
  try {
    const answer = await fetch(`http://${endpoint}/v3/kv/${what}`, {
      method: 'POST',
      body: JSON.stringify(what === 'put' ? { key, value: key } : { key }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_PLAINLY_MS)]),
    })
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    return false
  }
}

async function answers(endpoint: string): Promise<void> {
  const giveUpAtMs = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      await using etcd = await connect(endpoint, { connectTimeoutMs: 2000 })
      await etcd.get('/', { timeoutMs: 2000 })
      return
    } catch (error) {
      if (performance.now() > giveUpAtMs) throw error
      await sleep(50)
    }
  }
}
