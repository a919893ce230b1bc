import { createdAtWire } from '../../../src/client/compare.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import type { CallOptions } from '../../../src/client/submitter.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import { concat, prefixEnd } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { KeyValue } from '../../../src/wire/gen/kv.g.ts'
import { type RequestOp, type ResponseOp, SortOrder, SortTarget } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { type Stand, unanswered, understood } from '../line/claim.ts'
import { empty, emptyRange } from '../line/rule.ts'
import { type Candidate, type LeadKeys, leaderKeyOf, spanOf } from './candidate-entry.ts'

/** The two keys a session may have in an election with candidates. */
export interface CandidateStands {
  readonly leader: Stand
  readonly candidate: Stand
}

/** Our own keys and the head of the leaders' line, at one revision. */
export interface Standing {
  readonly leader: KeyValue | undefined
  readonly candidate: KeyValue | undefined
  readonly head: KeyValue | undefined
  readonly revision: bigint
}

export type Entered =
  /** Nobody led and nobody wanted to: created at this revision. */
  { readonly kind: 'leads'; readonly revision: bigint } | ({ readonly kind: 'stands' } & Standing)

const NO_END = new Uint8Array(0)

/** Leads if nobody does and nobody wants to; else becomes a candidate, unless it is one or leads. One round trip. */
export async function enter(
  session: SessionContext,
  keys: LeadKeys,
  stands: CandidateStands,
  { signal }: CallOptions,
): Promise<Entered> {
  const { leader, candidate } = stands
  const absent = [createdAtWire(candidate.own.key, 0n), createdAtWire(leader.own.key, 0n)]
  const register: Init<RequestOp> = {
    request: { kind: 'txn', value: { compare: absent, success: [put(session, candidate)] } },
  }
  const both = [leader, candidate]
  const response = await session.engine.submitter.submit({
    method: methods.txn,
    request: {
      compare: [empty(keys.leaders), empty(keys.candidates)],
      success: [put(session, leader)],
      failure: [register, ...looks(keys, stands)],
    },
    footprint: footprintOf(keys),
    // Made twice, it finds its own keys.
    repeat: 'idempotent',
    signal,
    onUnanswered: () => unanswered(both),
  })
  return understood(both, () => {
    const revision = revisionOf(response.header)
    if (response.succeeded) return { kind: 'leads', revision }
    const [registration, ...looked] = response.responses
    const standing = standingOf(looked, revision)
    if (!part(registration, 'txn').succeeded) recognise(stands, standing)
    return { kind: 'stands', ...standing }
  })
}

/** A key that was there, and whose creation nobody was told of, is that of an attempt without an answer: it made the one or the other. */
function recognise({ leader, candidate }: CandidateStands, found: Standing): void {
  const isOfGhost = ({ own }: Stand, kv: KeyValue | undefined) =>
    kv !== undefined && own.mayAdopt(kv.createRevision)
  if (!isOfGhost(leader, found.leader) && !isOfGhost(candidate, found.candidate)) return
  leader.own.ghostFound()
  candidate.own.ghostFound()
}

/** Turns a candidate into the leader, if it is still the candidate of that revision and nobody leads. One round trip. */
export async function claimVacancy(
  session: SessionContext,
  keys: LeadKeys,
  stands: CandidateStands,
  { candidateRevision, signal }: { readonly candidateRevision: bigint; readonly signal: AbortSignal },
): Promise<Entered> {
  const { leader, candidate } = stands
  const response = await session.engine.submitter.submit({
    method: methods.txn,
    request: {
      compare: [empty(keys.leaders), createdAtWire(candidate.own.key, candidateRevision)],
      success: [put(session, leader), deletion(candidate.own.key)],
      failure: looks(keys, stands),
    },
    footprint: footprintOf(keys),
    // It uses the candidate up: applied once, it is never applied again.
    repeat: 'idempotent',
    signal,
  })
  const revision = revisionOf(response.header)
  if (response.succeeded) return { kind: 'leads', revision }
  return { kind: 'stands', ...standingOf(response.responses, revision) }
}

