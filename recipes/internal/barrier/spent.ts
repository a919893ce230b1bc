import type { SessionContext } from '../../../src/session/session-context.ts'
import { mapKey } from '../../../src/wire/bytes.ts'

/** As many go with one request. */
const AT_ONCE = 16

/**
 * Keys of rounds a session has passed. They stay until nobody can ask for them any more, since they tell an arrival
 * whose answer was lost that it was counted; the next arrival of the session takes them along.
 */
export class SpentKeys {
  readonly #bySession = new WeakMap<SessionContext, Map<string, Uint8Array[]>>()

  add(session: SessionContext, barrier: Uint8Array, keys: readonly Uint8Array[]): void {
    if (keys.length === 0) return
    const byBarrier = this.#bySession.get(session) ?? new Map<string, Uint8Array[]>()
    this.#bySession.set(session, byBarrier)
    byBarrier.set(mapKey(barrier), [...(byBarrier.get(mapKey(barrier)) ?? []), ...keys])
  }

  take(session: SessionContext, barrier: Uint8Array): readonly Uint8Array[] {
    const byBarrier = this.#bySession.get(session)
    const keys = byBarrier?.get(mapKey(barrier)) ?? []
    if (keys.length > AT_ONCE) byBarrier?.set(mapKey(barrier), keys.slice(AT_ONCE))
    else byBarrier?.delete(mapKey(barrier))
    return keys.slice(0, AT_ONCE)
  }
}
