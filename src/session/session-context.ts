import type { Engine } from '../client/engine.ts'
import type { KeySpace } from '../client/key-space.ts'
import type { OwnKeys } from './own-keys.ts'

/** What a recipe needs of a session. */
export interface SessionContext {
  readonly engine: Engine
  /** The namespace it was opened in: names of recipes are keys of it. */
  readonly space: KeySpace
  readonly leaseId: bigint
  /** It goes on with a lease that was there before, on which keys may have been left. */
  readonly resumed: boolean
  /** In seconds, as granted. */
  readonly ttl: number
  /** Aborts, with the reason, when keys bound to this session can no longer be relied on. */
  readonly signal: AbortSignal
  /** Aborts earlier still: when the session begins to close, waiting for new keys is over. */
  readonly closing: AbortSignal
  /** Every key this session may own, with whoever in this process waits for it. */
  readonly ownKeys: OwnKeys
  /** Reads the clock. Throws when keys bound to this session cannot be relied on now. */
  assertAlive(): void
  /** Throws when no new key may be bound to it any more; else as `assertAlive`. */
  assertOpen(): void
  /** Resolves when keys of the session can be relied on: at once, unless the machine slept. Rejects when it is over. */
  reliable(): Promise<void>
  /** What a key in a line says about its owner. */
  placeValue(): Uint8Array
  /** The cluster told somebody that the lease does not exist. */
  leaseGone(cause: unknown): void
  /** A key that goes with the lease is gone, so the lease may be, too: asks at once. */
  doubt(): void
  /** Cleaning up that goes on after its caller was answered: `close` and `orphan` wait for it. It must not reject. */
  background(work: Promise<void>): void
  /** Ties a resource to the session: closing the session disposes of it first. Throws once that has begun. */
  attach(resource: AsyncDisposable): void
  detach(resource: AsyncDisposable): void
}
