import type { SessionContext } from '../src/session/session-context.ts'
import { text } from '../src/wire/bytes.ts'
import { Handle, type ReleaseOptions } from './handle.ts'
import type { Claim } from './internal/claim.ts'

/** A lock that is ours. */
export class Hold extends Handle {
  constructor(session: SessionContext, name: Uint8Array, claim: Claim) {
    super(session, text(name), claim, 'unlocked')
  }

  /**
   * Resolves when the lock is known to be free for others. `signal` aborts at once. Repeated in the background
   * until that is known; if the session ends meanwhile it resolves then, and the key goes when the cluster ends
   * the lease. Rejects if the cluster refuses. Quiet when repeated, and after a loss. One round trip.
   */
  unlock(options: ReleaseOptions = {}): Promise<void> {
    return this.giveUp(options, 'unlock')
  }
}
