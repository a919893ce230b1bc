/**
 * One side of a comparison in a process of its own: answers jobs as `go/main.go` does when it serves.
 *
 *     node dist/benchmarks/peer.js quorate | bare
 */
import { createInterface } from 'node:readline'
import { BareWorker } from './support/bare.ts'
import type { Answer, Job } from './support/job.ts'
import { QuorateWorker } from './support/quorate.ts'

const worker = process.argv[2] === 'bare' ? new BareWorker() : new QuorateWorker()
for await (const line of createInterface({ input: process.stdin })) {
  const answer: Answer = await worker
    .run(JSON.parse(line) as Job)
    .catch((error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }))
  console.log(JSON.stringify(answer))
}
worker.close()
