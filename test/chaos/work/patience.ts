/** Why somebody at work gives up. */
export class EnoughWaited extends Error {
  override readonly name = 'EnoughWaited'
}

/** A signal that aborts after so long, or as soon as everybody is to rest. */
export class Patience implements Disposable {
  readonly #leaving = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #resting: AbortSignal | undefined
  readonly #leave: () => void = () => this.#leaving.abort(new EnoughWaited())

  constructor(ms: number, resting?: AbortSignal) {
    this.#timer = setTimeout(this.#leave, ms)
    this.#resting = resting
    if (resting?.aborted) this.#leave()
    resting?.addEventListener('abort', this.#leave, { once: true })
  }

  get signal(): AbortSignal {
    return this.#leaving.signal
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#resting?.removeEventListener('abort', this.#leave)
  }
}
