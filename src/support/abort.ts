import { setMaxListeners } from 'node:events'

/**
 * Abort signals without their traps on Node 20: `AbortSignal.any` keeps memory for every call made with a
 * long-lived signal, and more than ten listeners on one signal print a warning.
 */

/** For `addEventListener`, which would otherwise read a `signal` out of a polluted `Object.prototype`. */
export const ONCE: { readonly once: true } = Object.freeze(Object.assign(Object.create(null), { once: true }))

/** Runs `action` once when the signal aborts, at once if it already has. Returns how to stop waiting for that. */
export function onAbort(signal: AbortSignal | undefined, action: (reason: unknown) => void): () => void {
  if (signal === undefined) return noop
  if (signal.aborted) {
    action(signal.reason)
    return noop
  }
  const listener = () => action(signal.reason)
  signal.addEventListener('abort', listener, ONCE)
  return () => signal.removeEventListener('abort', listener)
}

/** A controller whose signal any number of holders may listen to. */
export function quietController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

/** Those waiting for one signal, and how to stop listening to it. */
interface Listening {
  readonly actions: Set<(reason: unknown) => void>
  /** Absent for a signal of our own, which is listened to for as long as it lives. */
  readonly stop: (() => void) | undefined
}

/**
 * One listener per signal, however many calls wait on it: a caller that hands the same signal to ten thousand
 * calls sees one listener on it, and none once they have settled. Signals of our own, which every call waits on,
 * are listened to once and for all.
 */
export class AbortFanOut {
  readonly #entries = new WeakMap<AbortSignal, Listening>()

  /** Has the listener of this signal stay between two waits. It goes with the signal. */
  keep(signal: AbortSignal): void {
    if (!signal.aborted && !this.#entries.has(signal)) this.#listen(signal, 'kept')
  }

  /** As `onAbort`, sharing the listener. */
  on(signal: AbortSignal | undefined, action: (reason: unknown) => void): () => void {
    if (signal === undefined) return noop
    if (signal.aborted) {
      action(signal.reason)
      return noop
    }
    const { actions, stop } = this.#entries.get(signal) ?? this.#listen(signal, 'while-needed')
    // A function of its own per registration: the same action may be registered twice.
    const entry = (reason: unknown) => action(reason)
    actions.add(entry)
    return () => {
      if (actions.delete(entry) && actions.size === 0) stop?.()
    }
  }

  #listen(signal: AbortSignal, how: 'kept' | 'while-needed'): Listening {
    const actions = new Set<(reason: unknown) => void>()
    const listener = () => {
      this.#entries.delete(signal)
      // One who is told may have another stop listening.
      for (const action of [...actions]) if (actions.delete(action)) action(signal.reason)
    }
    signal.addEventListener('abort', listener, ONCE)
    const listening: Listening = {
      actions,
      stop:
        how === 'kept'
          ? undefined
          : () => {
              if (this.#entries.get(signal) !== listening) return
              this.#entries.delete(signal)
              signal.removeEventListener('abort', listener)
            },
    }
    this.#entries.set(signal, listening)
    return listening
  }
}

function noop(): void {}
