import { type ErrorCode, EtcdError } from '../../../src/index.ts'
import { disturbing, type FaultKind, type Plan } from '../plan.ts'

/** What is asked for. */
export type Saying =
  | 'session'
  | 'session that goes on'
  | 'close'
  | 'orphan'
  | 'lock'
  | 'try lock'
  | 'unlock'
  | 'acquire'
  | 'try acquire'
  | 'release'
  | 'resize'
  | 'change of mode'
  | 'meddling'
  | 'campaign'
  | 'try campaign'
  | 'resume leadership'
  | 'proclaim'
  | 'transfer'
  | 'resign'
  | 'observe'
  | 'lead'
  | 'guarded write'
  | 'close barrier'
  | 'open barrier'
  | 'release barrier'
  | 'wait at barrier'
  | 'await others'
  | 'reset'
  | 'status'
  | 'enter'
  | 'leave'
  | 'count down'
  | 'wait at latch'
  | 'set count'
  | 'put'
  | 'delete'
  | 'get'
  | 'range'
  | 'watch'
  | 'stm'

/** What a call says of a session that is over. */
const OVER: readonly ErrorCode[] = ['SESSION_LOST', 'SESSION_CLOSED']
/** What a call on something held says when it is not. */
const NOT_HELD: readonly ErrorCode[] = [...OVER, 'SESSION_SUSPENDED', 'LOCK_LOST', 'LOCK_RELEASED']

/** The codes that each call says of its own accord, as it documents them. */
const documented: Readonly<Record<Saying, readonly ErrorCode[]>> = {
  session: [],
  'session that goes on': ['LEASE_NOT_FOUND'],
  close: [],
  orphan: OVER,
  lock: [...OVER, 'LOCK_LOST'],
  'try lock': [...OVER, 'LOCK_LOST'],
  unlock: [],
  acquire: [...OVER, 'LOCK_LOST', 'FAILED_PRECONDITION'],
  'try acquire': [...OVER, 'LOCK_LOST', 'FAILED_PRECONDITION'],
  release: [],
  resize: [],
  'change of mode': NOT_HELD,
  // What asks somebody to unlock goes with a lease of its own, which may end before it is written.
  meddling: ['LEASE_NOT_FOUND'],
  campaign: [...OVER, 'LOCK_LOST'],
  'try campaign': [...OVER, 'LOCK_LOST'],
  'resume leadership': [...OVER, 'LOCK_LOST'],
  proclaim: NOT_HELD,
  transfer: NOT_HELD,
  resign: [],
  observe: [],
  lead: [],
  'guarded write': NOT_HELD,
  'close barrier': [...OVER, 'ALREADY_EXISTS'],
  'open barrier': [],
  'release barrier': [],
  'wait at barrier': [],
  'await others': [...OVER, 'BARRIER_BROKEN'],
  reset: OVER,
  status: [],
  enter: [...OVER, 'BARRIER_BROKEN', 'TOO_MANY_PARTICIPANTS'],
  leave: OVER,
  'count down': ['NOT_FOUND'],
  'wait at latch': [],
  'set count': [],
  put: [],
  delete: [],
  get: [],
  range: [],
  watch: [],
  stm: ['CONFLICT'],
}

/** These go on in spite of whatever passes, until they have come to their end. */
const persistent: ReadonlySet<Saying> = new Set([
  'unlock',
  'release',
  'resign',
  'release barrier',
  'leave',
  'reset',
  'observe',
  'lead',
  'watch',
])

/** May this call fail with this error, of its own accord or for what the plan does to the cluster and the network? */
export function maySay(plan: Plan, saying: Saying, error: unknown): boolean {
  if (!EtcdError.is(error)) return false
  if (documented[saying].includes(error.code)) return true
  if (persistent.has(saying)) {
    // Tokens that run out on their way, one after the other, are told as the refusal they are.
    if (error.code === 'UNAUTHENTICATED') return plan.tokenTtl > 0
    return saying === 'watch' && error.code === 'COMPACTED' && isCompacted(plan)
  }
  // Whoever lost an answer may not know whether it counted, or was counted.
  const isInDoubt = error.code === 'UNKNOWN' && (saying === 'count down' || saying === 'set count')
  return isPassing(plan, error.code) || (isInDoubt && error.outcome === 'unknown' && losesAnswers(plan))
}

/** What keeps a request from being answered, or has it refused for a while, by what brings it about. */
export function isPassing(plan: Plan, code: ErrorCode): boolean {
  switch (code) {
    case 'UNAVAILABLE':
    case 'NO_LEADER':
    case 'TIMEOUT':
      return losesAnswers(plan)
    case 'PROTOCOL':
      return plan.faults.includes('answer-garbled')
    case 'NO_SPACE':
      return plan.faults.includes('no-space')
    case 'UNAUTHENTICATED':
      return plan.tokenTtl > 0
    default:
      return false
  }
}

/** Where what is lost is the past. */
export function isCompacted({ faults, hostile }: Plan): boolean {
  return hostile || faults.includes('compaction')
}

/** Is anything there that answers may be lost by, or come too late? */
export function losesAnswers({ faults, spikeChance }: Plan): boolean {
  return spikeChance > 0 || faults.some(kind => disturbing.has(kind) || isOfProcess(kind))
}

function isOfProcess(kind: FaultKind): boolean {
  return kind.startsWith('process-')
}
