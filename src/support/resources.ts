/** Things opened through something, to be closed with it: the latest first, each once, no failure hiding another. */
export class Resources {
  readonly #open = new Set<AsyncDisposable>()

  attach(resource: AsyncDisposable): void {
    this.#open.add(resource)
  }

  detach(resource: AsyncDisposable): void {
    this.#open.delete(resource)
  }

  get size(): number {
    return this.#open.size
  }

  /** Resolves when all have been disposed of. Rejects with an AggregateError of what went wrong. */
  async disposeAll(): Promise<void> {
    const latestFirst = [...this.#open].reverse()
    this.#open.clear()
    const results = await Promise.allSettled(
      latestFirst.map(async resource => resource[Symbol.asyncDispose]()),
    )
    const errors = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []))
    if (errors.length > 0) throw new AggregateError(errors, 'not everything could be closed in order')
  }
}
