import type { Transport } from '../../src/support/transport.ts'
import { concat } from '../../src/wire/bytes.ts'
import type { Random } from './random.ts'
import { SimulatedLink } from './simulated-link.ts'
import type { SimulatedProcess } from './simulated-process.ts'
import type { Tampering } from './tampering.ts'
import type { World } from './world.ts'

export interface Weather {
  /** Half of the messages are slower than this. */
  readonly latencyMs: number
  /** How often a message takes much longer, and how long it may take then. */
  readonly spikeChance: number
  readonly spikeMs: number
  readonly inBatches: boolean
}

/** What a member does with whoever connects to it. */
export type Door = 'open' | 'refuses' | 'never speaks'

/** The way between one process and one member: its own delays, holes in either direction. */
export class Path {
  readonly process: SimulatedProcess
  readonly address: string
  readonly links: Set<SimulatedLink> = new Set()
  readonly #network: Network
  readonly #random: Random
  #holes: { up: number; down: number } = { up: 0, down: 0 }
  #deaf = 0
  #slowedMs = 0

  constructor(network: Network, process: SimulatedProcess, address: string) {
    this.#network = network
    this.process = process
    this.address = address
    this.#random = network.world.random.fork(`path ${process.name} ${address}`)
  }

  get world(): World {
    return this.#network.world
  }

  get door(): Door {
    return this.#network.doorOf(this.address)
  }

  get server(): Transport {
    return this.#network.server
  }

  get tampering(): Tampering | undefined {
    return this.#network.tampering
  }

  get random(): Random {
    return this.#random
  }

  get inBatches(): boolean {
    return this.#network.weather.inBatches
  }

  /** What arrives of an answer to this method. */
  arriving(method: string, answer: Uint8Array): Uint8Array {
    return this.#network.arriving(method, answer)
  }

  /** Does a sign of life find its way there and back? */
  get isWhole(): boolean {
    return this.#holes.up === 0 && this.#holes.down === 0 && this.#deaf === 0
  }

  isHoled(direction: 'up' | 'down'): boolean {
    return this.#holes[direction] > 0
  }

  delayMs(): number {
    const { latencyMs, spikeChance, spikeMs } = this.#network.weather
    const spike = spikeChance > 0 && this.#random.chance(spikeChance) ? this.#random.next() * spikeMs : 0
    return latencyMs * (0.5 + this.#random.exponential(0.72)) + spike + this.#slowedMs
  }

  /** Nothing gets through that way until what this returns is called. */
  hole(directions: readonly ('up' | 'down')[]): () => void {
    for (const direction of directions) this.#holes[direction] += 1
    for (const link of [...this.links]) link.roadChanged()
    let mended = false
    return () => {
      if (mended) return
      mended = true
      for (const direction of directions) this.#holes[direction] -= 1
      for (const link of [...this.links]) link.roadChanged()
    }
  }

  /** The member does not even answer pings: it stands still, and its system keeps what comes. */
  deafen(): () => void {
    this.#deaf += 1
    for (const link of [...this.links]) link.watchRoad()
    let lifted = false
    return () => {
      if (lifted) return
      lifted = true
      this.#deaf -= 1
      for (const link of [...this.links]) link.watchRoad()
    }
  }

  slow(byMs: number): () => void {
    this.#slowedMs += byMs
    let lifted = false
    return () => {
      if (!lifted) this.#slowedMs -= byMs
      lifted = true
    }
  }

  /** Connections that are there break; others can be made. Were there any? */
  cut(): boolean {
    const links = [...this.links]
    for (const link of links) link.cut()
    return links.length > 0
  }
}

/** Everything between the processes and the members of the cluster. */
export class Network {
  readonly world: World
  readonly server: Transport
  readonly tampering: Tampering | undefined
  #weather: Weather
  readonly #paths: Path[] = []
  readonly #doors = new Map<string, Door>()
  /** Methods the next answer to which is to be unreadable. */
  readonly #garbled: string[] = []

  constructor(
    world: World,
    parts: {
      readonly server: Transport
      readonly weather: Weather
      readonly tampering?: Tampering | undefined
    },
  ) {
    this.world = world
    this.server = parts.server
    this.#weather = parts.weather
    this.tampering = parts.tampering
  }

  get weather(): Weather {
    return this.#weather
  }

  /** From now on no message takes much longer than others. */
  calm(): void {
    this.#weather = { ...this.#weather, spikeChance: 0 }
  }

  /** Somebody on the way spoils the next answer to this method. Returns how to have it left alone after all. */
  garble(method: string): () => void {
    this.#garbled.push(method)
    return () => this.#isToGarble(method)
  }

  arriving(method: string, answer: Uint8Array): Uint8Array {
    // A number that never ends.
    return this.#isToGarble(method) ? concat(answer, Uint8Array.of(0xff)) : answer
  }

  get paths(): readonly Path[] {
    return this.#paths
  }

  /** Of processes that have not crashed. */
  get openLinks(): number {
    let open = 0
    for (const path of this.#paths) if (!path.process.isCrashed) open += path.links.size
    return open
  }

  transportOf(process: SimulatedProcess): Transport {
    const paths = new Map<string, Path>()
    return {
      connect: (endpoint, options, changed) => {
        let path = paths.get(endpoint.address)
        if (path === undefined) {
          path = new Path(this, process, endpoint.address)
          paths.set(endpoint.address, path)
          this.#paths.push(path)
        }
        return new SimulatedLink(path, endpoint, options, changed)
      },
    }
  }

  doorOf(address: string): Door {
    return this.#doors.get(address) ?? 'open'
  }

  setDoor(address: string, door: Door): void {
    this.#doors.set(address, door)
  }

  pathsTo(address: string): readonly Path[] {
    return this.#paths.filter(path => path.address === address)
  }

  pathsOf(process: SimulatedProcess): readonly Path[] {
    return this.#paths.filter(path => path.process === process)
  }

  openDoors(): void {
    this.#doors.clear()
  }

  #isToGarble(method: string): boolean {
    const at = this.#garbled.indexOf(method)
    if (at >= 0) this.#garbled.splice(at, 1)
    return at >= 0
  }
}
