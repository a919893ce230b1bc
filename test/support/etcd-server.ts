/**
 * Real etcd processes for tests: on free loopback ports, with data in a folder of their own, in memory where
 * the machine has room for that. They are ready when started, and gone when closed or when this process ends,
 * in whatever way it does.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmbedded } from './embedded-server.ts'
import { type EtcdBinary, findEtcd, type Series } from './etcd-binaries.ts'
import { type Output, run } from './executable.ts'
import { freePorts } from './free-port.ts'
import type { TestServer } from './test-server.ts'
import { Watchdog } from './watchdog.ts'

export interface StartEtcdOptions {
  /** `embedded`: the one of this package, in a process of its own. */
  readonly series: Series | 'embedded'
  /** Instead of the one `findEtcd` finds. */
  readonly binary?: EtcdBinary
  /** Default 1. */
  readonly members?: 1 | 3
  /** Default 100, as etcd has it. */
  readonly heartbeatIntervalMs?: number
  /** Default 1000, as etcd has it. One and a half of it is the shortest ttl a lease can have. */
  readonly electionTimeoutMs?: number
  /** How long a simple token lives. Default 300. */
  readonly authTokenTtlSeconds?: number
  readonly quotaBackendBytes?: number
  readonly maxTxnOps?: number
  /** Files. With `ca` the server demands client certificates signed by it. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string }
  /** Creates this user with the role root, and switches authentication on. */
  readonly auth?: { readonly username: 'root'; readonly password: string }
  /** Further flags, for all members. */
  readonly flags?: readonly string[]
}

export interface EtcdMember {
  readonly name: string
  /** `host:port` for clients. */
  readonly endpoint: string
  /** Of the process running now, or of the last one. */
  readonly pid: number
  readonly isRunning: boolean
  /** SIGSTOP: keeps its connections and answers nothing. */
  pause(): void | Promise<void>
  /** SIGCONT. */
  resume(): void | Promise<void>
  /** SIGKILL. Resolves when the process has ended. */
  kill(): Promise<void>
  /** SIGTERM: hands leadership over first. Resolves when the process has ended. */
  stop(): Promise<void>
  /** Starts an ended member with its old data, or ends and starts a running one. Resolves when it answers; a member without a majority never does. */
  restart(options?: RestartOptions): Promise<void>
  /** The last lines it logged. */
  log(): Promise<string>
}

export interface RestartOptions {
  /** How far to wait. Default `healthy`; `started` is for members that cannot have a majority yet. */
  readonly until?: 'started' | 'healthy'
}

export interface EtcdServers extends TestServer {
  /** Of the first member. */
  readonly endpoint: string
  readonly members: readonly [EtcdMember, ...EtcdMember[]]
  readonly binary: EtcdBinary
  /** The member that leads now. Asks until one does. */
  leader(): Promise<EtcdMember>
  /** Runs etcdctl against all members, as root where authentication is on. Resolves with what it printed. */
  etcdctl(...args: string[]): Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}

const readyPatienceMs = 30_000
const pollMs = 10
const portAttempts = 5

/** Two write-ahead segments of 64 MB for each of three members, with room for two clusters at a time. */
const memoryNeededBytes = 2 * 2 ** 30

export async function startEtcd(options: StartEtcdOptions): Promise<EtcdServers> {
  if (options.series === 'embedded') return startEmbedded(options)
  const binary = options.binary ?? (await findEtcd(options.series))
  for (let attempt = 1; ; attempt++) {
    const cluster = await Cluster.create(binary, options)
    try {
      await cluster.start()
      return cluster
    } catch (error) {
      const portTaken = await cluster.lostPort()
      await cluster.close()
      if (!portTaken || attempt === portAttempts) throw error
    }
  }
}

class Cluster implements EtcdServers {
  readonly binary: EtcdBinary
  readonly members: readonly [Member, ...Member[]]
  readonly #options: StartEtcdOptions
  readonly #watchdog: Watchdog
  #closing: Promise<void> | undefined

  constructor(
    binary: EtcdBinary,
    options: StartEtcdOptions,
    watchdog: Watchdog,
    members: readonly [Member, ...Member[]],
  ) {
    this.binary = binary
    this.members = members
    this.#options = options
    this.#watchdog = watchdog
  }

  static async create(binary: EtcdBinary, options: StartEtcdOptions): Promise<Cluster> {
    const { folder, inMemory } = await dataFolder()
    const watchdog = new Watchdog(folder)
    const ports = await freePorts(3 * (options.members ?? 1))
    const addresses: Addresses[] = []
    for (let first = 0; first < ports.length; first += 3) {
      const [client, peer, metrics] = ports.slice(first, first + 3) as [number, number, number]
      addresses.push({ name: `m${first / 3 + 1}`, client, peer, metrics })
    }
    const shared = [
      ...flagsFor(binary, options, addresses),
      ...(inMemory || binary.series === '3.4' ? [] : ['--unsafe-no-fsync']),
    ]
    const members = addresses.map(
      own => new Member(binary.path, folder, own, shared, options.tls !== undefined, watchdog),
    )
    return new Cluster(binary, options, watchdog, members as [Member, ...Member[]])
  }

