import type { Entry } from './entry.ts'

/** What distinguishes one recipe that stands in a line from another: whom it waits for. */
export interface Rule {
  /**
   * `ignored`: order alone decides, so writes to keys of the line are kept from us by the server. `read`: values
   * decide, too, and may change while we wait.
   */
  readonly values: 'ignored' | 'read'
  /** Must `mine` wait for `earlier`, which was created before it? */
  blocks(earlier: Entry, mine: Entry): boolean
}

/** A mutex, an election: everybody earlier. */
export const oneAtATime: Rule = { values: 'ignored', blocks: () => true }
