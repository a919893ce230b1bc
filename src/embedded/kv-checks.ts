import { mapKey } from '../wire/bytes.ts'
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  SortOrder,
  SortTarget,
  type TxnRequest,
} from '../wire/gen/rpc.g.ts'
import { refuse } from './statuses.ts'

const SORT_ORDERS: ReadonlySet<number> = new Set(Object.values(SortOrder))
const SORT_TARGETS: ReadonlySet<number> = new Set(Object.values(SortTarget))

/** What the log entry around a request weighs. */
const ENTRY_BYTES = 18

/** What is wrong with a request whatever is stored: refused before anything else is looked at. */

export function checkRange({ key, sortOrder, sortTarget }: RangeRequest): void {
  if (key.length === 0) throw refuse.emptyKey()
  if (!SORT_ORDERS.has(sortOrder) || !SORT_TARGETS.has(sortTarget)) throw refuse.invalidSortOption()
}

export function checkPut({ key, value, lease, ignoreValue, ignoreLease }: PutRequest): void {
  if (key.length === 0) throw refuse.emptyKey()
  if (ignoreValue && value.length > 0) throw refuse.valueProvided()
  if (ignoreLease && lease !== 0n) throw refuse.leaseProvided()
}

export function checkDeleteRange({ key }: DeleteRangeRequest): void {
  if (key.length === 0) throw refuse.emptyKey()
}

/** Of a request that goes into the log. */
export function checkSize(requestBytes: number, maxRequestBytes: number): void {
  if (requestBytes + ENTRY_BYTES > maxRequestBytes) throw refuse.requestTooLarge()
}

export function checkTxn(request: TxnRequest, maxOps: number): void {
  checkOps(request, maxOps)
  for (const ops of [request.success, request.failure]) if (canClash(ops)) touched(ops)
}

/** A level may have as many operations as the levels around it left over. */
function checkOps({ compare, success, failure }: TxnRequest, maxOps: number): void {
  const ops = Math.max(compare.length, success.length, failure.length)
  if (ops > maxOps) throw refuse.tooManyOps()
  if (compare.some(({ key }) => key.length === 0)) throw refuse.emptyKey()
  for (const { request } of [...success, ...failure]) {
    switch (request?.kind) {
      case 'range':
        checkRange(request.value)
        break
      case 'put':
        checkPut(request.value)
        break
      case 'deleteRange':
        checkDeleteRange(request.value)
        break
      case 'txn':
        checkOps(request.value, maxOps - ops)
        break
      case undefined:
        // An operation this server has no name for.
        throw refuse.keyNotFound()
    }
  }
}

/** A write alone, as in most branches there are, clashes with nothing. */
function canClash(ops: readonly RequestOp[]): boolean {
  let writes = 0
  for (const { request } of ops) {
    if (request?.kind === 'txn') return true
    if (request?.kind !== 'range') writes += 1
  }
  return writes > 1
}

/** What one branch of a transaction would put and delete. */
interface Touched {
  readonly puts: Set<string>
  readonly deletes: Interval[]
}

interface Interval {
  readonly start: string
  /** Exclusive. Unlike elsewhere no end is an empty string. */
  readonly end: string
}

/**
 * Refuses a branch that puts a key twice, or puts and deletes it. Of a nested transaction either branch may
 * happen, so both count, though not against each other. Nested transactions are looked at first, in their
 * order, as etcd does: one that deletes what an earlier one puts is allowed.
 */
function touched(ops: readonly RequestOp[]): Touched {
  const puts = new Set<string>()
  const deletes: Interval[] = []
  for (const { request } of ops) if (request?.kind === 'deleteRange') deletes.push(doomed(request.value))
  const claim = (name: string) => {
    if (puts.has(name) || deletes.some(interval => covers(interval, name))) throw refuse.duplicateKey()
  }
  for (const { request } of ops) {
    if (request?.kind !== 'txn') continue
    const success = touched(request.value.success)
    const failure = touched(request.value.failure)
    const either = new Set([...success.puts, ...failure.puts])
    for (const name of either) claim(name)
    for (const name of either) puts.add(name)
    deletes.push(...success.deletes, ...failure.deletes)
  }
  for (const { request } of ops) {
    if (request?.kind !== 'put') continue
    const name = mapKey(request.value.key)
    claim(name)
    puts.add(name)
  }
  return { puts, deletes }
}

/** etcd does not read a single zero byte as "no end" here: such a deletion meets no put. */
function doomed({ key, rangeEnd }: DeleteRangeRequest): Interval {
  const start = mapKey(key)
  return { start, end: rangeEnd.length === 0 ? `${start}\0` : mapKey(rangeEnd) }
}

function covers({ start, end }: Interval, name: string): boolean {
  return name >= start && name < end
}