  get endpoint(): string {
    return this.members[0].endpoint
  }

  get endpoints(): readonly string[] {
    return this.members.map(member => member.endpoint)
  }

  async start(): Promise<void> {
    for (const member of this.members) member.spawn()
    await Promise.all(this.members.map(member => member.ready()))
    if (this.#options.auth !== undefined) await this.#enableAuth(this.#options.auth.password)
  }

  async lostPort(): Promise<boolean> {
    const logs = await Promise.all(this.members.map(member => member.log()))
    return logs.some(log => log.includes('address already in use'))
  }

  async leader(): Promise<EtcdMember> {
    const giveUpAtMs = Date.now() + readyPatienceMs
    while (Date.now() < giveUpAtMs) {
      for (const member of this.members) if (await member.leads()) return member
      await sleep(pollMs)
    }
    throw new Error(`no leader after ${readyPatienceMs} ms`)
  }

  async etcdctl(...args: string[]): Promise<string> {
    return (await this.#etcdctl(args, this.#options.auth?.password)).stdout
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await Promise.all(this.members.map(member => member.kill()))
    await this.#watchdog.finish()
  }

  #etcdctl(args: readonly string[], password: string | undefined): Promise<Output> {
    if (this.binary.etcdctl === undefined) {
      throw new Error('no etcdctl: install etcd-client and put it on PATH or beside etcd')
    }
    const { tls } = this.#options
    const scheme = tls === undefined ? 'http' : 'https'
    const flags = [`--endpoints=${this.endpoints.map(endpoint => `${scheme}://${endpoint}`).join(',')}`]
    if (tls !== undefined) flags.push('--insecure-skip-tls-verify', `--cert=${tls.cert}`, `--key=${tls.key}`)
    if (password !== undefined) flags.push(`--user=root:${password}`)
    return run(this.binary.etcdctl, [...flags, ...args], {
      env: { ...process.env, ETCDCTL_API: '3' },
      timeoutMs: readyPatienceMs,
    })
  }

  async #enableAuth(password: string): Promise<void> {
    await this.#etcdctl(['user', 'add', `root:${password}`], undefined)
    await this.#etcdctl(['user', 'grant-role', 'root', 'root'], undefined)
    await this.#etcdctl(['auth', 'enable'], undefined)
  }
}

interface Addresses {
  readonly name: string
  readonly client: number
  readonly peer: number
  readonly metrics: number
}

interface Life {
  readonly process: ChildProcess
  readonly pid: number
  readonly ended: Promise<void>
  over: boolean
}

class Member implements EtcdMember {
  readonly name: string
  readonly endpoint: string
  readonly #binary: string
  readonly #flags: readonly string[]
  readonly #metrics: string
  readonly #logFile: string
  readonly #watchdog: Watchdog
  #life: Life | undefined

  constructor(
    binary: string,
    folder: string,
    own: Addresses,
    shared: readonly string[],
    tls: boolean,
    watchdog: Watchdog,
  ) {
    const client = `${tls ? 'https' : 'http'}://127.0.0.1:${own.client}`
    this.name = own.name
    this.endpoint = `127.0.0.1:${own.client}`
    this.#binary = binary
    // Health is asked through the metrics port, which needs neither certificate nor token.
    this.#metrics = `http://127.0.0.1:${own.metrics}`
    this.#logFile = path.join(folder, `${own.name}.log`)
    this.#watchdog = watchdog
    this.#flags = [
      `--name=${own.name}`,
      `--data-dir=${path.join(folder, own.name)}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peerUrl(own)}`,
      `--initial-advertise-peer-urls=${peerUrl(own)}`,
      `--listen-metrics-urls=${this.#metrics}`,
      ...shared,
    ]
  }

