import type { Violation } from './history.ts'

/** A leader as an observer is told of it. */
export interface LeaderSeen {
  readonly key: string
  readonly createRevision: bigint
  readonly modRevision: bigint
}

/** What an observer must never be told, whatever happened: the past, or the same twice. */
export function checkLeaderOrder(line: string, told: readonly (LeaderSeen | undefined)[]): Violation[] {
  return told.slice(1).flatMap((after, index) => {
    const wrong = disorder(told[index], after)
    if (wrong === undefined) return []
    const [rule, words] = wrong
    return [{ rule, message: `An observer of ${line} was told: ${words}.`, involved: [] }]
  })
}

function disorder(
  before: LeaderSeen | undefined,
  after: LeaderSeen | undefined,
): readonly [rule: string, words: string] | undefined {
  if (before === undefined && after === undefined) return ['vacancy-repeated', 'nobody leads, twice in a row']
  if (before === undefined || after === undefined) return undefined
  const { key, createRevision, modRevision } = after
  if (createRevision < before.createRevision)
    return ['leader-back', `${key} of ${createRevision}, whom ${before.createRevision} had followed`]
  if (createRevision > before.createRevision) return undefined
  if (key !== before.key)
    return ['leaders-of-one-revision', `${before.key} and ${key}, both of ${createRevision}`]
  if (modRevision > before.modRevision) return undefined
  return ['proclaimed-before', `${key} of ${modRevision} after that of ${before.modRevision}`]
}
