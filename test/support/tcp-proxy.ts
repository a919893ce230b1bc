/**
 * A loopback TCP proxy that breaks connections in the ways networks do.
 *
 * "Up" is from the client to the target, "down" from the target to the client. Faults that stay (blackhole,
 * stall, delay, refuse, acceptSilently) hold until `heal()`; those that strike once (reset, end) leave new
 * connections alone. What each does to the bytes:
 *
 * - `blackhole`: bytes, and the end of the connection, are swallowed in that direction and never delivered.
 *   New connections are accepted, since a proxy cannot leave a SYN unanswered, and are swallowed likewise.
 *   `heal()` resets every connection something was lost on: a byte stream with a hole in it must not go on.
 *   A connection that was idle all the while lost nothing and goes on.
 * - `stall`: bytes are kept, in order, and delivered by `heal()`. What a partition does that TCP survives.
 * - `delay`: every byte arrives that much later, in order; so does the end.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePorts } from './free-port.ts'

export type Direction = 'up' | 'down'

export interface TcpProxy {
  /** `host:port` to give to a client instead of the target's. */
  readonly endpoint: string
  readonly port: number
  /** Connections from clients that are open now. */
  readonly connections: number
  /** Connections ever accepted. */
  readonly accepted: number
  /** Bytes that went through to the other side. */
  forwarded(direction: Direction): number
  /** Bytes stalled or delayed now. */
  held(direction: Direction): number
  /** Bytes a black hole took. */
  lost(direction: Direction): number
  /**
   * Resolves when the black hole has taken something in that direction that it had not taken before the call.
   * Down, that need not be an answer: HTTP/2 peers also send window updates and ping acknowledgements.
   */
  nextLoss(direction: Direction): Promise<void>
  /** Resolves with the next connection accepted after the call. */
  nextConnection(): Promise<void>
  /** Swallows what is sent. `down` alone loses the answers to requests that arrive. */
  blackhole(direction: Direction | 'both'): void
  /** Keeps what is sent until healed. */
  stall(direction: Direction | 'both'): void
  /** From now on. */
  delay(ms: number): void
  /** Refuses new connections. Open ones are not touched. */
  refuse(): void
  /** New connections are accepted and never spoken to. Open ones are not touched. */
  acceptSilently(): void
  /** RST to both sides of every connection. */
  reset(): void
  /** FIN to both sides of every connection, after what was under way. */
  end(): void
  /** Ends all lasting faults: listens again, delivers what was stalled, resets what has lost bytes. */
  heal(): Promise<void>
  /** Idempotent. Resets what is open. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a proxy to `host:port`. */
