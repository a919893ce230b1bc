/**
 * A loopback TCP proxy that breaks connections in the ways networks do.
 *
 * "Up" is from the client to the target, "down" from the target to the client. Faults that stay (blackhole,
 * stall, delay, slice, refuse, acceptSilently, loseReplies) hold until `heal()`; those that strike once (reset, end) leave new
 * connections alone. What each does to the bytes:
 *
 * - `blackhole`: bytes, and the end of the connection, are swallowed in that direction and never delivered.
 *   New connections are accepted, since a proxy cannot leave a SYN unanswered, and are swallowed likewise.
 *   `heal()` resets every connection something was lost on: a byte stream with a hole in it must not go on.
 *   A connection that was idle all the while lost nothing and goes on.
 * - `stall`: bytes are kept, in order, and delivered by `heal()`. What a partition does that TCP survives.
 * - `delay`: every byte arrives that much later, in order; so does the end.
 * - `slice`: what is sent arrives in pieces of that many bytes, one in each turn of the event loop.
 * - `loseReplies`: an HTTP/2 connection is opened and requests arrive; the first header or data frame that comes
 *   down resets the connection instead. Whatever was asked was done, and nobody who asked is told.
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
  /** From now on. */
  slice(bytes: number): void
  /** Resets each connection accepted from now on when its first answer comes. Open ones are not touched. */
  loseReplies(): void
  /** Replies that were lost that way. */
  readonly repliesLost: number
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
type Admission = 'forward' | 'silence' | 'no-replies'

class LoopbackProxy implements TcpProxy {
  readonly port: number
  readonly #target: { readonly host: string; readonly port: number }
  readonly #pairs = new Set<Pair>()
  readonly #traffic: Traffic = { up: new Lane(), down: new Lane(), delayMs: 0, sliceBytes: 0, repliesLost: 0 }
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

  get repliesLost(): number {
    return this.#traffic.repliesLost
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

  slice(bytes: number): void {
    this.#traffic.sliceBytes = bytes
  }

  loseReplies(): void {
    this.#admission = 'no-replies'
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
    this.#traffic.sliceBytes = 0
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
    const pair = new Pair(client, this.#target, this.#admission, this.#traffic, () =>
      this.#pairs.delete(pair),
    )
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
  /** 0: whole. */
  sliceBytes: number
  repliesLost: number
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
    target: { host: string; port: number },
    admission: Admission,
    traffic: Traffic,
    gone: () => void,
  ) {
    this.#client = client
    this.#gone = gone
    if (admission === 'silence') {
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
    if (admission === 'no-replies') this.#ways[1]?.breakAt(new ReplyDetector(), () => traffic.repliesLost++)
  }

  reset(): void {
    for (const way of this.#ways) way.stop()
    breakOff(this.#client)
    if (this.#target !== undefined) breakOff(this.#target)
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
  #turn: NodeJS.Immediate | undefined
  #breaking: { readonly at: ReplyDetector; readonly count: () => void } | undefined
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
    clearImmediate(this.#turn)
  }

  /** Instead of the first chunk with an answer in it, the connection breaks. */
  breakAt(at: ReplyDetector, count: () => void): void {
    this.#breaking = { at, count }
  }

  #depart(parcel: Parcel): void {
    if (this.#breaking !== undefined && parcel !== 'end' && this.#breaking.at.hasReply(parcel)) {
      this.#breaking.count()
      return this.#broken()
    }
    const { delayMs, sliceBytes } = this.#traffic
    if (delayMs === 0 && sliceBytes === 0 && this.#travelling.length === 0) return this.#arrive(parcel)
    // One timer for the first: nothing overtakes it, also when the delay has become shorter meanwhile.
    const isFirst = this.#travelling.length === 0
    const dueAtMs = performance.now() + delayMs
    for (const piece of pieces(parcel, sliceBytes)) this.#travelling.push({ parcel: piece, dueAtMs })
    if (isFirst) this.#awaitFirst()
  }

  #awaitFirst(): void {
    const first = this.#travelling[0]
    if (first === undefined) return
    const arrive = () => {
      this.#travelling.shift()
      this.#arrive(first.parcel)
      this.#awaitFirst()
    }
    const waitMs = first.dueAtMs - performance.now()
    if (waitMs > 0) this.#timer = setTimeout(arrive, waitMs)
    else this.#turn = setImmediate(arrive)
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

/**
 * RST where that can be had. libuv refuses to reset a socket whose own end is still on its way (`EINVAL` from
 * `uv_tcp_close_reset`), Node takes it for closed all the same, and waits for it for ever when the process ends.
 */
export function breakOff(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}

function pieces(parcel: Parcel, sliceBytes: number): readonly Parcel[] {
  if (parcel === 'end' || sliceBytes === 0) return [parcel]
  const count = Math.ceil(parcel.length / sliceBytes)
  return Array.from({ length: count }, (_, index) =>
    parcel.subarray(index * sliceBytes, (index + 1) * sliceBytes),
  )
}

const FRAME_HEADER_BYTES = 9
const DATA_FRAME = 0
const HEADERS_FRAME = 1

/** Finds the frames in what an HTTP/2 server sends (RFC 9113, 4.1), and among them the first that answers a request. */
class ReplyDetector {
  #header = Buffer.alloc(0)
  #payloadLeft = 0

  hasReply(chunk: Buffer): boolean {
    let rest = chunk
    while (rest.length > 0) {
      const skipped = Math.min(this.#payloadLeft, rest.length)
      this.#payloadLeft -= skipped
      rest = rest.subarray(skipped)
      if (rest.length === 0) break
      const missing = FRAME_HEADER_BYTES - this.#header.length
      this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)])
      rest = rest.subarray(missing)
      if (this.#header.length < FRAME_HEADER_BYTES) break
      const type = this.#header[3]
      if (type === DATA_FRAME || type === HEADERS_FRAME) return true
      this.#payloadLeft = this.#header.readUIntBE(0, 3)
      this.#header = Buffer.alloc(0)
    }
    return false
  }
}
