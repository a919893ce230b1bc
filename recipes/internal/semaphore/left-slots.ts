import { removeKeys } from '../../../src/session/own-key.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import type { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import { described } from '../../contender.ts'
import { slotsWith, type Taken } from './slot-ghosts.ts'
import type { SlotKeys } from './slot-keys.ts'
import type { SlotWish } from './slot-wire.ts'

/**
 * Slots that whoever had the lease of a resumed session before left with it. They are looked for once, before the
 * resumed session takes any of its own; whoever asks for as many as one claim had is given what that had. Of a claim
 * some of whose slots are gone all is lost, and the rest goes: nobody could ever ask for it.
 */
export class LeftSlots {
  readonly #ofSessions = new WeakMap<SessionContext, Map<string, Promise<Taken[]>>>()

  of(session: SessionContext, keys: SlotKeys): Promise<Taken[]> {
    const ofSession = this.#ofSessions.get(session) ?? new Map<string, Promise<Taken[]>>()
    this.#ofSessions.set(session, ofSession)
    const name = mapKey(keys.slots)
    const known = ofSession.get(name)
    if (known !== undefined) return known
    const left = this.#read(session, keys)
    ofSession.set(name, left)
    // Nobody has come further than this, so the next may ask again.
    left.catch(() => ofSession.delete(name))
    return left
  }

  async #read(session: SessionContext, keys: SlotKeys): Promise<Taken[]> {
    const taken = (await slotsWith(session, keys)) ?? []
    for (const rest of taken.filter(isBroken)) clear(session, rest)
    return taken.filter(one => !isBroken(one))
  }
}

function isBroken({ keys, value }: Taken): boolean {
  return keys.length < (described(value, 0).count ?? 0)
}

/**
 * What one claim had, of as many slots as are wanted, the oldest first; nobody else is given it. That they were seen
 * may be long ago, so it is asked whether they are still there. One round trip for each that is looked at.
 */
export async function takeLeft(
  session: SessionContext,
  { keys, count }: SlotWish,
  abandoned: LazyAbort,
): Promise<Taken | undefined> {
  if (!session.resumed) return undefined
  const left = await session.engine.shared(LeftSlots).of(session, keys)
  for (;;) {
    abandoned.throwIfAborted()
    const index = left.findIndex(
      taken => taken.keys.length === count && described(taken.value, 0).count === count,
    )
    const [wanted] = index === -1 ? [] : left.splice(index, 1)
    if (wanted === undefined) return undefined
    const now = await seenBy(session, keys, wanted, abandoned).catch(error => {
      left.unshift(wanted)
      throw error
    })
    if (now?.some(taken => isSame(taken, wanted))) return wanted
    for (const rest of now?.filter(isBroken) ?? []) clear(session, rest)
  }
}

/** What is there of it now. Throws when whoever asks has given up meanwhile. */
async function seenBy(
  session: SessionContext,
  keys: SlotKeys,
  { value }: Taken,
  abandoned: LazyAbort,
): Promise<readonly Taken[] | undefined> {
  const now = await slotsWith(session, keys, value)
  abandoned.throwIfAborted()
  return now
}

function isSame(one: Taken, other: Taken): boolean {
  return one.createRevision === other.createRevision && one.keys.length === other.keys.length
}

function clear(session: SessionContext, { keys, createRevision }: Taken): void {
  session.background(removeKeys(session, keys, createRevision))
}
