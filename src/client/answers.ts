import type { Endpoint } from '../support/transport.ts'
import { EtcdError } from '../wire/errors.ts'
import type { ResponseHeader } from '../wire/gen/rpc.g.ts'

/** One answer, as whoever records histories or counts round trips sees it. */
export interface Answer {
  /** gRPC path of the call. */
  readonly path: string
  readonly endpoint: Endpoint
  readonly revision: bigint
  readonly memberId: bigint
  readonly clusterId: bigint
}

/**
 * The one tap every unary answer passes: it knows the highest revision this client has seen, so that an answer
 * from the past is noticed, and the cluster it talks to, so that another one is.
 */
export class Answers {
  #highestRevision = 0n
  #clusterId: bigint | undefined
  readonly #listeners = new Set<(answer: Answer) => void>()

  /** Nothing asked for from now on may be answered by an older state than this. */
  get highestRevision(): bigint {
    return this.#highestRevision
  }

  listen(listener: (answer: Answer) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Throws CLUSTER_MISMATCH when the answer comes from another cluster than all before. */
  pass(path: string, endpoint: Endpoint, header: ResponseHeader | undefined): void {
    // Authentication and a few maintenance calls answer without a revision, some without a header.
    if (header === undefined) return
    const { revision, memberId, clusterId } = header
    if (clusterId !== 0n) {
      this.#clusterId ??= clusterId
      if (this.#clusterId !== clusterId) {
        throw new EtcdError(
          'CLUSTER_MISMATCH',
          `[CLUSTER_MISMATCH] ${endpoint.url} answered for cluster ${clusterId.toString(16)}, all answers before came from ${this.#clusterId.toString(16)}: two clusters in one list of endpoints, or one rebuilt from nothing`,
          { outcome: 'unknown', endpoint: endpoint.url },
        )
      }
    }
    if (revision > this.#highestRevision) this.#highestRevision = revision
    for (const listener of this.#listeners) listener({ path, endpoint, revision, memberId, clusterId })
  }
}
