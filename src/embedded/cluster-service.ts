import type { Init } from '../wire/codec.ts'
import type { ResponseHeader } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { type Core, headerOf } from './core.ts'
import type { Member } from './member.ts'
import { MemberBook, type Membership } from './member-book.ts'
import { type Service, unary } from './service.ts'

interface Listing {
  readonly header: Init<ResponseHeader>
  readonly members: readonly Membership[]
}

/** Changing the member list is for root alone; reading it is for everybody. */
export function clusterService(core: Core): Service {
  const { access, members, runtime } = core
  const book = new MemberBook(runtime, members)
  /** Answers about members carry no revision. */
  const listing = (member: Member): Listing => ({ header: headerOf(core, member, 0n), members: book.list() })

  return [
    unary(
      methods.memberList,
      (_request, { member }) => listing(member),
      ({ linearizable }) => (linearizable ? 'read' : 'nothing'),
    ),
    unary(
      methods.memberAdd,
      ({ peerUrls, isLearner }, context) => {
        access.admin(context)
        const member = book.add(peerUrls, isLearner ? 'learner' : 'voter')
        return { ...listing(context.member), member }
      },
      'write',
    ),
    unary(
      methods.memberRemove,
      ({ id }, context) => {
        access.admin(context)
        book.remove(id)
        return listing(context.member)
      },
      'write',
    ),
    unary(
      methods.memberUpdate,
      ({ id, peerUrls }, context) => {
        access.admin(context)
        book.update(id, peerUrls)
        return listing(context.member)
      },
      'write',
    ),
    unary(
      methods.memberPromote,
      ({ id }, context) => {
        access.admin(context)
        book.promote(id)
        return listing(context.member)
      },
      'write',
    ),
  ]
}
