import { type Bytes, toBytes } from '../wire/bytes.ts'
import { methods } from '../wire/methods.ts'
import type { KeySpace } from './key-space.ts'
import { checkCall } from './kv.ts'
import { checkLeaseId } from './lease.ts'
import type { CallOptions, Submitter } from './submitter.ts'

/** Whoever waits in the server waits until it is told to stop. */
export const NO_HURRY_MS: number = 2 ** 40

/**
 * The lock service inside the server, for programs that must do what others do through it. It stands in one line
 * with Go's mutex and with {@link Mutex}, which is what you want in every other case: this one tells no token,
 * notices no loss, and when the connection breaks while it waits, nobody knows whether it has the lock.
 */
export class ServerLock {
  readonly #submitter: Submitter
  readonly #space: KeySpace

  constructor(submitter: Submitter, space: KeySpace) {
    this.#submitter = submitter
    this.#space = space
  }

  /**
   * Resolves with the key that stands for the lock once the server says that it is ours. Goes with the lease, which
   * is yours to keep alive. Waits as long as it takes, unless told otherwise. Cancelling: the server gives up when it
   * hears of it, and may then delete the key under another call with the same lease, which rejects with
   * `LEASE_NOT_FOUND`; only revoking the lease is sure to end it. Not repeated when its outcome is unknown.
   */
  async lock(name: Bytes, leaseId: bigint, options: CallOptions = {}): Promise<Uint8Array> {
    const bytes = toBytes(name, 'the name of a lock')
    checkLeaseId(leaseId)
    const { signal, timeoutMs = NO_HURRY_MS } = checkCall(options, [], 'lock')
    const { key } = await this.#submitter.submit({
      method: methods.lock,
      request: { name: this.#space.key(bytes), lease: leaseId },
      footprint: 'alone',
      signal,
      timeoutMs,
    })
    return Uint8Array.from(this.#space.local(key))
  }

  /** Resolves when the key that `lock` told is gone, whoever had it: it is deleted unseen. One round trip. */
  async unlock(key: Bytes, options: CallOptions = {}): Promise<void> {
    const bytes = toBytes(key)
    const { signal, timeoutMs } = checkCall(options, [], 'unlock')
    await this.#submitter.submit({
      method: methods.unlock,
      request: { key: this.#space.key(bytes) },
      footprint: 'alone',
      signal,
      timeoutMs,
    })
  }
}
