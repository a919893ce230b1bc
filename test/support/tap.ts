/** The totals of one stream of test results. */
export interface Totals {
  readonly passed: number
  readonly failed: number
  /** Marked to be skipped, or yet to be written. */
  readonly leftOut: number
}

/**
 * Counts the results in the TAP that ava writes, and tells of each failure with the lines that explain it.
 * Feed it whole lines, without their ends.
 */
export class TapReader {
  #passed = 0
  #failed = 0
  #leftOut = 0
  #plan: number | undefined
  #failure: string[] | undefined
  readonly #onFailure: (lines: readonly string[]) => void

  constructor(onFailure: (lines: readonly string[]) => void) {
    this.#onFailure = onFailure
  }

  get totals(): Totals {
    return { passed: this.#passed, failed: this.#failed, leftOut: this.#leftOut }
  }

  /** Ends with its plan, as a stream does that was not broken off. */
  get isWhole(): boolean {
    return this.#plan !== undefined
  }

  line(text: string): void {
    const result = /^(not )?ok \d+(?: - (.*))?$/.exec(text)
    if (result !== null) return this.#result(result[1] === undefined, result[2] ?? '')
    const plan = /^1\.\.(\d+)/.exec(text)
    if (plan !== null) {
      this.#plan = Number(plan[1])
      return this.#tellFailure()
    }
    if (/^\s/.test(text) || text.startsWith('# ')) this.#failure?.push(text)
  }

  /** After the last line. */
  end(): void {
    this.#tellFailure()
  }

  #result(isOk: boolean, title: string): void {
    this.#tellFailure()
    if (/ # (SKIP|TODO)\b/.test(title)) this.#leftOut++
    else if (isOk) this.#passed++
    else {
      this.#failed++
      this.#failure = [title]
    }
  }

  #tellFailure(): void {
    if (this.#failure !== undefined) this.#onFailure(this.#failure)
    this.#failure = undefined
  }
}
