import { mapKey } from '../wire/bytes.ts'
import { OwnKey, type OwnKeySession } from './own-key.ts'

/**
 * The keys this session owns or may come to own, by their name in etcd: whichever recipe, namespace or
 * spelling leads to a key, there is one turn to take and one memory of what was given out.
 */
export class OwnKeys {
  readonly #session: OwnKeySession
  readonly #keys = new Map<string, OwnKey>()

  constructor(session: OwnKeySession) {
    this.#session = session
  }

  of(key: Uint8Array): OwnKey {
    const name = mapKey(key)
    let own = this.#keys.get(name)
    if (own === undefined) {
      own = new OwnKey(key, this.#session, () => this.#keys.delete(name))
      this.#keys.set(name, own)
    }
    return own
  }

  /** How many keys somebody holds, waits for or must keep an eye on. */
  get size(): number {
    return this.#keys.size
  }

  /** Deletes every ghost that can be seen now. */
  async settle(): Promise<void> {
    await Promise.all([...this.#keys.values()].map(own => own.settle()))
  }

  /** The session is over: nothing appears under its lease any more. */
  end(): void {
    for (const own of this.#keys.values()) own.end()
    this.#keys.clear()
  }
}
