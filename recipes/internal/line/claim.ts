import { type OwnKey, removeKeys, type Turn } from '../../../src/session/own-key.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { compareBytes, concat, equalBytes, hexOfLease, mapKey, toBytes } from '../../../src/wire/bytes.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { Entry } from './entry.ts'
import { type Left, leftFor } from './left-places.ts'
import type { Rule } from './rule.ts'

/** What is asked of one line: to stand in it under this rule, with this value. */
export interface Wish {
  /** All keys of the line begin with it, as etcd has them. */
  readonly prefix: Uint8Array
  readonly rule: Rule
  readonly value: Uint8Array
}

/** A wish with the key that will stand for it. Nobody else of this session deals with that key. */
export interface Stand extends Wish {
  readonly own: OwnKey
  readonly turn: Turn
  /**
   * May a key that is there be of an attempt before this one? Where many may hold together others can have come and
   * gone since, with larger tokens, so it is nothing to take over. Absent where one holds at a time.
   */
  readonly haunted?: boolean
  /** The creation of the key that was left on a lease that was resumed: of all that may be there, this is no ghost. */
  readonly left?: bigint | undefined
}

/** Own keys at the head of their lines, created together, and what goes with them until they are given up. */
export interface Claim {
  readonly stands: readonly Stand[]
  readonly createRevision: bigint
  /** The keys were there already: left by an attempt without an answer, or by whoever had the lease before. */
  readonly adopted: boolean
}

const SLASH = Uint8Array.of(0x2f)

/** What a line is called in etcd: Go's layout puts a slash behind the name, whatever it ends in. */
export function linePrefix(space: SessionContext['space'], name: Uint8Array): Uint8Array {
  return space.key(concat(name, SLASH))
}

/** The key a session has in a line where it may stand once. */
export function placeKey(prefix: Uint8Array, leaseId: bigint): Uint8Array {
  return concat(prefix, toBytes(hexOfLease(leaseId)))
}

/**
 * Waits for this session's own turn in every line, in the order of the keys: tasks of one session that want
 * several of them can never wait for one another in a circle.
 */
export async function takeTurns(
  session: SessionContext,
  wishes: readonly Wish[],
  signal: AbortSignal | undefined,
): Promise<readonly Stand[]> {
  const stands: Stand[] = []
  const left = session.resumed ? await leftFor(session, wishes, signal) : undefined
  try {
    for (const wish of inOrder(session, wishes)) {
      const now = tryTurn(session, wish, left?.get(wish))
      if (now !== undefined) stands.push(now)
      else {
        const own = session.ownKeys.of(placeKey(wish.prefix, session.leaseId))
        for (const stand of stands) stand.own.rest()
        stands.push({ ...wish, own, turn: await own.enter(signal) })
        for (const stand of stands) stand.own.goOn()
      }
    }
    return stands
  } catch (error) {
    endTurns(stands)
    throw error
  }
}

/** All turns, if nobody of this session has one of them or waits for it. */
export function tryTurns(
  session: SessionContext,
  wishes: readonly Wish[],
  left: ReadonlyMap<Wish, Left> | undefined,
): readonly Stand[] | undefined {
  const stands: Stand[] = []
  for (const wish of inOrder(session, wishes)) {
    const stand = tryTurn(session, wish, left?.get(wish))
    if (stand === undefined) {
      endTurns(stands)
      return undefined
    }
    stands.push(stand)
  }
  return stands
}

/** May an own key that is there already be taken over? It is what is wanted, and its token was never given. */
export function mayTakeOver(
  stand: Stand,
  { createRevision, value }: Pick<Entry, 'createRevision' | 'value'>,
): boolean {
  return !isGhost(stand, createRevision) && stand.own.mayAdopt(createRevision) && stand.rule.adopts(value)
}

/** Was it, or may it have been, created by an attempt before this one that nobody waits for? */
export function isGhost({ haunted = false, left }: Stand, createRevision: bigint): boolean {
  return haunted && createRevision !== left
}

export function endTurns(stands: readonly Stand[]): void {
  for (const { turn } of stands) turn.end()
}

function tryTurn({ ownKeys, leaseId, resumed }: SessionContext, wish: Wish, left?: Left): Stand | undefined {
  const key = placeKey(wish.prefix, leaseId)
  if (wish.rule.keys === 'one') {
    const own = ownKeys.of(key)
    const turn = own.tryEnter()
    return turn === undefined ? undefined : { ...wish, own, turn }
  }
  for (const wanted of left?.wanted ?? []) {
    const stand = standIf(ownKeys.of(wanted.key), wish, { resumed, left: wanted.createRevision })
    if (stand !== undefined) return stand
  }
  // The lowest number nobody uses: there are never more keys than tasks that stand in the line at once.
  for (let number = 1; ; number++) {
    const numbered = concat(key, toBytes(`-${number}`))
    if (left?.names.has(mapKey(numbered))) continue
    const stand = standIf(ownKeys.of(numbered), wish, { resumed, left: undefined })
    if (stand !== undefined) return stand
  }
}

