import { CyclicBarrier, type CyclicBarrierOptions } from '../../recipes/cyclic-barrier.ts'
import { DoubleBarrier, type DoubleBarrierOptions } from '../../recipes/double-barrier.ts'
import { Election } from '../../recipes/election.ts'
import { type JointHold, type LockName, lockAll, tryLockAll } from '../../recipes/lock-all.ts'
import type { LockOptions, MutexOptions } from '../../recipes/lock-options.ts'
import { Mutex } from '../../recipes/mutex.ts'
import { RwMutex } from '../../recipes/rw-mutex.ts'
import { Semaphore, type SemaphoreOptions } from '../../recipes/semaphore.ts'
import { SessionCore } from '../session/session-core.ts'
import type { Bytes } from '../wire/bytes.ts'

/** A lease kept alive, and everything that can be owned with it. */
export class Session extends SessionCore {
  /** Exclusive, first come, first served. See {@link Mutex}. */
  mutex(name: Bytes, options?: MutexOptions): Mutex {
    return new Mutex(this, name, options)
  }

  /** Shared by readers, exclusive for a writer, first come, first served. See {@link RwMutex}. */
  rwMutex(name: Bytes): RwMutex {
    return new RwMutex(this, name)
  }

  /** One leader at a time, first come, first served. See {@link Election}. */
  election(name: Bytes): Election {
    return new Election(this, name)
  }

  /** A number of permits, first come, first served, each with a stable number. See {@link Semaphore}. */
  semaphore(name: Bytes, options: SemaphoreOptions): Semaphore {
    return new Semaphore(this, name, options)
  }

  /**
   * Resolves when all of these locks are ours: all or none, in one transaction, with one place in every line, so that
   * no order of names has to be agreed on. Waits and rejects as {@link Mutex.lock}. Free: one round trip.
   */
  lockAll(names: readonly LockName[], options?: LockOptions): Promise<JointHold> {
    return lockAll(this, names, options)
  }

  /**
   * Resolves with all of these locks if nobody is to be waited for, else with undefined, and nothing was written. One
   * round trip; two for more than two locks to read.
   */
  tryLockAll(names: readonly LockName[], options?: LockOptions): Promise<JointHold | undefined> {
    return tryLockAll(this, names, options)
  }

  /** All enter together and leave together. See {@link DoubleBarrier}. */
  doubleBarrier(name: Bytes, count: number, options?: DoubleBarrierOptions): DoubleBarrier {
    return new DoubleBarrier(this, name, count, options)
  }

  /** All wait for all, round after round. See {@link CyclicBarrier}. */
  cyclicBarrier(name: Bytes, parties: number, options?: CyclicBarrierOptions): CyclicBarrier {
    return new CyclicBarrier(this, name, parties, options)
  }
}
