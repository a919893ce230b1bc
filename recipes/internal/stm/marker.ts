import type { Engine } from '../../../src/client/engine.ts'
import { KeySpace } from '../../../src/client/key-space.ts'
import { Lease } from '../../../src/client/lease.ts'
import { concat, text, toBytes } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import { CompareResult, CompareTarget, type TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'

/** Far longer than anybody asks what became of a commit. */
const LEASE_SECONDS = 600
const LEASE_IN_USE_MS = 240_000
/** How long to go on asking, in milliseconds. */
const RESOLVE_MS = 60_000
const TIDY_PER_COMMIT = 4

const COMMITTED = 'committed'
const ABORTED = 'aborted'

/** A key that is written together with a commit, and never without it. */
export interface Marker {
  readonly key: Uint8Array
  readonly leaseId: bigint
}

/**
 * Tells what became of a commit that got no answer.
 *
 * The commit creates a marker. Whoever wants to know creates it, too, with another value: if that succeeds, the
 * commit can never be applied any more, however late it comes; if not, the marker says that it was. A marker goes
 * with its lease, and a commit that comes later still names a lease that is gone, so it is refused. Nobody else
 * may delete a marker: its absence says that there was no commit.
 */
export class Markers {
  readonly #engine: Engine
  #lease: { readonly id: Promise<bigint>; readonly sinceMs: number } | undefined
  /** Of commits that were answered: of no use any more. */
  #done: Uint8Array[] = []

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** One round trip every few minutes, none in between. */
  async take(prefix: Uint8Array): Promise<Marker> {
    const id = this.#engine.runtime.randomBytes(16)
    return { key: concat(prefix, toBytes(Buffer.from(id).toString('hex'))), leaseId: await this.#leaseId() }
  }

  /** The same commit, with its marker; and without those of earlier ones. */
  mark(request: Init<TxnRequest>, { key, leaseId }: Marker): Init<TxnRequest> {
    const done = this.#done.splice(0, TIDY_PER_COMMIT)
    return {
      compare: [
        ...(request.compare ?? []),
        {
          key,
          target: CompareTarget.createRevision,
          result: CompareResult.equal,
          operand: { kind: 'createRevision', value: 0n },
        },
      ],
      success: [
        ...(request.success ?? []),
        { request: { kind: 'put', value: { key, value: toBytes(COMMITTED), lease: leaseId } } },
        ...done.map(old => ({ request: { kind: 'deleteRange' as const, value: { key: old } } })),
      ],
      failure: request.failure ?? [],
    }
  }

  /** Is the lease of this marker gone, revoked or slept through? Then the next marker gets a fresh one. */
  async hasLostLease({ leaseId }: Marker): Promise<boolean> {
    const lease = this.#lease
    if ((await this.#leases().timeToLive(leaseId)) !== undefined) return false
    if ((await lease?.id) === leaseId) this.#forget(lease)
    return true
  }

  /** The commit was answered: the marker has told nobody anything, and may go with a later commit. */
  settled({ key }: Marker): void {
    this.#done.push(key)
  }

  /** The revision of the commit, undefined if it was not made and never will be. Rejects when that stays unknown. */
  async resolve({ key, leaseId }: Marker): Promise<bigint | undefined> {
    const { succeeded, responses } = await this.#engine.submitter.submit({
      method: methods.txn,
      request: {
        compare: [
          {
            key,
            target: CompareTarget.createRevision,
            result: CompareResult.equal,
            operand: { kind: 'createRevision', value: 0n },
          },
        ],
        success: [{ request: { kind: 'put', value: { key, value: toBytes(ABORTED), lease: leaseId } } }],
        failure: [{ request: { kind: 'range', value: { key } } }],
      },
      footprint: 'alone',
      // Made twice, the second finds what the first has left.
      repeat: 'idempotent',
      timeoutMs: RESOLVE_MS,
    })
    if (succeeded) return undefined
    const response = responses[0]?.response
    const [found] = response?.kind === 'range' ? response.value.kvs : []
    switch (found === undefined ? undefined : text(found.value)) {
      case COMMITTED:
        return found?.createRevision
      case ABORTED:
        return undefined
    }
    throw new EtcdError('UNKNOWN', '[UNKNOWN] the marker of a commit was deleted or changed by others', {
      outcome: 'unknown',
    })
  }

  #leaseId(): Promise<bigint> {
    const { runtime } = this.#engine
    const now = runtime.now()
    if (this.#lease === undefined || now - this.#lease.sinceMs > LEASE_IN_USE_MS) {
      const id = this.#leases()
        .grant(LEASE_SECONDS)
        .then(granted => granted.id)
      const lease = { id, sinceMs: now }
      this.#lease = lease
      id.catch(() => this.#forget(lease))
    }
    return this.#lease.id
  }

  #forget(lease: object | undefined): void {
    if (this.#lease === lease) this.#lease = undefined
  }

  #leases(): Lease {
    const { submitter, keeper, runtime, connections } = this.#engine
    return new Lease({ submitter, keeper, runtime, space: KeySpace.whole, closing: connections.closing })
  }
}
