import { createdAtWire } from '../../../src/client/compare.ts'
import { part, revisionOf } from '../../../src/client/response-part.ts'
import type { SessionContext } from '../../../src/session/session-context.ts'
import type { LazyAbort } from '../../../src/support/lazy-abort.ts'
import { prefixEnd } from '../../../src/wire/bytes.ts'
import type { Init } from '../../../src/wire/codec.ts'
import type { RequestOp, ResponseOp, TxnRequest } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { isGhost, mayTakeOver, oursInLine, type Stand, unanswered, understood } from './claim.ts'
import { type Entry, entryOf, isForeign } from './entry.ts'
import { isFree } from './far-place.ts'
import { type LineReading, lineRange, lineReading } from './line-reading.ts'
import { nameClash } from './own-place.ts'
import { type Condition, unchangedSince } from './rule.ts'
import { anyOf, wayTaken } from './ways.ts'

/** So many ways for all lines to be vacant are asked for in one transaction; of more, the one that looks right. */
const WAYS_AT_ONCE = 4
/** Etcd takes so many compares, and so many operations, in one transaction together with those it is nested in. */
const OPERATIONS = 128
/** How often a way that looked right may be found wrong before somebody counts as being in the way. */
const LOOKS = 3

/** Created, or found. */
export interface Vacant {
  readonly createRevision: bigint
  /** Our own keys, if they were there already. */
  readonly found: readonly Entry[]
}

/** What was found instead: our own keys, where they exist, and the lines. */
interface Occupied {
  readonly found: readonly (Entry | undefined)[]
  readonly readings: readonly LineReading[]
}

/**
 * Creates the keys of all stands if nobody is to be waited for in any of their lines; undefined, and nothing was
 * written, otherwise. One round trip; one more for more than two lines that readers may share, or for one among many,
 * and for each page of a long line in which our own keys are found.
 */
export async function createIfVacant(
  session: SessionContext,
  stands: readonly Stand[],
  abandoned: LazyAbort,
): Promise<Vacant | undefined> {
  // Of too many none is asked for: the first answer only shows the lines.
  let ways = waysOf(stands)
  for (let look = 1; ; look++) {
    const answer = await ask(session, stands, ways, abandoned)
    if (typeof answer === 'bigint') return { createRevision: answer, found: [] }
    const everyWay = look === 1 && ways.length > 0
    if (inTheWay(session, stands, answer, everyWay)) {
      const own = await ownAtTheHead(session, stands, answer, abandoned)
      if (own === undefined) leaveGhosts(stands, answer)
      return own
    }
    // Nobody was, when it was read: either nothing was asked for yet, or the line has changed since.
    const likely = likelyWay(stands, answer)
    if (look > LOOKS || likely === undefined) return undefined
    ways = [likely]
    await session.reliable()
    abandoned.throwIfAborted()
  }
}

/** Every combination of what would do for each line; none if there are too many. */
function waysOf(stands: readonly Stand[]): readonly Condition[] {
  let ways: readonly Condition[] = [absent(stands)]
  for (const { prefix, rule } of stands) {
    ways = rule.vacant(prefix).flatMap(more => ways.map(way => [...way, ...more]))
    if (ways.length > WAYS_AT_ONCE) return []
  }
  return inOneTransaction(ways, stands) ? ways : []
}

/**
 * Lines seen with nobody in them are to be empty, the others as those in them allow; of too many, all as they were
 * seen, and as they allow where not all of a line was. None if that is too much, too.
 */
function likelyWay(stands: readonly Stand[], { readings }: Occupied): Condition | undefined {
  const ways = stands.map(({ prefix, rule }, index) => {
    const vacant = rule.vacant(prefix)
    return readings[index]?.entries.length === 0 ? vacant.at(-1)! : vacant[0]
  })
  const asSeen = stands.flatMap(({ prefix }, index) => {
    const { revision, truncated } = readings[index]!
    const unchanged = unchangedSince(prefix, revision)
    return truncated ? [unchanged, ...ways[index]!] : [unchanged]
  })
  return [[...absent(stands), ...ways.flat()], asSeen].find(way => inOneTransaction([way], stands))
}

/** Each way is asked for within the failure of the one before it, and the last of them looks. */
function inOneTransaction(ways: readonly Condition[], { length: names }: readonly Stand[]): boolean {
  const operations = ways.map(({ length }, index) =>
    Math.max(length, index === ways.length - 1 ? 2 * names : names),
  )
  return operations.reduce((sum, one) => sum + one) <= OPERATIONS
}

function absent(stands: readonly Stand[]): Condition {
  return stands.map(({ own }) => createdAtWire(own.key, 0n))
}