/** Our own keys as they are now. One round trip. */
export async function lookAtOwn(
  { engine }: SessionContext,
  keys: LeadKeys,
  stands: CandidateStands,
  { signal }: CallOptions,
): Promise<Standing> {
  const { responses, header } = await engine.submitter.submit({
    method: methods.txn,
    request: { success: looks(keys, stands) },
    footprint: { ...footprintOf(keys), writes: [] },
    repeat: 'read',
    consistency: 'linearizable',
    signal,
  })
  return standingOf(responses, revisionOf(header))
}

/** Everybody who wants to lead. One round trip. */
export async function readCandidates(
  { engine }: Pick<SessionContext, 'engine'>,
  keys: LeadKeys,
  { signal, timeoutMs }: CallOptions,
): Promise<readonly KeyValue[]> {
  const { kvs } = await engine.submitter.submit({
    method: methods.range,
    request: { key: keys.candidates, rangeEnd: prefixEnd(keys.candidates) },
    footprint: { reads: [spanOf(keys.candidates)], writes: [] },
    consistency: 'linearizable',
    signal,
    timeoutMs,
  })
  return kvs
}

/**
 * `handed-over`: it leads now, in the same revision in which we ceased to. `gone`: we do not lead, whoever does.
 * `refused`: we still lead, for it is no candidate any more, or somebody stands in the leaders' line behind us.
 */
export type Transfer = 'handed-over' | 'gone' | 'refused'

/** Makes a candidate the leader in our place: there is no revision with no leader, and none with two. One round trip. */
export async function transfer(
  { engine }: Pick<SessionContext, 'engine'>,
  keys: LeadKeys,
  mine: { readonly key: Uint8Array; readonly createRevision: bigint },
  to: Candidate,
  { timeoutMs }: CallOptions,
): Promise<Transfer> {
  const theirs = leaderKeyOf(keys, to.leaseId)
  const { succeeded, responses } = await engine.submitter.submit({
    method: methods.txn,
    request: {
      compare: [
        createdAtWire(mine.key, mine.createRevision),
        createdAtWire(to.key, to.createRevision),
        emptyRange(keys.leaders, mine.key),
        emptyRange(concat(mine.key, Uint8Array.of(0)), prefixEnd(keys.leaders)),
      ],
      success: [
        deletion(mine.key),
        deletion(to.key),
        { request: { kind: 'put', value: { key: theirs, value: to.value, lease: to.leaseId } } },
      ],
      failure: [get(mine.key), get(theirs)],
    },
    footprint: footprintOf(keys),
    // It uses both keys up: applied once, it is never applied again.
    repeat: 'idempotent',
    timeoutMs,
  })
  if (succeeded) return 'handed-over'
  const [own, other] = responses.map(response => part(response, 'range').kvs[0])
  if (own?.createRevision === mine.createRevision) return 'refused'
  // An earlier attempt got no answer.
  return other === undefined ? 'gone' : 'handed-over'
}

function looks(keys: LeadKeys, { leader, candidate }: CandidateStands): readonly Init<RequestOp>[] {
  const head: Init<RequestOp> = {
    request: {
      kind: 'range',
      value: {
        key: keys.leaders,
        rangeEnd: prefixEnd(keys.leaders),
        sortOrder: SortOrder.ascend,
        sortTarget: SortTarget.createRevision,
        limit: 1n,
      },
    },
  }
  return [get(leader.own.key), get(candidate.own.key), head]
}

function standingOf(responses: readonly ResponseOp[], revision: bigint): Standing {
  const [leader, candidate, head] = [0, 1, 2].map(index => part(responses[index], 'range').kvs[0])
  return { leader, candidate, head, revision }
}

function put({ leaseId }: SessionContext, { own, value }: Stand): Init<RequestOp> {
  return { request: { kind: 'put', value: { key: own.key, value, lease: leaseId } } }
}

function deletion(key: Uint8Array): Init<RequestOp> {
  return { request: { kind: 'deleteRange', value: { key, rangeEnd: NO_END } } }
}

function get(key: Uint8Array): Init<RequestOp> {
  return { request: { kind: 'range', value: { key } } }
}

function footprintOf(keys: LeadKeys) {
  const spans = [spanOf(keys.leaders), spanOf(keys.candidates)]
  return { reads: spans, writes: spans }
}
