import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Job, Result, StmJob, Worker } from './job.ts'
import { Window } from './window.ts'

/** The package is no dependency of this one: it has a folder of its own to be installed in. */
export const etcd3Folder: string = fileURLToPath(new URL('../../../benchmarks/etcd3/', import.meta.url))
const require = createRequire(`${etcd3Folder}package.json`)

/** As much of the package as is measured. */
interface Etcd3Module {
  readonly Etcd3: new (options: { readonly hosts: string }) => Etcd3
}

interface Etcd3 {
  stm(options: { readonly retries: number }): {
    transact(fn: (tx: Etcd3Transaction) => Promise<void>): Promise<void>
  }
  close(): void
}

interface Etcd3Transaction {
  get(key: string): { string(): Promise<string | null> }
  put(key: string): { value(value: string): Promise<unknown> }
}

export function isEtcd3Installed(): boolean {
  try {
    require.resolve('etcd3')
    return true
  } catch {
    return false
  }
}

/** The `etcd3` package, doing what the Go peer does. */
export class Etcd3Worker implements Worker {
  readonly #clients = new Map<string, Etcd3>()

  run(job: Job): Promise<Result> {
    if (job.cmd !== 'stm') throw new Error(`etcd3 is not asked to do a ${job.cmd}`)
    return this.#stm(job)
  }

  close(): void {
    for (const client of this.#clients.values()) client.close()
  }

  async #stm(job: StmJob): Promise<Result> {
    const client = this.#client(job.endpoint)
    const window = new Window(job)
    const work = async (worker: number) => {
      const key = job.keys === 'one' ? job.name : `${job.name}-${worker}`
      for (;;) {
        const beganAtMs = performance.now()
        await client.stm({ retries: Number.MAX_SAFE_INTEGER }).transact(async tx => {
          const number = Number((await tx.get(key).string()) ?? 0)
          await tx.put(key).value(String(number + 1))
        })
        const endedAtMs = performance.now()
        window.sample(endedAtMs - beganAtMs, endedAtMs)
        if (window.isOver(endedAtMs)) return
      }
    }
    await Promise.all(Array.from({ length: job.inFlight }, (_, worker) => work(worker)))
    return { transactions: window.count, ...window.times() }
  }

  #client(endpoint: string): Etcd3 {
    let client = this.#clients.get(endpoint)
    if (client === undefined) {
      const { Etcd3: Client } = require('etcd3') as Etcd3Module
      client = new Client({ hosts: endpoint })
      this.#clients.set(endpoint, client)
    }
    return client
  }
}