function standIf(
  own: OwnKey,
  wish: Wish,
  { resumed, left }: { readonly resumed: boolean; readonly left: bigint | undefined },
): Stand | undefined {
  // Of what whoever had the lease before has asked for without an answer we know nothing.
  const haunted = own.isHaunted || resumed
  const turn = own.tryEnter()
  return turn === undefined ? undefined : { ...wish, own, turn, haunted, left }
}

function inOrder({ leaseId }: SessionContext, wishes: readonly Wish[]): readonly Wish[] {
  if (wishes.length < 2) return wishes
  const keyed = wishes.map(wish => ({ wish, key: placeKey(wish.prefix, leaseId) }))
  return keyed.sort((a, b) => compareBytes(a.key, b.key)).map(({ wish }) => wish)
}

/** Reads the answer to an attempt to create the keys. One that makes no sense leaves open whether they will exist. */
export function understood<Reading>(stands: readonly Stand[], read: () => Reading): Reading {
  try {
    return read()
  } catch (error) {
    unanswered(stands)
    throw error
  }
}

/** An attempt to create the keys got no answer: they may appear any time. */
export function unanswered(stands: readonly Stand[]): void {
  for (const { own } of stands) own.unanswered()
}

/** Gives a claim up, in one request. Resolves when its keys are known to be gone; `refused` is told if the cluster will not delete them. */
export async function giveUp(
  session: SessionContext,
  { stands, createRevision }: Pick<Claim, 'stands' | 'createRevision'>,
  refused?: (error: EtcdError) => void,
): Promise<void> {
  const [first] = stands
  if (stands.length === 1 && first !== undefined) await first.own.remove(createRevision, refused)
  else {
    const keys = stands.map(({ own }) => own.key)
    await removeKeys(session, keys, createRevision, refused)
  }
  endTurns(stands)
}

/** How many of these keys, in the order of their bytes, lie in the line of this one: others do if their name is below its own. */
export function oursInLine(stands: readonly Stand[], index: number): number {
  const { prefix } = stands[index]!
  const isOutside = ({ own }: Stand) => !equalBytes(own.key.subarray(0, prefix.length), prefix)
  const before = stands.slice(0, index).findLastIndex(isOutside)
  const behind = stands.slice(index).findIndex(isOutside)
  return (behind < 0 ? stands.length : index + behind) - before - 1
}

/** The keys of a claim, those in one line together. */
export function keysByLine({ stands }: Claim): readonly (readonly Uint8Array[])[] {
  const lines = new Map<string, Uint8Array[]>()
  for (const { prefix, own } of stands) {
    const name = mapKey(prefix)
    const keys = lines.get(name)
    if (keys === undefined) lines.set(name, [own.key])
    else keys.push(own.key)
  }
  return [...lines.values()]
}

/** An attempt to get a claim that can be left alone half-way. */
export interface Attempt<Result extends Claim | undefined> {
  /** Leaves nothing behind when it rejects, though it may still be busy with that in the background. */
  run(): Promise<Result>
  /** Nobody waits for it any more. */
  abandon(reason: unknown): void
}

/**
 * Waits for an attempt until the caller or the session gives up; that rejects at once, and the session remembers
 * what is still to be put in order.
 */
export function untilGivenUp<Result extends Claim | undefined>(
  session: SessionContext,
  attempt: Attempt<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    let waiting = true
    let stopListening = () => {}
    const running = attempt.run()
    const leave = (reason: unknown) => {
      if (!waiting) return
      waiting = false
      stopListening()
      attempt.abandon(reason)
      // It may be granted all the same, in this very turn of the event loop.
      session.background(
        running.then(claim => (claim === undefined ? undefined : giveUp(session, claim))).catch(() => {}),
      )
      reject(reason)
    }
    const stopCaller = session.engine.aborts.on(signal, leave)
    const stopSession = session.engine.aborts.on(session.closing, leave)
    stopListening = () => {
      stopCaller()
      stopSession()
    }
    // A signal that had aborted already was told before there was anything to stop.
    if (!waiting) stopListening()
    running.then(
      claim => {
        if (!waiting) return
        waiting = false
        stopListening()
        resolve(claim)
      },
      error => {
        if (!waiting) return
        waiting = false
        stopListening()
        reject(error)
      },
    )
  })
}

/** The error of a failed claim, after the session was told if its lease is gone. */
export function claimFailed(session: SessionContext, error: unknown): unknown {
  if (!EtcdError.is(error, 'LEASE_NOT_FOUND')) return error
  session.leaseGone(error)
  return session.signal.aborted ? session.signal.reason : error
}
