import type { Engine } from '../../../src/client/engine.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Batch } from './batch.ts'
import { type Parcel, type Receipt, StmCourier } from './courier.ts'
import { type Marker, Markers } from './marker.ts'
import { notSent } from './not-sent.ts'
import type { Snapshot } from './snapshot.ts'

export type CommitResult =
  | { readonly kind: 'committed'; readonly revision: bigint }
  /** Something had changed; the snapshot is how it is now. */
  | { readonly kind: 'conflict'; readonly snapshot: Snapshot }
  /** Known to have been kept from being applied. */
  | { readonly kind: 'aborted' }
  /** Never sent: somebody has left. */
  | { readonly kind: 'unwanted' }
  | { readonly kind: 'failed'; readonly error: unknown }

export interface CommitOptions {
  /** Where to put a marker; undefined: an outcome that is unknown stays so. */
  readonly markers: Uint8Array | undefined
  /**
   * `welcome`: nothing else that this client commits in the same tick touches the same keys. Asked when it is sent:
   * who had the keys to itself may have lost them while it waited for a marker.
   */
  readonly company: () => 'welcome' | 'none'
  /** Asked last of all: whoever has left is to leave nothing behind. */
  readonly isWanted: () => boolean
}

/** The last step of a batch. */
export class StmCommitter {
  readonly #engine: Engine
  readonly #courier: StmCourier
  readonly #markers: Markers

  constructor(engine: Engine) {
    this.#engine = engine
    this.#courier = engine.shared(StmCourier)
    this.#markers = engine.shared(Markers)
  }

  /** Never rejects. One round trip; none if there is nothing to tell the server. */
  async commit(batch: Batch, { markers, company, isWanted }: CommitOptions): Promise<CommitResult> {
    if (batch.isEmpty) return { kind: 'committed', revision: this.#engine.answers.highestRevision }
    let marker: Marker | undefined
    try {
      if (markers !== undefined && !batch.writes.isEmpty) marker = await this.#markers.take(markers)
    } catch (error) {
      return { kind: 'failed', error: notSent(error) }
    }
    if (!isWanted()) return { kind: 'unwanted' }
    try {
      const receipt = await this.#send(batch, marker, company())
      if (marker !== undefined && receipt.succeeded) this.#markers.settled(marker)
      return receipt.succeeded
        ? { kind: 'committed', revision: receipt.revision }
        : { kind: 'conflict', snapshot: batch.conflict(receipt.responses, receipt.revision) }
    } catch (error) {
      if (marker === undefined) return { kind: 'failed', error }
      if (EtcdError.is(error, 'LEASE_NOT_FOUND')) return this.#withoutLease(marker, error)
      if (!EtcdError.is(error) || error.outcome !== 'unknown') return { kind: 'failed', error }
      return this.#resolve(marker, error)
    }
  }

  /** If it was the lease of the marker that is gone, the caller is not to blame. */
  async #withoutLease(marker: Marker, error: EtcdError): Promise<CommitResult> {
    try {
      return (await this.#markers.hasLostLease(marker)) ? { kind: 'aborted' } : { kind: 'failed', error }
    } catch {
      return { kind: 'failed', error }
    }
  }

  #send(batch: Batch, marker: Marker | undefined, company: 'welcome' | 'none'): Promise<Receipt> {
    const request = batch.request()
    const parcel: Parcel = {
      request: marker === undefined ? request : this.#markers.mark(request, marker),
      size: batch.size,
      bytes: batch.bytes,
      repeat: batch.writes.isEmpty ? 'read' : 'once',
    }
    return company === 'welcome' && !batch.writes.isEmpty
      ? this.#courier.send(parcel)
      : this.#courier.sendAlone(parcel)
  }

  async #resolve(marker: Marker, error: EtcdError): Promise<CommitResult> {
    try {
      const revision = await this.#markers.resolve(marker)
      return revision === undefined ? { kind: 'aborted' } : { kind: 'committed', revision }
    } catch {
      return { kind: 'failed', error }
    }
  }
}
