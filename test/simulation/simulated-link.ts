import type {
  ByteStream,
  CallMetadata,
  Cancellable,
  Endpoint,
  Link,
  LinkOptions,
  LinkState,
  StreamEvents,
  TransportFailure,
  UnaryOutcome,
} from '../../src/support/transport.ts'
import { Lane } from './lane.ts'
import type { Path } from './network.ts'
import type { Scheduled } from './world.ts'

/** How often a cancelled call is carried out all the same: the server had begun, or does not care. */
const ZOMBIE_CHANCE = 0.5

/**
 * A connection over simulated roads. Its other end is a link to the embedded server, which knows nothing of
 * delays and holes; what is between the two ends may be lost with the connection, and then neither end knows
 * how much of it arrived.
 */
export class SimulatedLink implements Link {
  readonly #path: Path
  readonly #options: LinkOptions
  readonly #changed: (state: LinkState) => void
  readonly #up: Lane
  readonly #down: Lane
  readonly #calls = new Set<OpenCall>()
  #state: LinkState = { kind: 'connecting' }
  #far: Link | undefined
  #isCut = false
  #signOfLife: Scheduled | undefined

  constructor(path: Path, endpoint: Endpoint, options: LinkOptions, changed: (state: LinkState) => void) {
    const { world, process } = path
    this.#path = path
    this.#options = options
    this.#changed = changed
    const road = (direction: 'up' | 'down') => ({
      get isHoled() {
        return path.isHoled(direction)
      },
      get inBatches() {
        return path.inBatches
      },
      delayMs: () => path.delayMs(),
    })
    this.#up = new Lane(world, road('up'), (_, action) => action())
    // What has come by one connection while its reader stood still is read at once.
    const source = path.inBatches ? this : undefined
    this.#down = new Lane(world, road('down'), (what, action) => process.receive(what, action, source))
    path.links.add(this)
    process.onCrash(() => this.#leave())
    if (process.sends()) this.#send('connect', () => this.#arrive(endpoint))
    this.watchRoad()
  }

  get state(): LinkState {
    return this.#state
  }

  unary(
    path: string,
    request: Uint8Array,
    metadata: CallMetadata,
    settled: (outcome: UnaryOutcome) => void,
  ): Cancellable {
    const call = this.#open(failure => settled({ kind: 'failure', failure }))
    const { tampering } = this.#path
    const sent = tampering === undefined ? request : tampering.request(path, request)
    this.#transmit(`ask ${nameOf(path)}`, () => {
      call.far = this.#far?.unary(path, sent, metadata, outcome =>
        this.#reply(`answer ${nameOf(path)}`, () => {
          if (call.end()) settled(this.#arriving(path, outcome))
        }),
      )
    })
    return { cancel: () => this.#cancel(call) }
  }

  stream(path: string, metadata: CallMetadata, events: StreamEvents): ByteStream {
    const call = this.#open(failure => events.onEnd(failure))
    const tampering = this.#path.tampering?.stream(path)
    let far: ByteStream | undefined
    const name = nameOf(path)
    this.#transmit(`open ${name}`, () => {
      far = this.#far?.stream(path, metadata, {
        onMessage: message => {
          for (const one of tampering?.message(message) ?? [message])
            this.#reply(`tell ${name}`, () => {
              if (!call.isOver) void events.onMessage(one)
            })
        },
        onEnd: failure =>
          this.#reply(`end ${name}`, () => {
            if (call.end()) events.onEnd({ ...failure, sent: true })
          }),
      })
      call.far = far
    })
    return {
      send: message => {
        if (!call.isOver) this.#transmit(`send ${name}`, () => far?.send(message))
      },
      halfClose: () => {
        if (!call.isOver) this.#transmit(`close ${name}`, () => far?.halfClose())
      },
      cancel: () => this.#cancel(call),
    }
  }

  close(): void {
    if (this.#isCut) return
    this.#hangUp()
    this.#failed({ status: 1, message: 'closed by the client', sent: false })
    for (const call of [...this.#calls])
      this.#fail(call, unavailable('the connection was closed by the client'))
  }

  /** Breaks, and what is on its way is lost from some message on, in each direction. */
  cut(): void {
    if (this.#isCut) return
    const { random, process } = this.#path
    const kept = this.#path.isHoled('down') ? 0 : random.integer(0, this.#down.length)
    this.#hangUp()
    this.#down.cut(kept)
    process.world.after(this.#path.delayMs(), 'break', () =>
      process.receive('break', () => this.#broke('Connection dropped')),
    )
  }

  roadChanged(): void {
    this.#up.roadChanged()
    this.#down.roadChanged()
    this.watchRoad()
  }

  #arrive(endpoint: Endpoint): void {
    switch (this.#path.door) {
      case 'refuses':
        return this.#reply('refuse', () => this.#broke(`connect ECONNREFUSED ${endpoint.address}`, false))
      case 'never speaks':
        return
      case 'open':
        this.#far = this.#path.server.connect(
          endpoint,
          { pingIntervalMs: 1e9, pingTimeoutMs: 1e9 },
          state => {
            if (state.kind === 'ready') this.#reply('ready', () => this.#ready())
            if (state.kind === 'closed') this.#reply('bye', () => this.#saidBye(state.failure))
          },
        )
    }
  }

  #ready(): void {
    if (this.#state.kind !== 'connecting') return
    this.#state = { kind: 'ready' }
    this.#changed(this.#state)
  }

  /** The server wants no more calls, or has ended those there were itself: what it still says of them is heard. */
  #saidBye(failure: TransportFailure): void {
    if (this.#state.kind === 'closed') return
    this.#state = { kind: 'closed', failure }
    if (this.#calls.size === 0) this.#hangUp()
    this.#changed(this.#state)
  }

  #open(failed: (failure: TransportFailure) => void): OpenCall {
    const call = new OpenCall(failed, () => {
      this.#calls.delete(call)
      if (this.#state.kind === 'closed' && this.#calls.size === 0) this.#hangUp()
    })
    this.#calls.add(call)
    this.watchRoad()
    return call
  }

  #cancel(call: OpenCall): void {
    if (call.isOver) return
    this.#fail(call, { status: 1, message: 'cancelled by the client', sent: true })
    if (!this.#path.random.chance(ZOMBIE_CHANCE)) this.#transmit('cancel', () => call.far?.cancel())
  }

  #fail(call: OpenCall, failure: TransportFailure): void {
    if (!call.end()) return
    this.#path.process.defer(() => call.failed(failure))
  }

  #arriving(path: string, outcome: UnaryOutcome): UnaryOutcome {
    // What the far end had not looked at has left the near end all the same.
    if (outcome.kind !== 'answer') return { kind: 'failure', failure: { ...outcome.failure, sent: true } }
    return { kind: 'answer', message: this.#path.arriving(nameOf(path), outcome.message) }
  }

  /** Leaves the near end, unless the process is gone. */
  #transmit(what: string, action: () => void): void {
    if (!this.#path.process.sends()) return
    const { world, process, address } = this.#path
    world.tell(() => `${process.name} ─▶ ${address}  ${what}`)
    this.#send(what, action)
  }

  #send(what: string, action: () => void): void {
    if (!this.#isCut) this.#up.send(what, action)
  }

  /** Leaves the far end. */
  #reply(what: string, action: () => void): void {
    if (this.#isCut) return
    const { world, process, address } = this.#path
    this.#down.send(what, () => {
      world.tell(() => `${process.name} ◀─ ${address}  ${what}`)
      action()
    })
  }

  /** The far end hears no more than what is still kept of what was sent, and then that the connection is gone. */
  #hangUp(): void {
    if (this.#isCut) return
    this.#isCut = true
    this.#signOfLife?.cancel()
    this.#up.cut(this.#path.random.integer(0, this.#up.length))
    this.#up.send('hang up', () => {
      this.#path.links.delete(this)
      this.#far?.close()
    })
  }

  /** The process is gone: the system hangs up for it, or the whole machine is gone and says nothing for long. */
  #leave(): void {
    if (this.#isCut) return
    if (this.#path.random.chance(0.7)) return this.#hangUp()
    this.#signOfLife?.cancel()
    this.#path.world.after(this.#path.random.between(1000, 20_000), 'vanish', () => this.#hangUp())
  }

  #broke(message: string, sent = true): void {
    this.#hangUp()
    this.#failed({ status: 14, message, sent: false })
    for (const call of [...this.#calls]) if (call.end()) call.failed({ status: 14, message, sent })
  }

  #failed(failure: TransportFailure): void {
    if (this.#state.kind === 'closed') return
    this.#state = { kind: 'closed', failure }
    this.#path.process.defer(() => this.#changed(this.#state))
  }

  /** With a hole in the road, the next ping of a connection in use gets no answer. */
  watchRoad(): void {
    const { isWhole, world, process } = this.#path
    if (this.#isCut || isWhole || this.#calls.size === 0) {
      this.#signOfLife?.cancel()
      this.#signOfLife = undefined
      return
    }
    if (this.#signOfLife !== undefined) return
    const { pingIntervalMs, pingTimeoutMs } = this.#options
    const inMs = this.#path.random.next() * pingIntervalMs + pingTimeoutMs
    this.#signOfLife = world.after(inMs, 'no sign of life', () =>
      process.receive('no sign of life', () => this.#broke('no sign of life from the peer')),
    )
  }
}

class OpenCall {
  readonly failed: (failure: TransportFailure) => void
  readonly #ended: () => void
  far: Cancellable | undefined
  #isOver = false

  constructor(failed: (failure: TransportFailure) => void, ended: () => void) {
    this.failed = failed
    this.#ended = ended
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Was it still open? */
  end(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#ended()
    return true
  }
}

function unavailable(message: string): TransportFailure {
  return { status: 14, message, sent: true }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
