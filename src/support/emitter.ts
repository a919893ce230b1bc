import { EventEmitter } from 'eventemitter3'
import type { Runtime } from './runtime.ts'

/**
 * Listeners for the outside, one payload per event. A listener that throws cannot harm the engine that emits:
 * its error surfaces on its own turn, as an uncaught exception would.
 */
export class Emitter<Events extends Record<string, unknown>> {
  readonly #emitter = new EventEmitter()
  readonly #runtime: Runtime

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** Returns how to stop listening. */
  on<Name extends keyof Events & string>(name: Name, listener: (payload: Events[Name]) => void): () => void {
    if (typeof listener !== 'function') throw new TypeError(`on: the listener of '${name}' is a function`)
    const guarded = (payload: Events[Name]) => {
      try {
        listener(payload)
      } catch (error) {
        this.#runtime.defer(() => {
          throw error
        })
      }
    }
    this.#emitter.on(name, guarded)
    return () => void this.#emitter.off(name, guarded)
  }

  /** Was anybody listening? */
  emit<Name extends keyof Events & string>(name: Name, payload: Events[Name]): boolean {
    return this.#emitter.emit(name, payload)
  }
}