export async function startProxy(target: string): Promise<TcpProxy> {
  for (;;) {
    const [port] = await freePorts(1)
    const proxy = new LoopbackProxy(target, port!)
    try {
      await proxy.listen()
      return proxy
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}

type Flow = 'open' | 'lost' | 'stalled'
type Admission = 'forward' | 'silence'

class LoopbackProxy implements TcpProxy {
  readonly port: number
  readonly #target: { readonly host: string; readonly port: number }
  readonly #pairs = new Set<Pair>()
  readonly #traffic: Traffic = { up: new Lane(), down: new Lane(), delayMs: 0 }
  readonly #arrivals = new Set<() => void>()
  #admission: Admission = 'forward'
  #accepted = 0
  #server: Server | undefined
  #closed = false

  constructor(target: string, port: number) {
    const colon = target.lastIndexOf(':')
    this.#target = { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) }
    this.port = port
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`
  }

  get connections(): number {
    return this.#pairs.size
  }

  get accepted(): number {
    return this.#accepted
  }

  forwarded(direction: Direction): number {
    return this.#traffic[direction].forwarded
  }

  held(direction: Direction): number {
    return [...this.#pairs].reduce((sum, pair) => sum + pair.held(direction), 0)
  }

  lost(direction: Direction): number {
    return this.#traffic[direction].lost
  }

  nextLoss(direction: Direction): Promise<void> {
    return new Promise(resolve => this.#traffic[direction].lossWaiters.push(resolve))
  }

  nextConnection(): Promise<void> {
    return new Promise(resolve => this.#arrivals.add(resolve))
  }

  blackhole(direction: Direction | 'both'): void {
    for (const lane of this.#lanes(direction)) lane.flow = 'lost'
  }

  stall(direction: Direction | 'both'): void {
    for (const lane of this.#lanes(direction)) lane.flow = 'stalled'
  }

  delay(ms: number): void {
    this.#traffic.delayMs = ms
  }

  refuse(): void {
    // The listening socket closes within the call; the callback would wait for open connections.
    this.#server?.close()
    this.#server = undefined
  }

  acceptSilently(): void {
    this.#admission = 'silence'
  }

  reset(): void {
    for (const pair of [...this.#pairs]) pair.reset()
  }

  end(): void {
    for (const pair of [...this.#pairs]) pair.end()
  }

  async heal(): Promise<void> {
    this.#admission = 'forward'
    this.#traffic.delayMs = 0
    for (const lane of this.#lanes('both')) lane.flow = 'open'
    for (const pair of [...this.#pairs]) pair.heal()
    if (this.#server === undefined && !this.#closed) await this.listen()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.refuse()
    this.reset()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, client => this.#admit(client))
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, '127.0.0.1', () => {
        server.off('error', reject)
        resolve()
      })
    })
  }

  #admit(client: Socket): void {
    this.#accepted++
    const target = this.#admission === 'forward' ? this.#target : undefined
    const pair = new Pair(client, target, this.#traffic, () => this.#pairs.delete(pair))
    this.#pairs.add(pair)
    const arrivals = [...this.#arrivals]
    this.#arrivals.clear()
    for (const arrived of arrivals) arrived()
  }

  #lanes(direction: Direction | 'both'): Lane[] {
    return direction === 'both' ? [this.#traffic.up, this.#traffic.down] : [this.#traffic[direction]]
  }
}

/** One direction of all connections. */
class Lane {
  flow: Flow = 'open'
  forwarded = 0
  lost = 0
  lossWaiters: (() => void)[] = []

  lose(bytes: number): void {
    this.lost += bytes
    const waiters = this.lossWaiters
    this.lossWaiters = []
    for (const tell of waiters) tell()
  }
}

interface Traffic {
  readonly up: Lane
  readonly down: Lane
  delayMs: number
}

/** What travels: bytes, or the end of the stream. */
type Parcel = Buffer | 'end'

/** A client's connection and ours to the target; the latter is missing when the client is met with silence. */
class Pair {
  readonly #client: Socket
  readonly #target: Socket | undefined
  readonly #ways: readonly Way[]
  readonly #gone: () => void

  constructor(
    client: Socket,
    target: { host: string; port: number } | undefined,
    traffic: Traffic,
    gone: () => void,
  ) {
    this.#client = client
    this.#gone = gone
    if (target === undefined) {
      this.#ways = []
      client.on('data', chunk => traffic.up.lose(chunk.length))
      client.on('error', () => this.reset())
      client.on('close', () => this.reset())
      return
    }
    this.#target = connect({ ...target, allowHalfOpen: true, noDelay: true })
    this.#ways = [
      new Way(client, this.#target, traffic.up, traffic, () => this.reset()),
      new Way(this.#target, client, traffic.down, traffic, () => this.reset()),
    ]
  }

  reset(): void {
    for (const way of this.#ways) way.stop()
    this.#client.resetAndDestroy()
    this.#target?.resetAndDestroy()
    this.#gone()
  }

  end(): void {
    if (this.#target === undefined) this.#client.end()
    for (const way of this.#ways) way.end()
  }

  held(direction: Direction): number {
    return this.#ways[direction === 'up' ? 0 : 1]?.held ?? 0
  }

  heal(): void {
    if (this.#target === undefined || this.#ways.some(way => way.isBroken)) return this.reset()
    for (const way of this.#ways) way.flush()
  }
}

interface Travelling {
  readonly parcel: Parcel
  readonly dueAtMs: number
}

/** One direction of one connection. */
class Way {
  readonly #from: Socket
  readonly #to: Socket
  readonly #lane: Lane
  readonly #traffic: Traffic
  readonly #broken: () => void
  readonly #travelling: Travelling[] = []
  readonly #kept: Parcel[] = []
  #timer: NodeJS.Timeout | undefined
  #hasLost = false
  #diedSilently = false

  constructor(from: Socket, to: Socket, lane: Lane, traffic: Traffic, broken: () => void) {
    this.#from = from
    this.#to = to
    this.#lane = lane
    this.#traffic = traffic
    this.#broken = broken
    from.on('data', chunk => this.#depart(chunk))
    from.on('end', () => this.#depart('end'))
    from.on('error', () => {})
    from.on('close', failed => this.#closed(failed))
    to.on('drain', () => from.resume())
  }

  /** Something is missing from the stream: it must not go on. */
  get isBroken(): boolean {
    return this.#hasLost || this.#diedSilently
  }

  get held(): number {
    const parcels = [...this.#kept, ...this.#travelling.map(travelling => travelling.parcel)]
    return parcels.reduce((sum, parcel) => sum + (parcel === 'end' ? 0 : parcel.length), 0)
  }

  flush(): void {
    for (const parcel of this.#kept.splice(0)) this.#send(parcel)
  }

  end(): void {
    this.#to.end()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #depart(parcel: Parcel): void {
    const { delayMs } = this.#traffic
    if (delayMs === 0 && this.#travelling.length === 0) return this.#arrive(parcel)
    // One timer for the first: nothing overtakes it, also when the delay has become shorter meanwhile.
    this.#travelling.push({ parcel, dueAtMs: performance.now() + delayMs })
    if (this.#travelling.length === 1) this.#awaitFirst()
  }

  #awaitFirst(): void {
    const first = this.#travelling[0]
    if (first === undefined) return
    const arrive = () => {
      this.#travelling.shift()
      this.#arrive(first.parcel)
      this.#awaitFirst()
    }
    this.#timer = setTimeout(arrive, first.dueAtMs - performance.now())
  }

  #arrive(parcel: Parcel): void {
    switch (this.#lane.flow) {
      case 'lost':
        this.#hasLost = true
        return this.#lane.lose(parcel === 'end' ? 0 : parcel.length)
      case 'stalled':
        this.#kept.push(parcel)
        return
      case 'open':
        return this.#send(parcel)
    }
  }

  #send(parcel: Parcel): void {
    if (parcel === 'end') {
      this.#to.end()
      return
    }
    this.#lane.forwarded += parcel.length
    if (!this.#to.write(parcel)) this.#from.pause()
  }

  #closed(failed: boolean): void {
    // The other side closes by itself once the end that is on its way has reached it.
    if (!failed && !this.#to.destroyed) return
    if (failed && this.#lane.flow !== 'open') {
      this.#diedSilently = true
      return
    }
    this.#broken()
  }
}
