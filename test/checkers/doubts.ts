import type { Violation } from './history.ts'

/** What somebody at work wrote down of a call, or of the state of the servers. */
export interface Note {
  /** `shortages`: the database was full. */
  readonly table: string
  readonly id: string
  readonly error?: unknown
  /** It was to be counted exactly once, nobody gave it up, and what became of it was not found out. */
  readonly isInDoubt?: unknown
}

/** What is to be counted exactly once stays in doubt only where there was no room to find it out. */
export function checkDoubts(notes: readonly Note[]): Violation[] {
  if (notes.some(({ table, error }) => table === 'shortages' || error === 'NO_SPACE')) return []
  return notes
    .filter(({ isInDoubt }) => isInDoubt === true)
    .map(({ id, error }) => ({
      rule: 'count-in-doubt',
      message: `${id} was to be counted exactly once and was not found out: ${error ?? 'nobody says why'}`,
      involved: [id],
    }))
}
