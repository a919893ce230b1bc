/**
 * Where a real server is known to answer otherwise, and rightly or not will go on doing so. Such steps are left
 * out of the scripts for the series they concern; every other difference is an error of ours.
 */
import { AlarmAction, AlarmType } from '../../../src/wire/gen/rpc.g.ts'
import type { Series } from '../etcd-binaries.ts'
import { type Caller, type CallStep, type Plain, type PlainObject, Since, type Step } from './script.ts'

export interface KnownDifference {
  readonly series: readonly Series[]
  readonly reason: string
  /** Would the step run into it, played now? */
  concerns(step: Step, situation: Situation): boolean
}

export interface Situation {
  readonly authEnabled: boolean
  /** Does the call carry a token, good or bad? */
  carriesToken(caller: Caller): boolean
  /** Was a watch ended by a compaction? */
  readonly lostWatch: boolean
  /** Up to where the store is compacted, counted as the script counts. */
  readonly compacted: bigint
}

export const knownDifferences: readonly KnownDifference[] = [
  {
    series: ['3.4', '3.5'],
    reason:
      'before 3.4.36 and 3.5.18 a watch from the compacted revision on may miss the deletions of it (#19179)',
    concerns: (step, { compacted }) =>
      step.kind === 'watch' &&
      step.request.startRevision instanceof Since &&
      step.request.startRevision.offset === compacted,
  },
  {
    series: ['3.4'],
    reason:
      '3.4.23 tells progress while a watch of the stream is behind (#15220), as one ended by compaction is for ever',
    concerns: (step, { lostWatch }) => step.kind === 'progress' && lostWatch,
  },
  {
    series: ['3.4'],
    reason: '3.4 raises an alarm of no kind, and of no member it ends its process',
    concerns: step => isCall(step, 'alarm') && isRaisingNothing(step.request as PlainObject),
  },
  {
    series: ['3.4'],
    reason: '3.4 has no AuthStatus',
    concerns: step => isCall(step, 'authStatus'),
  },
  {
    series: ['3.4'],
    reason: '3.4 grants permissions on empty keys and empty ranges; 3.5 refuses them',
    concerns: step =>
      isCall(step, 'roleGrantPermission') &&
      !isRange((step.request as PlainObject).permission as PlainObject),
  },
  {
    series: ['3.4'],
    reason: '3.4 lets a user with an empty password sign in with it; 3.5 lets nobody',
    concerns: step =>
      (isCall(step, 'userAdd') || isCall(step, 'userChangePassword')) &&
      (step.request as PlainObject).password === '',
  },
  {
    series: ['3.4'],
    reason: '3.4 looks at tokens while authentication is off, and then knows none',
    concerns: (step, { authEnabled, carriesToken }) =>
      !authEnabled && 'caller' in step && carriesToken(step.caller),
  },
  {
    series: ['3.4'],
    reason: '3.4 tells everybody the keys of a lease; 3.5 those who may read them',
    concerns: (step, { authEnabled }) => authEnabled && isCall(step, 'leaseTimeToLive'),
  },
  {
    series: ['3.4', '3.5'],
    reason:
      'before 3.5.30 nested transactions are not checked for permissions; ours are, as 3.5.30 checks them',
    concerns: (step, { authEnabled }) =>
      authEnabled && isCall(step, 'txn') && hasNested(step.request as PlainObject),
  },
  {
    series: ['3.4', '3.5'],
    reason: 'before 3.5.28 leases are renewed, listed and asked for with any token; ours must be a valid one',
    concerns: (step, { authEnabled }) =>
      authEnabled &&
      (step.kind === 'keep-alive' || isCall(step, 'leaseLeases') || isCall(step, 'leaseTimeToLive')) &&
      step.caller !== 'nobody',
  },
  {
    series: ['3.4', '3.5'],
    reason:
      'whether a range with its ends swapped is allowed depends on the shape of a tree inside the server',
    concerns: (step, { authEnabled }) => authEnabled && 'request' in step && has(step.request, isSwapped),
  },
  {
    series: ['3.4', '3.5'],
    reason:
      'deletions of open ranges are not checked for overlap with puts; one that then keeps the value or lease ' +
      'of a key just deleted ends the process',
    concerns: step =>
      isCall(step, 'txn') &&
      has(
        step.request,
        ({ kind, value }) => kind === 'deleteRange' && endOf(value as PlainObject)?.join() === '0',
      ) &&
      has(step.request, ({ ignoreValue, ignoreLease }) => ignoreValue === true || ignoreLease === true),
  },
  {
    series: ['3.4', '3.5'],
    reason: 'before 3.5.33 a watch without an end is checked as a watch of its first key alone',
    concerns: (step, { authEnabled }) =>
      authEnabled && step.kind === 'watch' && endOf(step.request)?.join() === '0',
  },
]

function isCall(step: Step, method: CallStep['method']): step is CallStep {
  return step.kind === 'call' && step.method === method
}

function isRange(permission: PlainObject): boolean {
  const key = permission.key as Uint8Array
  const end = endOf(permission)
  if (key.length === 0) return false
  return end === undefined || end.join() === '0' || Buffer.compare(key, end) < 0
}

function isRaisingNothing({ action, alarm }: PlainObject): boolean {
  return action === AlarmAction.activate && alarm === AlarmType.none
}

function endOf({ rangeEnd }: PlainObject): Uint8Array | undefined {
  return rangeEnd instanceof Uint8Array ? rangeEnd : undefined
}

function hasNested(txn: PlainObject): boolean {
  const operations = [...(txn.success as PlainObject[]), ...(txn.failure as PlainObject[])]
  return operations.some(({ request }) => (request as PlainObject | undefined)?.kind === 'txn')
}

/** Is there a message like that anywhere in the request? */
function has(plain: Plain, isSuch: (message: PlainObject) => boolean): boolean {
  if (Array.isArray(plain)) return plain.some(item => has(item, isSuch))
  if (typeof plain !== 'object' || plain instanceof Uint8Array || plain instanceof Since) return false
  const message = plain as PlainObject
  return isSuch(message) || Object.values(message).some(field => has(field, isSuch))
}

function isSwapped({ key, rangeEnd }: PlainObject): boolean {
  if (!(key instanceof Uint8Array) || !(rangeEnd instanceof Uint8Array)) return false
  return rangeEnd.join() !== '0' && Buffer.compare(key, rangeEnd) > 0
}
