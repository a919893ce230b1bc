import { printable } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Entry } from './entry.ts'
import type { Rule } from './rule.ts'

/**
 * One place in a line that is waiting for its turn. Its set of earlier entries only shrinks: whoever comes later
 * is created later.
 */
export interface Place {
  readonly mine: Entry
  readonly rule: Rule
  /** How many keys of its creation stand in the line, its own among them: more where others of a set lie below its name. */
  readonly ours: number
  /** How long after its owner's death the server may keep the place, in milliseconds. */
  readonly ttlMs: number
  /** Nobody to wait for any more; as far as the line knows, the place still exists. */
  onTurn(): void
  /** It will never be its turn: the place is gone, or nobody can tell. */
  onEnd(error: EtcdError): void
}

/** What a place waits for: earlier entries as they stood at a revision, less those known to be gone since. */
export class Ahead {
  readonly #mine: Entry
  readonly #rule: Rule
  readonly #entries = new Map<string, Entry>()
  #readAt = 0n

  constructor(mine: Entry, rule: Rule) {
    this.#mine = mine
    this.#rule = rule
  }

  /** The revision the set was read at: an event counts only above it. */
  get readAt(): bigint {
    return this.#readAt
  }

  /** Starts over from the line as it stood at this revision. */
  read(revision: bigint, line: readonly Entry[]): void {
    this.#readAt = revision
    this.#entries.clear()
    for (const entry of line) {
      if (entry.createRevision < this.#mine.createRevision) this.#entries.set(entry.name, entry)
    }
  }

  deleted(name: string, revision: bigint): void {
    if (revision > this.#readAt) this.#entries.delete(name)
  }

  /** An entry got another value. It keeps its place, for a write does not change the create revision. */
  written(entry: Entry, revision: bigint): void {
    const known = this.#entries.get(entry.name)
    if (revision > this.#readAt && known?.createRevision === entry.createRevision)
      this.#entries.set(entry.name, entry)
  }

  get isFree(): boolean {
    for (const entry of this.#entries.values()) {
      if (this.#rule.blocks(entry, this.#mine)) return false
    }
    return true
  }
}

/** The place of a waiter, or the key of a holder, was deleted, by somebody else or with its lease. */
export function placeGone({ key }: Pick<Entry, 'key'>, revision: bigint): EtcdError {
  return new EtcdError(
    'LOCK_LOST',
    `[LOCK_LOST] ${printable(key)} is gone, seen at revision ${revision}: its lease has ended, or somebody else deleted it`,
    {
      outcome: 'rejected',
    },
  )
}

/** Somebody wrote our key without its lease: it would outlive us, so it is no claim of ours any more. */
export function placeTaken({ key }: Pick<Entry, 'key'>): EtcdError {
  return new EtcdError(
    'LOCK_LOST',
    `[LOCK_LOST] ${printable(key)} was overwritten by somebody else and taken off its lease`,
    {
      outcome: 'rejected',
    },
  )
}
