/** A range of keys as etcd gets them: an empty end is the single key, one zero byte means "no end". */
export interface Span {
  readonly key: Uint8Array
  readonly end: Uint8Array
}

/**
 * What a request compares or reads, and what it writes, namespace applied. Two requests may travel in one
 * transaction only when no write of one meets the footprint of the other. `alone` never shares one.
 */
export type Footprint = { readonly reads: readonly Span[]; readonly writes: readonly Span[] } | 'alone'
