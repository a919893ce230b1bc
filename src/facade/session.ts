import { Mutex } from '../../recipes/mutex.ts'
import { SessionCore } from '../session/session-core.ts'
import type { Bytes } from '../wire/bytes.ts'

/** A lease kept alive, and everything that can be owned with it. */
export class Session extends SessionCore {
  /** Exclusive, first come, first served. See {@link Mutex}. */
  mutex(name: Bytes): Mutex {
    return new Mutex(this, name)
  }
}
