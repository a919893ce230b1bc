import { deletionOf } from './deletion-of.ts'
import type { Acquisition, History, Violation } from './history.ts'
import { checkTokens } from './tokens.ts'

/** Permits that were had with one call, and how long their owner believed in them. */
export interface PermitGrant
  extends Pick<Acquisition, 'id' | 'process' | 'line' | 'invokedAt' | 'settledAt' | 'diedAt' | 'resumes'> {
  readonly keys: readonly string[]
  readonly token: bigint
  readonly believedUntil: number
}

/** Whoever believes that it has a permit has it, at every instant; and no permit is given twice. */
export function checkPermitBeliefs(history: History, grants: readonly PermitGrant[]): Violation[] {
  return [
    ...checkTokens({ ...history, acquisitions: grants.map(asAcquisition) }),
    ...grants.flatMap(grant => grant.keys.flatMap(key => beyond(grant, key, history))),
  ]
}

function asAcquisition({ keys, believedUntil: _, ...rest }: PermitGrant): Acquisition {
  return { ...rest, outcome: 'ok', key: keys[0]! }
}

function beyond(grant: PermitGrant, key: string, history: History): Violation[] {
  const { id, process, token, keys, diedAt = Infinity } = grant
  const created = history.log.find(({ revision }) => revision === token)
  if (!created?.changes.some(change => change.kind === 'put' && change.key === key))
    return [
      {
        rule: 'permit-never-given',
        message: `${process} was given ${key} with token ${token}, which the server did not write.`,
        involved: [id],
      },
    ]
  const goneAt = deletionOf(history.log, key, token)?.at ?? Infinity
  const believedUntil = Math.min(grant.believedUntil, diedAt)
  if (believedUntil <= goneAt) return []
  // An operator took it: the watch of the key tells, in its time. A process that stands still believes nothing.
  const taken = history.interventions.some(
    ({ at, keys: theirs }) =>
      at >= created.at && at <= believedUntil && theirs.some(one => keys.includes(one)),
  )
  const stood = history.stalls.some(
    stall => stall.process === process && stall.from <= believedUntil && stall.until >= goneAt,
  )
  if (taken || stood) return []
  return [
    {
      rule: 'permit-believed-beyond',
      message: `${process} believed in ${key} with token ${token} until ${believedUntil}, but it was gone at ${goneAt}.`,
      involved: [id],
    },
  ]
}