async function ask(
  session: SessionContext,
  stands: readonly Stand[],
  ways: readonly Condition[],
  abandoned: LazyAbort,
): Promise<bigint | Occupied> {
  const spans = stands.map(({ prefix }) => ({ key: prefix, end: prefixEnd(prefix) }))
  // Asking for no way it creates nothing, and nothing puts its answer behind what was told before but the demand.
  const looks = ways.length === 0
  const created = looks ? [] : stands
  const response = await session.engine.submitter.submit({
    method: methods.txn,
    request: requestOf(session, stands, ways),
    footprint: { reads: spans, writes: looks ? [] : spans },
    // From before an unlock it would show keys whose token was told, and what had been told is forgotten since.
    consistency: looks ? 'linearizable' : undefined,
    // Made twice, it finds its own keys at the head.
    repeat: 'idempotent',
    noMoreAttempts: abandoned,
    onUnanswered: () => unanswered(created),
  })
  return understood(created, () => {
    const revision = revisionOf(response.header)
    const { succeeded, responses } = wayTaken(response, ways.length)
    return succeeded ? revision : occupied(responses, stands, revision)
  })
}

function requestOf(
  session: SessionContext,
  stands: readonly Stand[],
  ways: readonly Condition[],
): Init<TxnRequest> {
  const puts = stands.map(
    ({ own, value }): Init<RequestOp> => ({
      request: { kind: 'put', value: { key: own.key, value, lease: session.leaseId } },
    }),
  )
  const looks = [
    ...stands.map(({ own }): Init<RequestOp> => ({ request: { kind: 'range', value: { key: own.key } } })),
    ...stands.map(({ prefix, rule }, index): Init<RequestOp> => {
      const ours = oursInLine(stands, index)
      const line = lineRange(prefix, rule.values, ours)
      // Where order alone decides, whoever is at the head is in the way.
      const value = rule.values === 'ignored' ? { ...line, limit: BigInt(ours) } : line
      return { request: { kind: 'range', value } }
    }),
  ]
  return anyOf(ways, puts, looks)
}

function occupied(responses: readonly ResponseOp[], stands: readonly Stand[], revision: bigint): Occupied {
  return {
    found: stands.map((_, index) => {
      const kv = part(responses[index], 'range').kvs[0]
      return kv === undefined ? undefined : entryOf(kv)
    }),
    readings: stands.map((_, index) =>
      lineReading(part(responses[stands.length + index], 'range'), revision),
    ),
  }
}

/**
 * Is an own key there already, or anybody a newcomer would wait for? A key of our own that is no place is refused.
 * `everyWay`: none of them was open, so if it is nobody who is seen, it is somebody behind them.
 */
function inTheWay(
  { leaseId }: SessionContext,
  stands: readonly Stand[],
  { found, readings }: Occupied,
  everyWay: boolean,
): boolean {
  let any = found.some(entry => entry !== undefined)
  for (const [index, { prefix, rule, own, value }] of stands.entries()) {
    const { entries, truncated, revision } = readings[index]!
    const next = revision + 1n
    const newcomer = {
      name: '',
      key: own.key,
      createRevision: next,
      modRevision: next,
      lease: leaseId,
      value,
    }
    // Keys of names below this one, created together with its own, are what an attempt of ours has made.
    const others = entries.filter(entry => entry.createRevision !== found[index]?.createRevision)
    const first = others.find(entry => rule.blocks(entry, newcomer))
    if (first !== undefined && first.lease === leaseId && isForeign(first, prefix.length, rule.keys))
      throw nameClash(first, prefix)
    any ||= first !== undefined || (truncated && everyWay)
  }
  return any
}

/** Our own keys, left by an attempt without an answer, if nobody is waited for before them and nobody was told their token. */
async function ownAtTheHead(
  { engine, leaseId }: SessionContext,
  stands: readonly Stand[],
  { found, readings }: Occupied,
  abandoned: LazyAbort,
): Promise<Vacant | undefined> {
  const [first] = found
  if (first === undefined) return undefined
  const ours: Entry[] = []
  const far: (() => Promise<boolean>)[] = []
  for (const [index, stand] of stands.entries()) {
    const { prefix, rule } = stand
    const mine = found[index]
    if (mine?.createRevision !== first.createRevision || !mayTakeOver(stand, mine)) return undefined
    // Somebody has written it over: it would outlive us.
    if (mine.lease !== leaseId) return undefined
    const { entries, truncated, revision } = readings[index]!
    const ahead = entries.filter(({ createRevision }) => createRevision < mine.createRevision)
    if (ahead.some(entry => rule.blocks(entry, mine))) return undefined
    ours.push(mine)
    if (entries.some(({ name }) => name === mine.name)) continue
    if (!truncated) return undefined
    // Behind a crowd that need not be waited for, and that may hide somebody who must.
    far.push(() => isFree({ engine, prefix, rule, mine, signal: abandoned.signal }, revision))
  }
  if ((await Promise.all(far.map(look => look()))).includes(false)) return undefined
  for (const { own } of stands) own.ghostFound()
  return { createRevision: first.createRevision, found: ours }
}

/** Ghosts of whoever had the lease before us are watched for by nobody yet: they go when our turn is over. */
function leaveGhosts(stands: readonly Stand[], { found }: Occupied): void {
  for (const [index, stand] of stands.entries()) {
    const mine = found[index]
    if (mine === undefined || stand.own.isHaunted) continue
    if (isGhost(stand, mine.createRevision)) stand.own.unanswered()
  }
}
