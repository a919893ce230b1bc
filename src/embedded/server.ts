import { nodeRuntime } from '../support/node-runtime.ts'
import type { Transport } from '../support/transport.ts'
import { assemble } from './assembly.ts'
import { FaultRules } from './fault-rules.ts'
import { EmbeddedFaults, type Faults } from './faults.ts'
import { Front } from './front.ts'
import { GrpcFront, type GrpcFrontOptions } from './grpc-server.ts'
import { type CheckedOptions, checkEmbedded, type EmbeddedOptions } from './options.ts'
import { directTransport } from './transport.ts'

/** An etcd in this process. */
export interface EmbeddedEtcd {
  /** One for each member, as `connect` takes them: `host:port`, or `https://host:port` where TLS is served. */
  readonly endpoints: readonly string[]
  /** Reaches these endpoints without a socket. */
  readonly transport: Transport
  /** Makes go wrong what goes wrong in production, when a test says so. */
  readonly faults: Faults
  /** Ends every call and connection, and forgets all keys. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts an etcd v3 server in this process, with its keys in memory: for trying things out, for tests, and
 * for simulation. Not for production, where the engine is an etcd cluster. Rejects when an option is wrong,
 * or the port is taken.
 */
export async function startEtcd(options: EmbeddedOptions = {}): Promise<EmbeddedEtcd> {
  const checked = checkEmbedded(options)
  const server = new EmbeddedServer(checked)
  try {
    await server.listen(checked)
  } catch (error) {
    await server.close()
    throw error
  }
  return server
}

class EmbeddedServer implements EmbeddedEtcd {
  readonly transport: Transport
  readonly faults: Faults
  readonly #fronts: readonly Front[]
  readonly #sockets: GrpcFront[] = []
  readonly #assembly: ReturnType<typeof assemble>
  /** Host and port of each member. */
  readonly #addresses: string[] = []
  readonly #scheme: 'http' | 'https'
  #closing: Promise<void> | undefined

  constructor({ runtime = nodeRuntime(), settings, leaderNoticeMs, tls, ...rest }: CheckedOptions) {
    this.#scheme = tls === undefined ? 'http' : 'https'
    this.#assembly = assemble(runtime, settings, rest)
    const { core, routes } = this.#assembly
    const rules = new FaultRules()
    this.#fronts = core.members.list.map(
      (member, index) => new Front(member, index, { runtime, settings, routes, rules, leaderNoticeMs }),
    )
    this.transport = directTransport(runtime, address => this.#fronts[this.#addresses.indexOf(address)])
    this.faults = new EmbeddedFaults({ core, fronts: this.#fronts, rules, paths: [...routes.keys()] })
  }

  get endpoints(): readonly string[] {
    const isPlain = this.#scheme === 'http'
    return this.#addresses.map(address => (isPlain ? address : `https://${address}`))
  }

  async listen({ host, port, tls }: CheckedOptions): Promise<void> {
    const routes = [...this.#assembly.routes.values()]
    for (const front of this.#fronts) {
      const address =
        port === false ? `${front.member.name}:2379` : await this.#bind(front, { host, port, tls, routes })
      this.#addresses.push(address)
      front.member.clientUrls = [`${this.#scheme}://${address}`]
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #bind(front: Front, options: GrpcFrontOptions): Promise<string> {
    try {
      const socket = await GrpcFront.listen(front, options)
      this.#sockets.push(socket)
      return socket.address
    } catch (cause) {
      throw new Error(`startEtcd: cannot listen on ${options.host}:${options.port}: ${reasonOf(cause)}`, {
        cause,
      })
    }
  }

  async #close(): Promise<void> {
    const { lessor } = this.#assembly.core
    lessor.close()
    for (const front of this.#fronts) {
      front.close()
      front.member.close()
    }
    await Promise.all(this.#sockets.map(socket => socket.close()))
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return 'the port is in use'
  if (code === 'EACCES') return 'this user may not listen there'
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return 'this machine has no such address'
  return error instanceof Error ? error.message : String(error)
}
