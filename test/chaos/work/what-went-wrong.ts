import { EtcdError } from '../../../src/index.ts'
import type { Outcome } from '../../checkers/history.ts'

/** In a few words without names and numbers, so that equal troubles can be counted. */
export function whatWentWrong(error: unknown): string {
  if (EtcdError.is(error)) {
    const words = error.message.replaceAll(/\b[0-9a-f]{6,}\b|\d+/g, '#').slice(0, 120)
    return `${error.code} (${error.outcome}) ${words}`
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** What a caller may conclude about a write that rejected. */
export function outcomeOf(error: unknown): Outcome {
  return EtcdError.is(error) && error.outcome !== 'unknown' ? 'failed' : 'unknown'
}

export function codeOf(error: unknown): string {
  return EtcdError.is(error) ? error.code : String(error)
}
