import { quietController } from './abort.ts'

/**
 * Something that can be given up, whose signal is made for whoever asks for it. Making a signal, aborting it and
 * capturing the stack of its reason cost more than everything else a short hold does.
 */
export class LazyAbort {
  #controller: AbortController | undefined
  #why: (() => unknown) | undefined

  /** As that of an AbortController; any number of holders may listen. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = quietController()
      if (this.#why !== undefined) this.#controller.abort(this.#why())
    }
    return this.#controller.signal
  }

  get aborted(): boolean {
    return this.#why !== undefined
  }

  /** Once: later reasons are not heard. */
  abort(why: () => unknown): void {
    if (this.#why !== undefined) return
    this.#why = why
    this.#controller?.abort(why())
  }

  throwIfAborted(): void {
    if (this.#why !== undefined) throw this.signal.reason
  }
}
