import type { TimeSpan } from './belief.ts'
import type { Promptness } from './turns.ts'

/**
 * When somebody who came to a gate was to be let through: at once if it was open, else when it opened. Undefined where
 * nobody can say how it found the gate: it changed before it must have looked, or never opened.
 */
export function turnAt(
  open: readonly TimeSpan[],
  cameAt: number,
  promptness: Promptness,
): number | undefined {
  const { from, graceMs, withinMs } = promptness
  const lookedBy = Math.max(cameAt + withinMs, from + graceMs)
  const first = open.find(({ until }) => until > cameAt)
  if (first === undefined) return undefined
  if (first.from <= cameAt) return first.until >= lookedBy ? cameAt : undefined
  return first.from >= lookedBy ? first.from : undefined
}
