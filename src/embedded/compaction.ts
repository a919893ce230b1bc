import type { Core } from './core.ts'

/**
 * Forgets what was before the revision, for all members. In the cluster's log a compaction comes after what it
 * compacts, so a member that lags has applied that much when it comes to it.
 */
export function compact({ store, members }: Pick<Core, 'store' | 'members'>, revision: bigint): void {
  store.assertCompactable(revision)
  for (const member of members.list) member.reach(revision)
  store.compact(revision)
}
