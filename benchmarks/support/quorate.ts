import { connect, type Etcd, type Session } from '../../src/index.ts'
import type { HandOffJob, Job, LockJob, Result, StmJob, Worker } from './job.ts'
import { Window } from './window.ts'

/** Far longer than a job: no renewal falls into it on either side. */
const TTL_SECONDS = 60

/** This library, doing what the Go peer does, line by line. */
export class QuorateWorker implements Worker {
  /** One client per endpoint, kept between jobs: rounds do not pay for connecting. */
  readonly #shared = new Map<string, Promise<Etcd>>()

  run(job: Job): Promise<Result> {
    switch (job.cmd) {
      case 'hand-off':
        return this.#handOff(job)
      case 'lock':
        return this.#lock(job)
      case 'stm':
        return this.#stm(job)
    }
  }

  close(): void {
    for (const client of this.#shared.values()) void client.then(etcd => etcd.close())
  }

  /**
   * The time of a hand-off runs from just before the owner calls `unlock` until the `lock` of the next owner
   * has resolved. A session that follows itself is no hand-off.
   */
  async #handOff(job: HandOffJob): Promise<Result> {
    const clients: Etcd[] = []
    const sessions: Session[] = []
    try {
      while (sessions.length < job.sessions) {
        const etcd = job.clients === 'each' ? await connect(job.endpoint) : await this.#client(job.endpoint)
        if (job.clients === 'each') clients.push(etcd)
        sessions.push(await etcd.session({ ttl: TTL_SECONDS }))
      }
      const window = new Window(job)
      let lastOwner: Session | undefined
      let releasedAtMs = 0
      await Promise.all(
        sessions.map(async session => {
          const mutex = session.mutex(job.name)
          for (;;) {
            const hold = await mutex.lock()
            const nowMs = performance.now()
            if (lastOwner !== undefined && lastOwner !== session) window.sample(nowMs - releasedAtMs, nowMs)
            lastOwner = session
            releasedAtMs = performance.now()
            await hold.unlock()
            if (window.isOver(nowMs)) return
          }
        }),
      )
      return { handOffs: window.count, ...window.times() }
    } finally {
      await Promise.all(sessions.map(session => session.close()))
      await Promise.all(clients.map(etcd => etcd.close()))
    }
  }

  async #lock(job: LockJob): Promise<Result> {
    const etcd = await this.#client(job.endpoint)
    await using session = await etcd.session({ ttl: TTL_SECONDS })
    const window = new Window(job)
    const work = async (worker: number) => {
      const mutex = session.mutex(`${job.name}-${worker}`)
      for (;;) {
        const beganAtMs = performance.now()
        const hold = await mutex.lock()
        await hold.unlock()
        const endedAtMs = performance.now()
        window.sample(endedAtMs - beganAtMs, endedAtMs)
        if (window.isOver(endedAtMs)) return
      }
    }
    await Promise.all(Array.from({ length: job.inFlight }, (_, worker) => work(worker)))
    return { locks: window.count, ...window.times() }
  }

  async #stm(job: StmJob): Promise<Result> {
    const etcd = await this.#client(job.endpoint)
    const window = new Window(job)
    const work = async (worker: number) => {
      const key = job.keys === 'one' ? job.name : `${job.name}-${worker}`
      for (;;) {
        const beganAtMs = performance.now()
        await etcd.stm(
          async tx => {
            const number = Number((await tx.get(key))?.text() ?? 0)
            tx.put(key, String(number + 1))
          },
          { maxAttempts: Number.MAX_SAFE_INTEGER },
        )
        const endedAtMs = performance.now()
        window.sample(endedAtMs - beganAtMs, endedAtMs)
        if (window.isOver(endedAtMs)) return
      }
    }
    await Promise.all(Array.from({ length: job.inFlight }, (_, worker) => work(worker)))
    return { transactions: window.count, ...window.times() }
  }

  #client(endpoint: string): Promise<Etcd> {
    let client = this.#shared.get(endpoint)
    if (client === undefined) {
      client = connect(endpoint)
      this.#shared.set(endpoint, client)
    }
    return client
  }
}
