import type { SessionContext } from '../../../src/session/session-context.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { orAborted } from '../signals.ts'
import { entryOf, isForeign } from './entry.ts'
import { readWholeLine } from './line-reading.ts'
import type { Rule } from './rule.ts'

/** Places left in one line, as far as they concern one wish. */
export interface Left {
  /** Those that are what is wanted, the oldest first. */
  readonly wanted: readonly Pick<KeyValue, 'key' | 'createRevision'>[]
  /** All of them, by their names: whoever wants something else keeps out of their way. */
  readonly names: ReadonlySet<string>
}

/**
 * Places that whoever had the lease of a resumed session before left in lines where a session may stand more than
 * once.
 *
 * Where it may stand once its key has one name, and whoever is about to create it finds it. Here the keys are
 * numbered, so they are looked for, once in each line, before the resumed session stands in it.
 */
export class LeftPlaces {
  readonly #ofSessions = new WeakMap<SessionContext, Map<string, Promise<readonly KeyValue[]>>>()

  of(session: SessionContext, prefix: Uint8Array): Promise<readonly KeyValue[]> {
    const ofSession = this.#ofSessions.get(session) ?? new Map<string, Promise<readonly KeyValue[]>>()
    this.#ofSessions.set(session, ofSession)
    const name = mapKey(prefix)
    const places = ofSession.get(name) ?? readOwnPlaces(session, prefix)
    ofSession.set(name, places)
    // Nobody has come further than this, so the next may ask again.
    places.catch(() => ofSession.delete(name))
    return places
  }
}

/**
 * What was left for each of these wishes; nothing where the session may stand once. Of several lines only what was
 * created in all of them at once is wanted. One round trip for each line, the first time.
 */
export async function leftFor<Wish extends { readonly prefix: Uint8Array; readonly rule: Rule }>(
  session: SessionContext,
  wishes: readonly Wish[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<Wish, Left>> {
  const numbered = wishes.filter(({ rule }) => rule.keys === 'many')
  if (numbered.length === 0) return new Map()
  const places = session.engine.shared(LeftPlaces)
  const reading = Promise.all(numbered.map(({ prefix }) => places.of(session, prefix)))
  const all = await orAborted(session.engine, [signal, session.closing], reading)
  session.assertOpen()
  const adoptable = numbered.map(({ rule }, index) => all[index]!.filter(({ value }) => rule.adopts(value)))
  const isEverywhere = ({ createRevision }: KeyValue) =>
    adoptable.every(kvs => kvs.some(kv => kv.createRevision === createRevision))
  return new Map(
    numbered.map((wish, index) => [
      wish,
      {
        wanted: adoptable[index]!.filter(isEverywhere),
        names: new Set(all[index]!.map(({ key }) => mapKey(key))),
      },
    ]),
  )
}

/** The places on the lease of this session, the oldest first. One round trip. */
async function readOwnPlaces(
  { engine, leaseId }: SessionContext,
  prefix: Uint8Array,
): Promise<readonly KeyValue[]> {
  const kvs = await readWholeLine(engine, prefix)
  return kvs.filter(kv => kv.lease === leaseId && !isForeign(entryOf(kv), prefix.length, 'many'))
}
