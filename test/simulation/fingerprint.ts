import { createHash } from 'node:crypto'
import type { Violation } from '../checkers/history.ts'
import type { Played } from './play.ts'

/** Of all that came of a play: what happened when, what everybody wrote down of it, and what is wrong with it. */
export function fingerprintOf(played: Played, violations: readonly Violation[]): string {
  const { hash, history, sessions, transactions } = played
  const words = JSON.stringify([hash, history, sessions, transactions, violations], asWords)
  return createHash('sha256').update(words).digest('hex').slice(0, 12)
}

/** What JSON has no words for, or the same as for something else. */
function asWords(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Map) return [...value]
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}
