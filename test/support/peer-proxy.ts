/**
 * Stands in front of the peer port of one etcd member and knows who speaks: members name themselves in the head
 * of their first request (`X-Server-From`, etcd's rafthttp). So a member can be cut off from the others in both
 * directions, as by a partition, while clients still reach it.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePorts } from './free-port.ts'
import { breakOff } from './tcp-proxy.ts'

export class PeerProxy {
  readonly url: string
  readonly #own: bigint
  readonly #port: number
  readonly #target: URL
  readonly #cutOff: ReadonlySet<bigint>
  readonly #pairs = new Set<PeerPair>()
  readonly #server: Server

  private constructor(own: bigint, port: number, target: string, cutOff: ReadonlySet<bigint>) {
    this.url = `http://127.0.0.1:${port}`
    this.#own = own
    this.#port = port
    this.#target = new URL(target)
    this.#cutOff = cutOff
    this.#server = createServer(from => this.#admit(from))
  }

  /** `cutOff`: the ids of the members nobody reaches and that reach nobody. Call `apply` after changing it. */
  static async start(own: bigint, target: string, cutOff: ReadonlySet<bigint>): Promise<PeerProxy> {
    for (;;) {
      const [port] = await freePorts(1)
      const proxy = new PeerProxy(own, port!, target, cutOff)
      try {
        await proxy.#listen()
        return proxy
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      }
    }
  }

  /** Stalls what is cut off now, and resets what was and is no longer: its peers dial again. */
  apply(): void {
    for (const pair of [...this.#pairs]) pair.apply()
  }

  close(): void {
    this.#server.close()
    for (const pair of [...this.#pairs]) pair.reset()
  }

  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#port, '127.0.0.1', resolve)
    })
  }

  #admit(from: Socket): void {
    const isCutOff = (speaker: bigint | undefined) =>
      this.#cutOff.has(this.#own) || (speaker !== undefined && this.#cutOff.has(speaker))
    const to = connect(Number(this.#target.port), this.#target.hostname)
    const pair = new PeerPair(from, to, isCutOff, () => this.#pairs.delete(pair))
    this.#pairs.add(pair)
  }
}

class PeerPair {
  readonly #from: Socket
  readonly #to: Socket
  readonly #isCutOff: (speaker: bigint | undefined) => boolean
  readonly #gone: () => void
  #speaker: bigint | undefined
  #isStalled = false

  constructor(
    from: Socket,
    to: Socket,
    isCutOff: (speaker: bigint | undefined) => boolean,
    gone: () => void,
  ) {
    this.#from = from
    this.#to = to
    this.#isCutOff = isCutOff
    this.#gone = gone
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      one.on('data', chunk => this.#pass(one, other, chunk))
      one.on('end', () => other.end())
      one.on('error', () => this.reset())
      one.on('close', () => this.reset())
      other.on('drain', () => {
        if (!this.#isStalled) one.resume()
      })
    }
  }

  apply(): void {
    if (this.#isCutOff(this.#speaker)) this.#stall()
    else if (this.#isStalled) this.reset()
  }

  reset(): void {
    breakOff(this.#from)
    breakOff(this.#to)
    this.#gone()
  }

  #pass(one: Socket, other: Socket, chunk: Buffer): void {
    if (one === this.#from && this.#speaker === undefined) {
      const id = /x-server-from: *([0-9a-f]+)/i.exec(chunk.toString('latin1'))?.[1]
      if (id !== undefined) this.#speaker = BigInt(`0x${id}`)
    }
    // The chunk is lost, and the connection does not outlive the partition.
    if (this.#isStalled || this.#isCutOff(this.#speaker)) return this.#stall()
    if (!other.write(chunk)) one.pause()
  }

  #stall(): void {
    this.#isStalled = true
    this.#from.pause()
    this.#to.pause()
  }
}
