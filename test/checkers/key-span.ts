/** One key, or from a key up to another. Names are latin1, so their order as text is that of their bytes. */
export interface KeySpan {
  readonly from: string
  /** Exclusive; absent for one key; the zero byte for everything from `from` on. */
  readonly to?: string
}

export function contains({ from, to }: KeySpan, key: string): boolean {
  if (to === undefined) return key === from
  return key >= from && (to === '\0' || key < to)
}
