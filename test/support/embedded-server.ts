import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { HostOptions, MemberFault } from './embedded-process.ts'
import { type EtcdBinary, findEtcd } from './etcd-binaries.ts'
import type { EtcdMember, EtcdServers, StartEtcdOptions } from './etcd-server.ts'
import { run } from './executable.ts'
import { Watchdog } from './watchdog.ts'

const program = fileURLToPath(new URL('embedded-process.js', import.meta.url))
const ETCDCTL_MS = 30_000

/**
 * The embedded etcd, behind the interface the tests know real ones by. All members live in one process, whose
 * keys end with it.
 */
export async function startEmbedded(options: StartEtcdOptions): Promise<EtcdServers> {
  if (options.flags !== undefined) throw new Error('the embedded etcd takes no flags of etcd')
  const watchdog = new Watchdog(await mkdtemp(path.join(tmpdir(), 'quorate-embedded-')))
  const members = options.members ?? 1
  const embedded: HostOptions = {
    members,
    tls: options.tls,
    authTokenTtl: options.authTokenTtlSeconds,
    quotaBytes: options.quotaBackendBytes,
    maxTxnOps: options.maxTxnOps,
  }
  const host = new Host(embedded, watchdog)
  const endpoints = await host.start()
  const servers = new EmbeddedServers(host, endpoints, watchdog, options)
  if (options.auth !== undefined) await servers.enableAuth(options.auth.password)
  return servers
}

/** The process the members live in. */
class Host {
  readonly #options: HostOptions
  readonly #watchdog: Watchdog
  #process: ChildProcess | undefined

  constructor(options: HostOptions, watchdog: Watchdog) {
    this.#options = options
    this.#watchdog = watchdog
  }

  get pid(): number {
    return this.#process?.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null
  }

  async start(port = 0): Promise<readonly string[]> {
    const child = spawn(process.execPath, [program, JSON.stringify({ ...this.#options, port })], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    })
    this.#process = child
    this.#watchdog.guard(child.pid!)
    child.once('exit', () => this.#watchdog.forget(child.pid!))
    const lines = createInterface({ input: child.stdout! })
    const [line] = (await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => [''])])) as [
      string,
    ]
    if (line === '') throw new Error('the embedded etcd ended while starting')
    lines.close()
    child.unref()
    child.channel?.unref()
    return JSON.parse(line) as readonly string[]
  }

  /** Resolves when the member is as it should be. */
  async fault(fault: MemberFault): Promise<void> {
    const done = once(this.#process!, 'message')
    this.#process!.channel?.ref()
    this.#process!.send(fault)
    await done
    this.#process!.channel?.unref()
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#process?.kill(signal)
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return
    const ended = once(this.#process!, 'exit')
    this.#process!.ref()
    this.signal(signal)
    this.signal('SIGCONT')
    await ended
  }
}

class EmbeddedServers implements EtcdServers {
  readonly binary: EtcdBinary = { path: program, version: '3.5 embedded', series: '3.5' }
  readonly endpoints: readonly string[]
  readonly members: readonly [EtcdMember, ...EtcdMember[]]
  readonly #host: Host
  readonly #watchdog: Watchdog
  readonly #options: StartEtcdOptions

  constructor(host: Host, endpoints: readonly string[], watchdog: Watchdog, options: StartEtcdOptions) {
    this.#host = host
    this.endpoints = endpoints.map(endpoint => endpoint.replace('https://', ''))
    this.#watchdog = watchdog
    this.#options = options
    const members = this.endpoints.map((endpoint, index) =>
      endpoints.length === 1 ? memberOf(host, endpoint) : oneOfSeveral(host, endpoint, index),
    )
    this.members = members as [EtcdMember, ...EtcdMember[]]
  }

  get endpoint(): string {
    return this.endpoints[0]!
  }

  async leader(): Promise<EtcdMember> {
    const reports = JSON.parse(await this.etcdctl('endpoint', 'status', '-w', 'json')) as {
      readonly Endpoint: string
      readonly Status: { readonly header: { readonly member_id: number }; readonly leader: number }
    }[]
    const leading = reports.find(({ Status }) => Status.header.member_id === Status.leader)
    return this.members.find(({ endpoint }) => leading?.Endpoint.endsWith(`//${endpoint}`))!
  }

  async etcdctl(...args: string[]): Promise<string> {
    return this.#etcdctl(args, this.#options.auth?.password)
  }

  async enableAuth(password: string): Promise<void> {
    await this.#etcdctl(['user', 'add', `root:${password}`], undefined)
    await this.#etcdctl(['user', 'grant-role', 'root', 'root'], undefined)
    await this.#etcdctl(['auth', 'enable'], undefined)
  }

  async close(): Promise<void> {
    await this.#host.end('SIGKILL')
    await this.#watchdog.finish()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #etcdctl(args: readonly string[], password: string | undefined): Promise<string> {
    // Looked for by those who want it: all else needs nothing installed.
    const { etcdctl } = await findEtcd('3.5')
    if (etcdctl === undefined) throw new Error('no etcdctl: install etcd-client')
    const { tls } = this.#options
    const scheme = tls === undefined ? 'http' : 'https'
    const flags = [`--endpoints=${this.endpoints.map(endpoint => `${scheme}://${endpoint}`).join(',')}`]
    if (tls !== undefined) flags.push('--insecure-skip-tls-verify', `--cert=${tls.cert}`, `--key=${tls.key}`)
    if (password !== undefined) flags.push(`--user=root:${password}`)
    const env = { ...process.env, ETCDCTL_API: '3' }
    return (await run(etcdctl, [...flags, ...args], { env, timeoutMs: ETCDCTL_MS })).stdout
  }
}

/** The only member: what is done to it is done to the process. */
function memberOf(host: Host, endpoint: string): EtcdMember {
  return {
    name: 'embedded-1',
    endpoint,
    get pid() {
      return host.pid
    },
    get isRunning() {
      return host.isRunning
    },
    pause: () => host.signal('SIGSTOP'),
    resume: () => host.signal('SIGCONT'),
    kill: () => host.end('SIGKILL'),
    stop: () => host.end('SIGTERM'),
    restart: async () => {
      await host.end('SIGKILL')
      await host.start(Number(endpoint.slice(endpoint.lastIndexOf(':') + 1)))
    },
    log: async () => '',
  }
}

/** A member that shares the process with others: it is cut off, held or let go by faults. */
function oneOfSeveral(host: Host, endpoint: string, member: number): EtcdMember {
  let up = true
  const end = async () => {
    up = false
    await host.fault({ member, what: 'kill' })
  }
  return {
    name: `embedded-${member + 1}`,
    endpoint,
    get pid() {
      return host.pid
    },
    get isRunning() {
      return up && host.isRunning
    },
    pause: () => host.fault({ member, what: 'pause' }),
    resume: () => host.fault({ member, what: 'resume' }),
    kill: end,
    stop: end,
    restart: async () => {
      up = true
      await host.fault({ member, what: 'restart' })
    },
    log: async () => '',
  }
}
