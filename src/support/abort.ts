import { setMaxListeners } from 'node:events'

/**
 * Abort signals without their traps on Node 20: `AbortSignal.any` keeps memory for every call made with a
 * long-lived signal, and more than ten listeners on one signal print a warning.
 */

/** Runs `action` once when the signal aborts, at once if it already has. Returns how to stop waiting for that. */
export function onAbort(signal: AbortSignal | undefined, action: (reason: unknown) => void): () => void {
  if (signal === undefined) return noop
  if (signal.aborted) {
    action(signal.reason)
    return noop
  }
  const listener = () => action(signal.reason)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

/** A controller whose signal any number of holders may listen to. */
export function quietController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}

/**
 * One listener per foreign signal, however many calls wait on it: a caller that hands the same signal to ten
 * thousand calls sees one listener on it, and none once they have settled.
 */
export class AbortFanOut {
  readonly #entries = new WeakMap<AbortSignal, Set<(reason: unknown) => void>>()

  /** As `onAbort`, sharing the listener. */
  on(signal: AbortSignal | undefined, action: (reason: unknown) => void): () => void {
    if (signal === undefined) return noop
    if (signal.aborted) {
      action(signal.reason)
      return noop
    }
    let actions = this.#entries.get(signal)
    if (actions === undefined) {
      actions = new Set()
      this.#entries.set(signal, actions)
      this.#listen(signal, actions)
    }
    const listening = actions
    // A function of its own per registration: the same action may be registered twice.
    const entry = (reason: unknown) => action(reason)
    listening.add(entry)
    return () => {
      if (!listening.delete(entry) || listening.size > 0 || this.#entries.get(signal) !== listening) return
      this.#entries.delete(signal)
      this.#unlisten(signal, listening)
    }
  }

  readonly #listeners = new WeakMap<Set<unknown>, () => void>()

  #listen(signal: AbortSignal, actions: Set<(reason: unknown) => void>): void {
    const listener = () => {
      this.#entries.delete(signal)
      for (const action of [...actions]) {
        actions.delete(action)
        action(signal.reason)
      }
    }
    this.#listeners.set(actions, listener)
    signal.addEventListener('abort', listener, { once: true })
  }

  #unlisten(signal: AbortSignal, actions: Set<unknown>): void {
    const listener = this.#listeners.get(actions)
    if (listener !== undefined) signal.removeEventListener('abort', listener)
  }
}

function noop(): void {}
