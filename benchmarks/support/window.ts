/** The measured time of a job, which begins when the warm-up is over, and the durations sampled within it. */
export class Window {
  readonly #seconds: number
  readonly #fromMs: number
  readonly #tillMs: number
  readonly #samples: number[] = []

  constructor({ seconds, warmUp }: { readonly seconds: number; readonly warmUp: number }) {
    this.#seconds = seconds
    this.#fromMs = performance.now() + warmUp * 1000
    this.#tillMs = this.#fromMs + seconds * 1000
  }

  /** Counts what ended at this instant, unless that is outside. */
  sample(tookMs: number, endedAtMs: number): void {
    if (endedAtMs >= this.#fromMs && endedAtMs < this.#tillMs) this.#samples.push(tookMs)
  }

  isOver(atMs: number): boolean {
    return atMs >= this.#tillMs
  }

  get count(): number {
    return this.#samples.length
  }

  times(): { readonly seconds: number; readonly p50Ms: number; readonly p99Ms: number } {
    const sorted = Float64Array.from(this.#samples).sort()
    return { seconds: this.#seconds, p50Ms: percentile(sorted, 50), p99Ms: percentile(sorted, 99) }
  }
}

/** 0 when there are none. */
function percentile(sorted: Float64Array, percent: number): number {
  return sorted[Math.floor(((sorted.length - 1) * percent) / 100)] ?? 0
}
