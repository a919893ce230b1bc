import type { Workshop } from './workshop.ts'

/** Something that may notice that the library is broken. */
export interface Killer {
  /** For reports. */
  readonly name: string
  /** Must pass where nothing is broken; learns how long that takes. Resolves with what went wrong, if anything. */
  baseline(workshop: Workshop): Promise<string | undefined>
  attack(workshop: Workshop): Promise<Attack>
}

export type Attack =
  | { readonly kind: 'killed'; readonly by: string; readonly seeds?: number }
  /** With a remark where one is due: how far it looked, or why it does not count. */
  | { readonly kind: 'survived'; readonly remark?: string }
