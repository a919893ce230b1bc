import type { Commit } from './history.ts'

/** The commit in which the place that was created at `token` went. */
export function deletionOf(log: readonly Commit[], key: string, token: bigint): Commit | undefined {
  return log.find(
    ({ revision, changes }) =>
      revision > token && changes.some(change => change.kind === 'delete' && change.key === key),
  )
}
