/** Work that goes on after whoever asked for it was answered. */
export class Background {
  readonly #work = new Set<Promise<void>>()

  /** It must not reject. */
  add(work: Promise<void>): void {
    this.#work.add(work)
    void work.finally(() => this.#work.delete(work))
  }

  /** Resolves when nothing is under way. What is waited for may bring more. */
  async done(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work)
  }
}
