import type { SessionContext } from '../src/session/session-context.ts'
import { checkOptions } from '../src/support/options.ts'
import { type Bytes, mapKey, text, toBytes } from '../src/wire/bytes.ts'
import { Handle, type ReleaseOptions } from './handle.ts'
import { acquire } from './internal/line/acquisition.ts'
import { type Claim, linePrefix, type Wish } from './internal/line/claim.ts'
import { oneAtATime } from './internal/line/rule.ts'
import { tryAcquire } from './internal/line/try-acquire.ts'
import { rules, valueIn } from './internal/read-write/read-write.ts'
import { checkedLock, checkName, type LockOptions } from './lock-options.ts'

/** A name of a {@link Mutex}, or of a {@link RwMutex} with how it is to be locked. */
export type LockName = Bytes | { readonly name: Bytes; readonly mode: 'read' | 'write' }

/** As many keys are created, and as many lines read, in one transaction, and etcd takes 128 operations in one. */
const NAMES_LIMIT = 64

/** Several locks that are ours, all under one token. */
export class JointHold extends Handle {
  /** As they were asked for. */
  readonly names: readonly string[]

  constructor(session: SessionContext, names: readonly string[], claim: Claim) {
    super(session, names.join(', '), claim, 'unlocked')
    this.names = names
  }

  /** As {@link Hold.unlock}, for all of them in one transaction. */
  unlock(options: ReleaseOptions = {}): Promise<void> {
    return this.giveUp(options, 'unlock')
  }
}

/**
 * Several locks at once, all or none, with one place in every line.
 *
 * Keys      those of {@link Mutex} and {@link RwMutex}, created in one transaction, so with one create revision.
 * Steps     1. in one transaction, create all keys if all are absent and read all lines   2. wait in each until it
 *           is our turn   3. ours until unlocked, or until one of them is lost, which loses all
 * Safety    as of each lock; the token is one for all, and `guard()` holds while all of them are ours.
 * Liveness  everybody waits for smaller create revisions only, and ours are the same in every line: whatever sets
 *           overlap, nobody waits in a circle, and nobody needs to agree on an order of names. In each line, first
 *           come, first served, with whoever wants that lock alone, in any language.
 * Not       safe against a circle of your own making: who holds one lock and asks for another may wait for somebody
 *           who does it the other way round. A set that waits for one lock keeps those behind it waiting for the
 *           others.
 * Cost      free: 1 round trip to lock, 1 to unlock, whatever the number. Contended: none after the last release.
 */
export async function lockAll(
  session: SessionContext,
  names: readonly LockName[],
  options: LockOptions = {},
): Promise<JointHold> {
  const { signal } = checkedLock(options, 'lockAll')
  const wishes = wishesOf(session, names, 'lockAll')
  return new JointHold(session, names.map(wordsOf), await acquire(session, wishes, signal))
}

/**
 * Resolves with all locks if nobody is to be waited for in any line, else with undefined, and nothing was written.
 * One round trip; two for more than two locks to read, or for one among more than thirty.
 */
export async function tryLockAll(
  session: SessionContext,
  names: readonly LockName[],
  options: LockOptions = {},
): Promise<JointHold | undefined> {
  const { signal } = checkedLock(options, 'tryLockAll')
  const wishes = wishesOf(session, names, 'tryLockAll')
  const words = names.map(wordsOf)
  const claim = await tryAcquire(session, wishes, signal)
  return claim === undefined ? undefined : new JointHold(session, words, claim)
}

function wishesOf(session: SessionContext, names: readonly LockName[], where: string): readonly Wish[] {
  if (!Array.isArray(names) || names.length === 0)
    throw new TypeError(`${where} takes a list of at least one name`)
  if (names.length > NAMES_LIMIT)
    throw new RangeError(`${where} takes up to ${NAMES_LIMIT} names at once, not ${names.length}`)
  const wishes = names.map(wanted => wishOf(session, wanted, where))
  const prefixes = new Set(wishes.map(({ prefix }) => mapKey(prefix)))
  if (prefixes.size < wishes.length) throw new RangeError(`${where} was given a name twice`)
  return wishes
}

function wishOf(session: SessionContext, wanted: LockName, where: string): Wish {
  const place = session.placeValue()
  if (typeof wanted === 'string' || wanted instanceof Uint8Array)
    return { prefix: linePrefix(session.space, checkName(wanted)), rule: oneAtATime, value: place }
  const given = typeof wanted === 'object' ? wanted : null
  const { name, mode } = checkOptions(given ?? { name: '', mode: undefined }, ['name', 'mode'], where)
  if (mode !== 'read' && mode !== 'write')
    throw new TypeError(`${where} takes names, or { name, mode } with mode 'read' or 'write'`)
  return {
    prefix: linePrefix(session.space, checkName(name)),
    rule: rules[mode],
    value: valueIn(mode, place),
  }
}

function wordsOf(wanted: LockName): string {
  return text(toBytes(typeof wanted === 'object' && 'name' in wanted ? wanted.name : wanted))
}
