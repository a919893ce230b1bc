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
    if (job.cmd === 'stm') return this.#stm(job)
    return 'inFlight' in job ? this.#lock(job) : this.#handOff(job)
  }

  close(): void {
    for (const client of this.#shared.values()) void client.then(etcd => etcd.close())
  }

  /**
   * The time of a hand-off runs from just before the owner calls `unlock` or `resign` until the `lock` or `campaign`
   * of the next owner has resolved. A session that follows itself is no hand-off.
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
          const take = taker(session, job)
          for (;;) {
            const leave = await take()
            const nowMs = performance.now()
            if (lastOwner !== undefined && lastOwner !== session) window.sample(nowMs - releasedAtMs, nowMs)
            lastOwner = session
            releasedAtMs = performance.now()
            await leave()
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
      const name = `${job.name}-${worker}`
      const mutex = session.mutex(name)
      const shared = session.rwMutex(name)
      for (;;) {
        const beganAtMs = performance.now()
        const hold = await (job.cmd === 'lock' ? mutex.lock() : shared.readLock())
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

/** Waits for its turn; resolves with how to give it up. */
function taker(session: Session, { cmd, name }: HandOffJob): () => Promise<() => Promise<void>> {
  switch (cmd) {
    case 'hand-off': {
      const mutex = session.mutex(name)
      return async () => {
        const hold = await mutex.lock()
        return () => hold.unlock()
      }
    }
    case 'election': {
      const election = session.election(name)
      return async () => {
        const leadership = await election.campaign('candidate')
        return () => leadership.resign()
      }
    }
    case 'write-lock': {
      const mutex = session.rwMutex(name)
      return async () => {
        const hold = await mutex.writeLock()
        return () => hold.unlock()
      }
    }
    case 'semaphore': {
      const semaphore = session.semaphore(name, { permits: 1 })
      return async () => {
        const permit = await semaphore.acquire()
        return () => permit.release()
      }
    }
    case 'lock-all': {
      const names = [1, 2, 3, 4].map(part => `${name}-${part}`)
      return async () => {
        const hold = await session.lockAll(names)
        return () => hold.unlock()
      }
    }
  }
}
