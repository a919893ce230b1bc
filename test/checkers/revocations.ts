import { hexOfLease } from '../../src/wire/bytes.ts'
import { deletionOf } from './deletion-of.ts'
import type { History, Violation } from './history.ts'

/** A holder that was asked to unlock, by somebody who had the answer at a time. */
export interface Revocation {
  readonly key: string
  readonly token: bigint
  readonly askedAt: number
}

export interface RevocationUse {
  readonly revocations: readonly Revocation[]
  /** How long the news takes at most, where nothing holds it up. */
  readonly soonMs: number
  /** How much longer it may take where somebody may have stood still, beside the time that he stood. */
  readonly heldUpMs: number
  /** Processes crash or stop: any holder may be one of them. */
  readonly isAnyoneStruck: boolean
  /** Leases that were left to whoever goes on with them. */
  readonly left: readonly bigint[]
}

/** Holders that are asked to unlock let go, where nothing keeps the news from them, and their leases were left to nobody. */
export function checkRevocations(
  { log, stalls, interventions }: Pick<History, 'log' | 'stalls' | 'interventions'>,
  { revocations, soonMs, heldUpMs, isAnyoneStruck, left }: RevocationUse,
): Violation[] {
  const places = left.map(hexOfLease)
  const stoodMs = stalls.reduce((sum, { from, until }) => sum + until - from, 0)
  return revocations.flatMap(({ key, token, askedAt }) => {
    if (places.some(place => key.endsWith(place))) return []
    const taken = interventions.find(
      ({ kind, keys, revision }) => kind === 'key-overwritten' && keys.includes(key) && revision > token,
    )
    // What somebody has written over is no holder's any more, however long it stays.
    const goneAt = Math.min(deletionOf(log, key, token)?.at ?? Infinity, taken?.at ?? Infinity)
    const isHeldUp =
      isAnyoneStruck || stalls.some(({ from, until }) => from < askedAt + soonMs && until > askedAt)
    const atLatest = askedAt + soonMs + (isHeldUp ? heldUpMs + stoodMs : 0)
    if (goneAt <= atLatest) return []
    return [
      {
        rule: 'revocation-unheard',
        message: `${key} with token ${token} was asked for until ${askedAt} and held until ${goneAt}.`,
        involved: [],
      },
    ]
  })
}
