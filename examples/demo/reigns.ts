import type { ElectionView } from '../../src/index.ts'

export interface Reign {
  readonly name: string
  readonly token: bigint
}

/** Everybody who has led, as whoever observes the election is told. */
export class Reigns {
  readonly #stopped = new AbortController()
  readonly #observing: Promise<void>
  readonly #began: (name: string, token: bigint) => void
  #all: Reign[] = []
  #present: Reign | undefined
  #waiting: (() => void)[] = []

  constructor(election: ElectionView, began: (name: string, token: bigint) => void) {
    this.#began = began
    this.#observing = this.#observe(election).catch(error => {
      if (!this.#stopped.signal.aborted) throw error
    })
  }

  get count(): number {
    return this.#all.length
  }

  /** Had each leader a larger token than the one before? */
  get inOrder(): boolean {
    return this.#all.every(({ token }, index) => index === 0 || token > this.#all[index - 1]!.token)
  }

  /** Resolves with who leads, when somebody does. */
  leader(): Promise<Reign> {
    return this.after(0n)
  }

  /** Resolves with the present leader, once it is one who came later. */
  async after(token: bigint): Promise<Reign> {
    for (;;) {
      if (this.#present !== undefined && this.#present.token > token) return this.#present
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }

  async close(): Promise<void> {
    this.#stopped.abort()
    await this.#observing
  }

  async #observe(election: ElectionView): Promise<void> {
    for await (const leader of election.observe({ signal: this.#stopped.signal })) {
      this.#present = leader && { name: leader.text(), token: leader.createRevision }
      if (this.#present !== undefined && this.#present.token !== this.#all.at(-1)?.token) {
        this.#all.push(this.#present)
        this.#began(this.#present.name, this.#present.token)
      }
      for (const wake of this.#waiting.splice(0)) wake()
    }
  }
}
