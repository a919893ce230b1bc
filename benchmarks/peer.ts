/**
 * One side of a comparison in a process of its own: answers jobs as `go/main.go` does when it serves.
 *
 *     node dist/benchmarks/peer.js quorate | bare | etcd3
 */
import { createInterface } from 'node:readline'
import { BareWorker } from './support/bare.ts'
import { Etcd3Worker } from './support/etcd3.ts'
import type { Answer, Job, Worker } from './support/job.ts'
import { QuorateWorker } from './support/quorate.ts'

const workers: Readonly<Record<string, () => Worker>> = {
  bare: () => new BareWorker(),
  etcd3: () => new Etcd3Worker(),
}
const worker = (workers[process.argv[2] ?? ''] ?? (() => new QuorateWorker()))()
for await (const line of createInterface({ input: process.stdin })) {
  const answer: Answer = await worker
    .run(JSON.parse(line) as Job)
    .catch((error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }))
  console.log(JSON.stringify(answer))
}
worker.close()
