import type { OwnKey, Turn } from '../../src/session/own-key.ts'
import type { SessionContext } from '../../src/session/session-context.ts'
import { concat, hexOfLease, toBytes } from '../../src/wire/bytes.ts'
import { EtcdError } from '../../src/wire/errors.ts'

/** Where a recipe's line is: the prefix all of its keys share, and the key of this session in it, as etcd has them. */
export interface LineName {
  readonly prefix: Uint8Array
  readonly key: Uint8Array
}

const SLASH = Uint8Array.of(0x2f)

/** What a line is called in etcd: Go's layout puts a slash behind the name, whatever it ends in. */
export function linePrefix(space: SessionContext['space'], name: Uint8Array): Uint8Array {
  return space.key(concat(name, SLASH))
}

export function lineName({ space, leaseId }: SessionContext, name: Uint8Array): LineName {
  const prefix = linePrefix(space, name)
  return { prefix, key: concat(prefix, toBytes(hexOfLease(leaseId))) }
}

/** An own key at the head of its line, and what goes with it until it is given up. */
export interface Claim {
  readonly own: OwnKey
  readonly createRevision: bigint
  /** To be ended when the deletion of the key is known: then the next task of this session may try. */
  readonly turn: Turn
}

/** Reads the answer to an attempt to create the key. One that makes no sense leaves open whether the key will exist. */
export function understood<Reading>(own: OwnKey, read: () => Reading): Reading {
  try {
    return read()
  } catch (error) {
    own.unanswered()
    throw error
  }
}

/** Gives a claim up. Resolves when the key is known to be gone; `refused` is told if the cluster will not delete it. */
export async function giveUp(
  { own, createRevision, turn }: Claim,
  refused?: (error: EtcdError) => void,
): Promise<void> {
  await own.remove(createRevision, refused)
  turn.end()
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
        running.then(claim => (claim === undefined ? undefined : giveUp(claim))).catch(() => {}),
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
