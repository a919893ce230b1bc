import type { Model } from './linearizability.ts'

export type LockInput =
  /** `acquire` waits; `try` is answered `taken` when somebody has it. */
  | { readonly kind: 'acquire' | 'try'; readonly owner: string }
  /** `release` by the owner; `expire` by time: either way the owner has it until then. */
  | { readonly kind: 'release' | 'expire'; readonly owner: string }

export type LockOutput = 'done' | 'taken'

/** A lock that one owner has at a time. The state is the owner; the empty text when it is free. */
export const lockModel: Model<string, LockInput, LockOutput> = {
  initial: '',
  step(holder, { kind, owner }, output) {
    switch (kind) {
      case 'acquire':
      case 'try':
        if (output === 'taken') return holder === '' ? undefined : holder
        if (holder === '') return owner
        // Unheard: an attempt that found it taken changed nothing.
        return output === undefined && kind === 'try' ? holder : undefined
      case 'release':
      case 'expire':
        return holder === owner ? '' : undefined
    }
  },
  key: holder => holder,
}

export type RegisterInput =
  | { readonly kind: 'write'; readonly value: string | undefined }
  | { readonly kind: 'read' }
  | { readonly kind: 'compare-and-set'; readonly expected: string | undefined; readonly value: string }

export type RegisterOutput =
  | { readonly kind: 'written' }
  | { readonly kind: 'found'; readonly value: string | undefined }
  | { readonly kind: 'compared'; readonly succeeded: boolean }

/** One key: what was written last is what is read.. */
export const registerModel: Model<{ readonly value: string | undefined }, RegisterInput, RegisterOutput> = {
  initial: { value: undefined },
  step(state, input, output) {
    switch (input.kind) {
      case 'write':
        return { value: input.value }
      case 'read':
        return output?.kind !== 'found' || output.value === state.value ? state : undefined
      case 'compare-and-set': {
        const succeeds = state.value === input.expected
        if (output?.kind === 'compared' && output.succeeded !== succeeds) return undefined
        return succeeds ? { value: input.value } : state
      }
    }
  },
  key: ({ value }) => (value === undefined ? '' : `=${value}`),
}

export interface IncrementInput {
  readonly kind: 'increment'
}

/**
 * A counter that is read, and written one higher, by whoever has a lock: if the lock excludes, the two are one.
 * A call answers with what it read; an increment that is lost, or done twice, fits into no order.
 */
export const exclusiveCounterModel: Model<number, IncrementInput, number> = {
  initial: 0,
  step: (count, _input, read) => (read === undefined || read === count ? count + 1 : undefined),
  key: count => String(count),
}
