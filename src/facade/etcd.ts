import { Barrier } from '../../recipes/barrier.ts'
import { Counter } from '../../recipes/counter.ts'
import { ElectionView } from '../../recipes/election.ts'
import { IdBlocks, type IdBlocksOptions } from '../../recipes/id-blocks.ts'
import { Latch } from '../../recipes/latch.ts'
import { type LeadOptions, lead } from '../../recipes/lead.ts'
import type { Term } from '../../recipes/lead-term.ts'
import { MutexView } from '../../recipes/mutex.ts'
import { RwMutexView } from '../../recipes/rw-mutex.ts'
import { SemaphoreView } from '../../recipes/semaphore.ts'
import { Sequence } from '../../recipes/sequence.ts'
import { type StmOptions, type StmResult, stm } from '../../recipes/stm.ts'
import type { Transaction } from '../../recipes/transaction.ts'
import { VersionedValue } from '../../recipes/versioned-value.ts'
import { Client, namespaceSpace } from '../client/client.ts'
import { ServerElection } from '../client/server-election.ts'
import { ServerLock } from '../client/server-lock.ts'
import { openSession, type SessionOptions } from '../session/session-core.ts'
import type { Bytes } from '../wire/bytes.ts'
import { Session } from './session.ts'

/** A cluster, or a namespace of it. */
export class Etcd extends Client {
  /**
   * Resolves with a session whose lease is granted. Rejects when it could not be, and leaves nothing behind.
   * One round trip, then one message per third of the TTL.
   */
  async session(options: SessionOptions = {}): Promise<Session> {
    return openSession(this, options, keep => new Session(this, options, keep))
  }

  /** Who holds a lock and who waits, without a lease of one's own. */
  mutex(name: Bytes): MutexView {
    return new MutexView(this.engine, this.space, name)
  }

  /** Who holds a read-write lock and who waits, without a lease of one's own. */
  rwMutex(name: Bytes): RwMutexView {
    return new RwMutexView(this.engine, this.space, name)
  }

  /** Who leads, who waits to lead, and every change of that, without a lease of one's own. */
  election(name: Bytes): ElectionView {
    return new ElectionView(this.engine, this.space, name)
  }

  /** Who holds permits of a semaphore and who waits, without a lease of one's own. */
  semaphore(name: Bytes): SemaphoreView {
    return new SemaphoreView(this.engine, this.space, name)
  }

  /**
   * Runs `body` whenever we lead, and stands for election again after every term. Resolves when the signal stops it,
   * which it alone of all calls does, and `body` has settled. Rejects when it could never lead (no
   * permission, or the client was closed), and with an error of `body` if `onError` is `reject`.
   */
  lead(name: Bytes, body: (term: Term) => unknown, options?: LeadOptions): Promise<void> {
    return lead(this, name, body, options)
  }

  /** The lock service inside the server, for interoperation; otherwise use {@link Session.mutex}. */
  get serverLock(): ServerLock {
    return new ServerLock(this.engine.submitter, this.space)
  }

  /** The election service inside the server, for interoperation; otherwise use {@link Session.election}. */
  get serverElection(): ServerElection {
    return new ServerElection(this.engine, this.space)
  }

  /** Holds many back until somebody opens it. See {@link Barrier}. */
  barrier(name: Bytes): Barrier {
    return new Barrier(this.engine, this.space, name)
  }

  /** Opens when so many have counted it down. See {@link Latch}. */
  latch(name: Bytes): Latch {
    return new Latch(this.engine, this.space, name)
  }

  /**
   * Runs `fn` as one transaction: commits all it wrote at once if nothing it read has changed meanwhile, else runs it
   * again. Resolves with what it returned, and the revision. Rejects with what it throws, with CONFLICT after
   * `maxAttempts`, and with the outcome `unknown` when the commit got no answer. One round trip for all reads of a
   * tick, one to commit.
   */
  async stm<Value>(
    fn: (tx: Transaction) => Value | Promise<Value>,
    options?: StmOptions,
  ): Promise<StmResult<Value>> {
    this.assertOpen()
    return stm(this.engine, this.space, fn, options)
  }

  /** A number that many processes count in. See {@link Counter}. */
  counter(name: Bytes): Counter {
    return new Counter(this, name)
  }

  /** Numbers without a gap, each given once. See {@link Sequence}. */
  sequence(name: Bytes): Sequence {
    return new Sequence(this.engine, this.space, name)
  }

  /** Unique ids by the thousand. See {@link IdBlocks}. */
  idBlocks(name: Bytes, options?: IdBlocksOptions): IdBlocks {
    return new IdBlocks(this.engine, this.space, name, options)
  }

  /** One value, changed only by those who know it. See {@link VersionedValue}. */
  value(name: Bytes): VersionedValue {
    return new VersionedValue(this, name)
  }

  /** A view in which every key begins with `prefix`, unseen. Closing it closes what was opened through it. */
  namespace(prefix: Bytes): Etcd {
    this.assertOpen()
    return new Etcd(this.engine, namespaceSpace(this, prefix), this)
  }
}
