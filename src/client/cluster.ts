import { checkOneOf } from '../support/options.ts'
import { EtcdError } from '../wire/errors.ts'
import type { Member as WireMember } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { checkCall } from './kv.ts'
import type { CallOptions, Submitter } from './submitter.ts'

/** One server of the cluster. */
export interface Member {
  readonly id: bigint
  /** Empty until it has started. */
  readonly name: string
  /** Where the other members reach it. */
  readonly peerUrls: readonly string[]
  /** Where it says clients reach it; empty until it has started. */
  readonly clientUrls: readonly string[]
  /** It receives everything and has no vote. */
  readonly isLearner: boolean
}

export interface MembersOptions extends CallOptions {
  /**
   * `linearizable`, the default: confirmed by a majority, from etcd 3.5 on; a 3.4 member answers what it knows
   * itself. `serializable`: what the asked member knows, also without a leader.
   */
  readonly consistency?: 'linearizable' | 'serializable' | undefined
}

export interface AddMemberOptions extends CallOptions {
  /** Without a vote until it is promoted. Default: no. */
  readonly learner?: boolean | undefined
}

/** The members of the cluster. Each method takes one round trip; changes are not repeated when their outcome is unknown. */
export class Cluster {
  readonly #submitter: Submitter

  constructor(submitter: Submitter) {
    this.#submitter = submitter
  }

  /** Resolves with all members, learners and those not started included. */
  async members(options: MembersOptions = {}): Promise<readonly Member[]> {
    options = checkCall(options, ['consistency'], 'members')
    const { consistency = 'linearizable', signal, timeoutMs } = options
    checkOneOf(consistency, ['linearizable', 'serializable'], 'consistency')
    const { members } = await this.#submitter.submit({
      method: methods.memberList,
      request: { linearizable: consistency === 'linearizable' },
      footprint: 'alone',
      // The answer carries no revision, so there is none to hold against what was seen before.
      consistency: consistency === 'serializable' ? consistency : undefined,
      signal,
      timeoutMs,
    })
    return members.map(memberOf)
  }

  /**
   * Resolves with the new member once the cluster counts on it; it is started afterwards. FAILED_PRECONDITION
   * when too few members are up for that, ALREADY_EXISTS when one has these URLs.
   */
  async addMember(peerUrls: readonly string[], options: AddMemberOptions = {}): Promise<Member> {
    options = checkCall(options, ['learner'], 'addMember')
    const { learner = false, signal, timeoutMs } = options
    if (typeof learner !== 'boolean') throw new TypeError(`learner is true or false, got ${typeof learner}`)
    const { member } = await this.#submitter.submit({
      method: methods.memberAdd,
      request: { peerUrls: checkPeerUrls(peerUrls), isLearner: learner },
      footprint: 'alone',
      signal,
      timeoutMs,
    })
    if (member !== undefined) return memberOf(member)
    throw new EtcdError('PROTOCOL', '[PROTOCOL] MemberAdd was answered without the member', {
      outcome: 'unknown',
    })
  }

  /** Resolves with the members that are left. NOT_FOUND if there is none of this id. */
  async removeMember(id: bigint, options: CallOptions = {}): Promise<readonly Member[]> {
    options = checkCall(options, [], 'removeMember')
    const { members } = await this.#submitter.submit({
      method: methods.memberRemove,
      request: { id: checkMemberId(id) },
      footprint: 'alone',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return members.map(memberOf)
  }

  /** Resolves with all members when this one has its new URLs. NOT_FOUND if there is none of this id. */
  async updateMember(
    id: bigint,
    peerUrls: readonly string[],
    options: CallOptions = {},
  ): Promise<readonly Member[]> {
    options = checkCall(options, [], 'updateMember')
    const { members } = await this.#submitter.submit({
      method: methods.memberUpdate,
      request: { id: checkMemberId(id), peerUrls: checkPeerUrls(peerUrls) },
      footprint: 'alone',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return members.map(memberOf)
  }

  /** Resolves with all members when this learner has a vote. FAILED_PRECONDITION if it is none, or has not caught up yet. */
  async promoteMember(id: bigint, options: CallOptions = {}): Promise<readonly Member[]> {
    options = checkCall(options, [], 'promoteMember')
    const { members } = await this.#submitter.submit({
      method: methods.memberPromote,
      request: { id: checkMemberId(id) },
      footprint: 'alone',
      signal: options.signal,
      timeoutMs: options.timeoutMs,
    })
    return members.map(memberOf)
  }
}

/** Ids of members use all 64 bits. */
export function checkMemberId(id: unknown): bigint {
  if (typeof id !== 'bigint') throw new TypeError(`a member id is a bigint, got ${typeof id}`)
  if (id < 1n || id >= 2n ** 64n) throw new RangeError(`a member id is at least 1 and below 2^64, got ${id}`)
  return id
}

function memberOf({ id, name, peerUrls, clientUrls, isLearner }: WireMember): Member {
  return { id, name, peerUrls, clientUrls, isLearner }
}

function checkPeerUrls(urls: unknown): readonly string[] {
  if (!Array.isArray(urls)) throw new TypeError('the peer URLs of a member are a list of strings')
  if (urls.length === 0) throw new RangeError('a member has at least one peer URL')
  for (const url of urls) {
    if (typeof url !== 'string') throw new TypeError(`a peer URL is a string, got ${typeof url}`)
    if (!/^(https?|unixs?):\/\//.test(url) || !URL.canParse(url)) {
      throw new TypeError(`a peer URL is of the form http://host:port, got ${JSON.stringify(url)}`)
    }
  }
  return urls
}