  get pid(): number {
    if (this.#life === undefined) throw new Error(`${this.name} was never started`)
    return this.#life.pid
  }

  get isRunning(): boolean {
    return this.#life !== undefined && !this.#life.over
  }

  spawn(): void {
    const log = openSync(this.#logFile, 'a')
    const child = spawn(this.#binary, this.#flags, {
      stdio: ['ignore', log, log],
      env: withoutEtcdSettings(process.env),
    })
    closeSync(log)
    const { pid } = child
    if (pid === undefined) throw new Error(`${this.#binary} cannot be started`)
    child.unref()
    this.#watchdog.guard(pid)
    const ended = new Promise<void>(resolve => {
      child.once('exit', () => {
        life.over = true
        this.#watchdog.forget(pid)
        resolve()
      })
    })
    const life: Life = { process: child, pid, ended, over: false }
    this.#life = life
  }

  /** Resolves when the member answers a linearizable read. */
  async ready(): Promise<void> {
    const giveUpAtMs = Date.now() + readyPatienceMs
    while (this.isRunning && Date.now() < giveUpAtMs) {
      if (await this.#isHealthy()) return
      await sleep(pollMs)
    }
    const why = this.isRunning ? `did not answer within ${readyPatienceMs} ms` : 'ended while starting'
    throw new Error(`${this.name} ${why}\n${await this.log()}`)
  }

  async leads(): Promise<boolean> {
    if (!this.isRunning) return false
    const metrics = await this.#ask('/metrics')
    return metrics !== undefined && /^etcd_server_is_leader 1$/m.test(metrics)
  }

  pause(): void {
    this.#signal('SIGSTOP')
  }

  resume(): void {
    this.#signal('SIGCONT')
  }

  async kill(): Promise<void> {
    this.#signal('SIGKILL')
    await this.#ended()
  }

  async stop(): Promise<void> {
    this.#signal('SIGTERM')
    // A paused process takes the signal only once it runs.
    this.#signal('SIGCONT')
    await this.#ended()
  }

  async restart(options: RestartOptions = {}): Promise<void> {
    await this.kill()
    this.spawn()
    if (options.until !== 'started') await this.ready()
  }

  async log(): Promise<string> {
    const text = await readFile(this.#logFile, 'utf8').catch(() => '')
    return text.trimEnd().split('\n').slice(-30).join('\n')
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#life?.process.kill(signal)
  }

  async #ended(): Promise<void> {
    const life = this.#life
    if (life === undefined || life.over) return
    life.process.ref()
    await life.ended
  }

  async #isHealthy(): Promise<boolean> {
    // An alarm raised earlier is no reason to call a restarted member dead.
    const answer = await this.#ask('/health?exclude=NOSPACE')
    return answer !== undefined && /"health":\s*"?true/.test(answer)
  }

  async #ask(question: string): Promise<string | undefined> {
    try {
      const answer = await fetch(this.#metrics + question, {
        signal: AbortSignal.timeout(1000),
        headers: { connection: 'close' },
      })
      return await answer.text()
    } catch {
      return undefined
    }
  }
}

function flagsFor(binary: EtcdBinary, options: StartEtcdOptions, cluster: readonly Addresses[]): string[] {
  const { tls } = options
  const flags = [
    `--initial-cluster=${cluster.map(member => `${member.name}=${peerUrl(member)}`).join(',')}`,
    `--initial-cluster-token=${cluster.map(member => member.peer).join('-')}`,
    '--logger=zap',
    `--log-level=error`,
    ...(binary.series === '3.4' ? ['--log-outputs=stderr'] : []),
  ]
  if (options.heartbeatIntervalMs !== undefined)
    flags.push(`--heartbeat-interval=${options.heartbeatIntervalMs}`)
  if (options.electionTimeoutMs !== undefined) flags.push(`--election-timeout=${options.electionTimeoutMs}`)
  if (options.authTokenTtlSeconds !== undefined) flags.push(`--auth-token-ttl=${options.authTokenTtlSeconds}`)
  if (options.quotaBackendBytes !== undefined)
    flags.push(`--quota-backend-bytes=${options.quotaBackendBytes}`)
  if (options.maxTxnOps !== undefined) flags.push(`--max-txn-ops=${options.maxTxnOps}`)
  if (tls !== undefined) flags.push(`--cert-file=${tls.cert}`, `--key-file=${tls.key}`)
  if (tls?.ca !== undefined) flags.push(`--trusted-ca-file=${tls.ca}`, '--client-cert-auth')
  return [...flags, ...(options.flags ?? [])]
}

function peerUrl(member: Addresses): string {
  return `http://127.0.0.1:${member.peer}`
}

/** etcd refuses to start when the same setting comes from a flag and from an ETCD_ variable it does not know. */
function withoutEtcdSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('ETCD_')))
}

async function dataFolder(): Promise<{ folder: string; inMemory: boolean }> {
  const memory = '/dev/shm'
  const found = await statfs(memory).catch(() => undefined)
  if (found !== undefined && found.bavail * found.bsize >= memoryNeededBytes) {
    try {
      return { folder: await mkdtemp(path.join(memory, 'quorate-')), inMemory: true }
    } catch {
      // not ours to write to
    }
  }
  return { folder: await mkdtemp(path.join(tmpdir(), 'quorate-')), inMemory: false }
}
