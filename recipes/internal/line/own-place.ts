import type { SessionContext } from '../../../src/session/session-context.ts'
import type { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { printable } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Stand } from './claim.ts'
import { type Entry, isForeign } from './entry.ts'
import { approach } from './far-place.ts'
import type { Line } from './line.ts'
import { isFar, type LineReading } from './line-reading.ts'
import { Lines } from './lines.ts'
import { watchOwnKeys } from './own-key-watch.ts'
import { type Place, placeGone } from './place.ts'
import type { Rule } from './rule.ts'

/** Whoever stands in one or several lines at once. */
export interface Standing {
  readonly session: SessionContext
  /** Aborts when nobody waits for it any more. */
  readonly abandoned: LazyAbort
  /** Nobody to wait for in this line any more. */
  turned(place: OwnPlace): void
  failed(error: unknown): void
}

/** How the answer that created a place showed its line: nobody to wait for, few ahead, or more than it shows. */
export type Distance = 'free' | 'near' | 'far'

/** Our place in one line, from before its key is created until it is the turn of it. */
export class OwnPlace implements Place {
  readonly stand: Stand
  readonly rule: Rule
  readonly ours: number
  readonly ttlMs: number
  readonly #standing: Standing
  readonly #lines: Lines
  readonly #line: Line
  #mine: Entry | undefined
  #hasLeft = false
  #keyWatch: { stop(): void } | undefined

  constructor(stand: Stand, standing: Standing, ours = 1) {
    const { engine, ttl } = standing.session
    this.stand = stand
    this.rule = stand.rule
    this.ours = ours
    this.ttlMs = ttl * 1000
    this.#standing = standing
    this.#lines = engine.shared(Lines)
    this.#line = this.#lines.of(stand.prefix, stand.rule.values)
    // Before the request goes out: the watch of a contended line must not end while the answer is on its way.
    this.#line.begin()
  }

  /** Known once the cluster has answered. */
  get mine(): Entry {
    return this.#mine!
  }

  created(mine: Entry): void {
    this.#mine = mine
  }

  /** How the line stands. Throws when the place is already gone, or would wait for its own session. */
  look(reading: LineReading): Distance {
    // An answer may come later than the watch tells what became of its key: nobody would tell it again.
    const goneAt = this.#line.goneAt(this.mine)
    if (goneAt !== undefined) {
      this.#standing.session.doubt()
      throw placeGone(this.mine, goneAt)
    }
    const far = isFar(reading, this.mine)
    if (!far && !reading.entries.some(entry => this.#blocks(entry))) return 'free'
    this.#refuseOwnName(reading)
    return far ? 'far' : 'near'
  }

  /** Its request was answered, and the answer used, or it never will be. */
  answered(): void {
    this.#line.answered()
  }

  /** Waits in the line all sessions of this client share. */
  wait(distance: Distance, reading: LineReading): void {
    if (distance === 'far') void this.#approach().catch(error => this.#standing.failed(error))
    else this.#line.join(this, reading)
  }

  /** Waits no more, whatever came of it. */
  leave(): void {
    this.#hasLeft = true
    this.#keyWatch?.stop()
    this.#line.leave(this)
    this.#line.settle()
  }

  onTurn(): void {
    this.#standing.turned(this)
  }

  onEnd(error: EtcdError): void {
    this.#standing.session.doubt()
    this.#standing.failed(error)
  }

  async #approach(): Promise<void> {
    const { session, abandoned } = this.#standing
    const { prefix } = this.stand
    const { mine, rule, ours, ttlMs } = this
    const look = await approach({
      engine: session.engine,
      prefix,
      rule,
      mine,
      ours,
      ttlMs,
      signal: abandoned.signal,
    })
    if (abandoned.aborted || this.#hasLeft) return
    if (look.kind === 'free') {
      // Behind a crowd it waits for nobody here, though perhaps elsewhere; and it is not in the line, which would tell.
      this.#keyWatch = watchOwnKeys(session, [mine.key], mine.createRevision, error => this.onEnd(error))
      return this.onTurn()
    }
    this.#refuseOwnName(look.reading)
    this.#line.join(this, undefined)
  }

  #blocks(entry: Entry): boolean {
    return entry.createRevision < this.mine.createRevision && this.rule.blocks(entry, this.mine)
  }

  /**
   * Keys ahead that are no places: another's is waited for, as every program with this layout does, and named.
   * One of our own session would keep us waiting for ourselves.
   */
  #refuseOwnName({ entries }: LineReading): void {
    const { prefix, rule } = this.stand
    for (const entry of entries) {
      if (!this.#blocks(entry) || !isForeign(entry, prefix.length, rule.keys)) continue
      if (entry.lease === this.#standing.session.leaseId) throw nameClash(entry, prefix)
      this.#lines.nameForeign(entry, prefix)
    }
  }
}

export function nameClash({ key }: Entry, prefix: Uint8Array): EtcdError {
  return new EtcdError(
    'NAME_CLASH',
    `[NAME_CLASH] this session already has ${printable(key)}, which lies in the line of ${printable(prefix)}: waiting for it would be waiting for itself`,
    { outcome: 'rejected' },
  )
}
