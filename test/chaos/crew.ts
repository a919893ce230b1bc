import { sharedNowMs } from './clock.ts'
import type { Footprint, FromWorker, Round, ToWorker, WorkerConfig } from './messages.ts'
import type { Place } from './places.ts'
import { PlayerProcess } from './player-process.ts'
import type { Crew } from './stage.ts'

type Worker = PlayerProcess<FromWorker, ToWorker>

/** Started while all members are being started, on a busy machine. */
const START_MS = 130_000
/** Everything a worker waits for gives up or is done by then. */
const REST_MS = 60_000
const END_MS = 30_000

/** Several worker processes, each in a place that is filled again when its process is killed. */
export class WorkingCrew implements Crew {
  readonly deaths: Map<string, number> = new Map()
  readonly troubles: string[] = []
  readonly #places = new Map<string, Place>()
  readonly #workers = new Map<string, Worker>()
  readonly #stopped = new Set<string>()
  #generation = 0
  #seed: number
  #round: Round | undefined

  private constructor(seed: number) {
    this.#seed = seed
  }

  static async start(places: readonly Place[], seed: number): Promise<WorkingCrew> {
    const crew = new WorkingCrew(seed)
    try {
      await Promise.all(places.map(place => crew.#fill(place)))
    } catch (error) {
      await crew.kill()
      throw error
    }
    return crew
  }

  get names(): readonly string[] {
    return [...this.#workers.keys()]
  }

  get expendable(): readonly string[] {
    return this.names.filter(name => this.#places.get(name)?.isExpendable)
  }

  work(round: Round): void {
    this.#round = round
    for (const worker of this.#workers.values()) worker.tell({ kind: 'work', round })
  }

  stop(name: string): void {
    this.#stopped.add(name)
    this.#workers.get(name)?.stop()
  }

  go(name: string): void {
    this.#stopped.delete(name)
    this.#workers.get(name)?.go()
  }

  async replace(name: string): Promise<void> {
    const place = this.#places.get(name)
    const worker = this.#workers.get(name)
    if (place === undefined || worker === undefined) throw new Error(`${name} is gone`)
    this.#workers.delete(name)
    await worker.kill()
    this.deaths.set(name, sharedNowMs())
    await this.#fill(place)
  }

  /** Resolves with how long the slowest took to finish what it had begun. */
  async rest(): Promise<number> {
    const startedAtMs = performance.now()
    await this.#all('rest', worker => {
      worker.tell({ kind: 'rest' })
      return worker.hears('rested', REST_MS)
    })
    return performance.now() - startedAtMs
  }

  /** Resolves when all were told everything up to that revision, with what each takes up. */
  async end(revision: bigint): Promise<ReadonlyMap<string, Footprint>> {
    this.#round = undefined
    const footprints = new Map<string, Footprint>()
    await this.#all('end', async worker => {
      worker.tell({ kind: 'end', revision })
      footprints.set(worker.name, (await worker.hears('ended', END_MS)).footprint)
    })
    return footprints
  }

  /** Every process closes its client and must then end by itself. */
  async leave(): Promise<void> {
    await this.#all('leave', async worker => {
      worker.tell({ kind: 'leave' })
      await worker.hears('left', END_MS)
      if (!(await worker.ends(2000))) throw new Error(`${worker.name} did not end by itself`)
    })
    this.#workers.clear()
  }

  async kill(): Promise<void> {
    await Promise.all([...this.#workers.values()].map(worker => worker.kill()))
    this.#workers.clear()
  }

  /** Processes that ended though nobody killed them are a trouble. */
  look(): void {
    for (const worker of this.#workers.values()) {
      if (worker.isOver) this.troubles.push(worker.failure ?? `${worker.name} ended by itself`)
    }
  }

  async #all(what: string, ask: (worker: Worker) => Promise<unknown>): Promise<void> {
    await Promise.all(
      [...this.#workers.values()].map(worker =>
        ask(worker).catch(error => {
          this.troubles.push(`${what}: ${error instanceof Error ? error.message : error}`)
        }),
      ),
    )
  }

  async #fill(place: Place): Promise<void> {
    const { endpoints, ttl } = place
    const name = `${place.name}.${++this.#generation}`
    const config: WorkerConfig = { name, place: place.name, endpoints, ttl, seed: this.#seed++ }
    const worker: Worker = new PlayerProcess(name, 'worker', config, said => {
      if (said.kind === 'trouble') this.troubles.push(said.what)
    })
    this.#places.set(name, place)
    // Known at once: it must be ended with the others even if it never gets ready.
    this.#workers.set(name, worker)
    const round = this.#round
    await worker.hears('ready', START_MS)
    if (round !== undefined) worker.tell({ kind: 'work', round })
  }
}
