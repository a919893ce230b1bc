import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { linePrefix } from '../../recipes/internal/line/claim.ts'
import { lineRange } from '../../recipes/internal/line/line-reading.ts'
import { compare } from '../../src/client/compare.ts'
import { KeySpace } from '../../src/client/key-space.ts'
import { nodeRuntime } from '../../src/support/node-runtime.ts'
import { concat, hexOfLease, toBytes } from '../../src/wire/bytes.ts'
import { methods } from '../../src/wire/methods.ts'
import type { Job, LockJob, Result, Worker } from './job.ts'
import { Window } from './window.ts'

const TTL_SECONDS = 60n

/**
 * What gRPC alone costs in this language: the two requests of a free lock, encoded once, sent by the plain
 * client of `@grpc/grpc-js` and left undecoded. Nobody retries, nobody looks at an answer, nobody owns anything.
 *
 * The bytes are those the library sends, but for one number: the unlock names no create revision, for which
 * the answer would have to be read; it compares with zero instead.
 */
export class BareWorker implements Worker {
  readonly #shared = new Map<string, Client>()
  readonly #metadata: Metadata = new Metadata()

  constructor() {
    this.#metadata.set('hasleader', 'true')
  }

  async run(job: Job): Promise<Result> {
    if (job.cmd !== 'lock') throw new Error(`bare requests cannot do a ${job.cmd}`)
    const client = this.#client(job.endpoint)
    const leaseId = await this.#grant(client)
    const window = new Window(job)
    const work = async (worker: number) => {
      const { acquire, release } = requests(job, worker, leaseId)
      for (;;) {
        const beganAtMs = performance.now()
        await this.#send(client, methods.txn.path, acquire)
        await this.#send(client, methods.txn.path, release)
        const endedAtMs = performance.now()
        window.sample(endedAtMs - beganAtMs, endedAtMs)
        if (window.isOver(endedAtMs)) return
      }
    }
    await Promise.all(Array.from({ length: job.inFlight }, (_, worker) => work(worker)))
    await this.#send(
      client,
      methods.leaseRevoke.path,
      asBuffer(methods.leaseRevoke.request.encode({ id: leaseId })),
    )
    return { locks: window.count, ...window.times() }
  }

  close(): void {
    for (const client of this.#shared.values()) client.close()
  }

  async #grant(client: Client): Promise<bigint> {
    const { path, request, response } = methods.leaseGrant
    const answer = await this.#send(client, path, asBuffer(request.encode({ ttl: TTL_SECONDS })))
    return response.decode(answer).id
  }

  #send(client: Client, path: string, bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, same, same, bytes, this.#metadata, (error, answer) => {
        if (answer === undefined) reject(error ?? new Error('neither an answer nor an error'))
        else resolve(answer)
      })
    })
  }

  #client(endpoint: string): Client {
    let client = this.#shared.get(endpoint)
    if (client === undefined) {
      client = new Client(endpoint, credentials.createInsecure())
      this.#shared.set(endpoint, client)
    }
    return client
  }
}

/** The transactions of `Mutex.lock` and `Hold.unlock`. */
function requests(
  job: LockJob,
  worker: number,
  leaseId: bigint,
): { readonly acquire: Buffer; readonly release: Buffer } {
  const space = KeySpace.whole
  const prefix = linePrefix(space, toBytes(`${job.name}-${worker}`))
  const key = concat(prefix, toBytes(hexOfLease(leaseId)))
  const runtime = nodeRuntime()
  const value = toBytes(JSON.stringify({ v: 1, ...runtime.identity(), sinceMs: runtime.wallNow() }))
  const line = { request: { kind: 'range', value: lineRange(prefix, 'ignored') } } as const
  const acquire = methods.txn.request.encode({
    compare: compare(key).createRevision.equals(0n).wire(space),
    success: [{ request: { kind: 'put', value: { key, value, lease: leaseId } } }, line],
    failure: [{ request: { kind: 'range', value: { key } } }, line],
  })
  const release = methods.txn.request.encode({
    compare: compare(key).createRevision.greaterThan(0n).wire(space),
    success: [{ request: { kind: 'deleteRange', value: { key } } }],
  })
  return { acquire: asBuffer(acquire), release: asBuffer(release) }
}

function same(bytes: Buffer): Buffer {
  return bytes
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes)
}
