import { createdAtWire } from '../../src/client/compare.ts'
import { firstOf, part, revisionOf } from '../../src/client/response-part.ts'
import type { OwnKey, Turn } from '../../src/session/own-key.ts'
import type { SessionContext } from '../../src/session/session-context.ts'
import { deferred } from '../../src/support/deferred.ts'
import { LazyAbort } from '../../src/support/lazy-abort.ts'
import { mapKey, prefixEnd, printable } from '../../src/wire/bytes.ts'
import type { Init } from '../../src/wire/codec.ts'
import { EtcdError } from '../../src/wire/errors.ts'
import type { TxnRequest } from '../../src/wire/gen/rpc.g.ts'
import { methods } from '../../src/wire/methods.ts'
import {
  type Attempt,
  type Claim,
  claimFailed,
  giveUp,
  type LineName,
  understood,
  untilGivenUp,
} from './claim.ts'
import { type Entry, entryOf, isForeign } from './entry.ts'
import { approach } from './far-place.ts'
import type { Line } from './line.ts'
import { type LineReading, lineRange, lineReading } from './line-reading.ts'
import { Lines } from './lines.ts'
import { type Place, placeGone, placeTaken } from './place.ts'
import type { Rule } from './rule.ts'

export interface AcquireOptions {
  readonly rule: Rule
  readonly signal?: AbortSignal | undefined
}

/**
 * Stands in line until it is our turn.
 *
 * The local turn comes first: tasks of one session share one key. Then one transaction creates the key if it
 * is absent and reads the line. Nobody ahead: done, in that one round trip. Else the place waits in the line all
 * sessions of the client share, and is granted by events alone.
 *
 * Whatever ends the wait before that is told at once. The place is then removed in the background, also when
 * it is not known yet whether there is one, and only when it is known to be gone the local turn goes on.
 */
export async function acquire(
  session: SessionContext,
  name: LineName,
  { rule, signal }: AcquireOptions,
): Promise<Claim> {
  signal?.throwIfAborted()
  session.assertOpen()
  const own = session.ownKeys.of(name.key)
  const turn = own.tryEnter() ?? (await own.enter(signal))
  return untilGivenUp(session, new Acquisition(session, name, rule, own, turn), signal)
}

class Acquisition implements Attempt<Claim>, Place {
  readonly rule: Rule
  readonly ttlMs: number
  readonly #session: SessionContext
  readonly #name: LineName
  readonly #own: OwnKey
  readonly #turn: Turn
  readonly #lines: Lines
  readonly #turned = deferred<void>()
  readonly #abandoned = new LazyAbort()
  /** Known once the cluster has answered. */
  #mine: Entry | undefined

  constructor(session: SessionContext, name: LineName, rule: Rule, own: OwnKey, turn: Turn) {
    this.#session = session
    this.#name = name
    this.rule = rule
    this.ttlMs = session.ttl * 1000
    this.#own = own
    this.#turn = turn
    this.#lines = session.engine.shared(Lines)
    // Whoever waits for it hears; nobody has to.
    this.#turned.promise.catch(() => {})
  }

  get mine(): Entry {
    return this.#mine!
  }

