import type { Term } from './lead-term.ts'

/** How it stands with one who leads, or wants to. */
export type LeadState =
  /** Stands for election. */
  | { readonly kind: 'campaigning' }
  /** Its function runs. */
  | { readonly kind: 'leading'; readonly term: Term }
  /** The signal of the term has aborted, for this reason, and its function has not settled. */
  | { readonly kind: 'draining'; readonly term: Term; readonly reason: unknown }
  /** Waits before it stands again, and, if something went wrong, why. */
  | { readonly kind: 'resting'; readonly ms: number; readonly error: unknown }
  /** Its health check has not said yes: it does not stand for election. */
  | { readonly kind: 'unhealthy' }
  /** For good. */
  | { readonly kind: 'stopped' }
