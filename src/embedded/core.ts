import type { Runtime } from '../support/runtime.ts'
import type { Init } from '../wire/codec.ts'
import type { ResponseHeader } from '../wire/gen/rpc.g.ts'
import type { AccessControl } from './access.ts'
import type { Lessor } from './lessor.ts'
import type { Member, Members } from './member.ts'
import type { Settings } from './settings.ts'
import type { Space } from './space.ts'
import type { Store } from './store.ts'

/** Everything the services of one embedded cluster share. */
export interface Core {
  readonly runtime: Runtime
  readonly settings: Settings
  readonly store: Store
  readonly lessor: Lessor
  readonly members: Members
  readonly access: AccessControl
  readonly space: Space
}

/** The header of an answer of `member`; the revision is the one it has applied unless the answer has its own. */
export function headerOf(
  { members }: Pick<Core, 'members'>,
  member: Member,
  revision: bigint = member.revision,
): Init<ResponseHeader> {
  return { clusterId: members.clusterId, memberId: member.id, revision, raftTerm: members.term }
}