  async run(): Promise<Claim> {
    const line = this.#lines.of(this.#name.prefix, this.rule.values)
    // Before the request goes out: the watch of a contended line must not end while the answer is on its way.
    line.begin()
    try {
      const reading = await this.#join(line)
      if (reading !== 'free') await this.#wait(line, reading)
      // The turn may come to a machine that slept, or in the moment the session is lost.
      await this.#session.reliable()
      this.#abandoned.throwIfAborted()
      const { createRevision } = this.mine
      this.#own.granted(createRevision)
      return { own: this.#own, createRevision, turn: this.#turn }
    } catch (error) {
      this.#session.background(this.#undo())
      throw claimFailed(this.#session, error)
    } finally {
      line.settle()
    }
  }

  abandon(reason: unknown): void {
    this.#abandoned.abort(() => reason)
    this.#turned.reject(reason)
  }

  onTurn(): void {
    this.#turned.resolve()
  }

  onEnd(error: EtcdError): void {
    this.#session.doubt()
    this.#turned.reject(error)
  }

  /** Creates our key and stands in the shared line if somebody is ahead. */
  async #join(line: Line): Promise<'free' | 'near' | 'far'> {
    try {
      const reading = await this.#create()
      this.#abandoned.throwIfAborted()
      // An answer may come later than the watch tells what became of its key: nobody would tell it again.
      const goneAt = line.goneAt(this.mine)
      if (goneAt !== undefined) {
        this.#session.doubt()
        throw placeGone(this.mine, goneAt)
      }
      if (!reading.entries.some(entry => this.#blocks(entry)) && !isFar(reading, this.mine)) return 'free'
      this.#refuseOwnName(reading)
      if (isFar(reading, this.mine)) return 'far'
      line.join(this, reading)
      return 'near'
    } finally {
      // Only now that the answer is used, deletions seen while it was on its way may be forgotten.
      line.answered()
    }
  }

  async #wait(line: Line, distance: 'near' | 'far'): Promise<void> {
    if (distance === 'far') {
      const { engine } = this.#session
      const { prefix } = this.#name
      const { values } = this.rule
      const { mine, ttlMs } = this
      this.#refuseOwnName(
        await approach({ engine, prefix, values, mine, ttlMs, signal: this.#abandoned.signal }),
      )
      line.join(this, undefined)
    }
    try {
      await this.#turned.promise
    } finally {
      line.leave(this)
    }
  }

  /** Our key, created or found, and the line as it stood with it. One round trip. */
  async #create(): Promise<LineReading> {
    const { submitter } = this.#session.engine
    const { prefix, key } = this.#name
    const span = { key: prefix, end: prefixEnd(prefix) }
    for (;;) {
      const { header, succeeded, responses } = await submitter.submit({
        method: methods.txn,
        request: this.#request(),
        footprint: { reads: [span], writes: [span] },
        // Creates what is absent, under a name only this session uses: made twice, it finds its own key.
        repeat: 'idempotent',
        noMoreAttempts: this.#abandoned,
        onUnanswered: () => this.#own.unanswered(),
      })
      const { reading, found } = understood(this.#own, () => ({
        reading: lineReading(part(responses[1], 'range'), revisionOf(header)),
        found: succeeded ? undefined : firstOf(part(responses[0], 'range').kvs),
      }))
      if (found === undefined) {
        const { leaseId } = this.#session
        const { revision: createRevision } = reading
        this.#mine = { name: mapKey(key), key, createRevision, lease: leaseId, value: NOTHING }
        return reading
      }
      // Somebody was given this token before: to own it again would repeat it. It has to go first.
      if (this.#own.mayAdopt(found.createRevision)) {
        this.#mine = entryOf(found)
        this.#own.adopted()
        if (found.lease !== this.#session.leaseId) throw placeTaken(this.mine)
        return reading
      }
      await this.#own.remove(found.createRevision)
      this.#abandoned.throwIfAborted()
      this.#session.assertAlive()
    }
  }

  #request(): Init<TxnRequest> {
    const { prefix, key } = this.#name
    const line = { request: { kind: 'range', value: lineRange(prefix, this.rule.values) } } as const
    return {
      compare: [createdAtWire(key, 0n)],
      success: [
        {
          request: {
            kind: 'put',
            value: { key, value: this.#session.placeValue(), lease: this.#session.leaseId },
          },
        },
        line,
      ],
      failure: [{ request: { kind: 'range', value: { key } } }, line],
    }
  }

  #blocks(entry: Entry): boolean {
    return entry.createRevision < this.mine.createRevision && this.rule.blocks(entry, this.mine)
  }

  /**
   * Keys ahead that are no places: another's is waited for, as every program with this layout does, and named.
   * One of our own session would keep us waiting for ourselves.
   */
  #refuseOwnName({ entries }: LineReading): void {
    const { prefix } = this.#name
    for (const entry of entries) {
      if (!this.#blocks(entry) || !isForeign(entry, prefix.length)) continue
      if (entry.lease === this.#session.leaseId) throw nameClash(entry, prefix)
      this.#lines.nameForeign(entry, prefix)
    }
  }

  /** Whatever there may be of us in the line goes. An attempt without an answer is left to the watch for ghosts. */
  async #undo(): Promise<void> {
    if (this.#mine === undefined) this.#turn.end()
    else await giveUp({ own: this.#own, createRevision: this.mine.createRevision, turn: this.#turn })
  }
}

const NOTHING = new Uint8Array(0)

/** More are ahead than the answer shows. */
function isFar({ entries, truncated }: LineReading, mine: Entry): boolean {
  return truncated && !entries.some(({ name }) => name === mine.name)
}

export function nameClash({ key }: Entry, prefix: Uint8Array): EtcdError {
  return new EtcdError(
    'NAME_CLASH',
    `[NAME_CLASH] this session already has ${printable(key)}, which lies in the line of ${printable(prefix)}: waiting for it would be waiting for itself`,
    { outcome: 'rejected' },
  )
}
