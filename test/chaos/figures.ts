/** What was measured, and how it is told. */
export interface Figures {
  readonly n: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Of values without order; the p-th value is the smallest that at least p percent do not exceed. */
export function figuresOf(values: readonly number[]): Figures {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
  return { n: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

export function told({ n, p50, p99, max }: Figures): string {
  return n === 0 ? 'n 0' : `n ${n}, p50 ${inMs(p50)}, p99 ${inMs(p99)}, max ${inMs(max)}`
}

export function inMs(value: number): string {
  return `${Math.abs(value) < 10 ? value.toFixed(1) : Math.round(value)} ms`
}
