import type { TxnRequest } from '../wire/gen/rpc.g.ts'
import { methods } from '../wire/methods.ts'
import { compact } from './compaction.ts'
import { type Core, headerOf } from './core.ts'
import { checkDeleteRange, checkPut, checkRange, checkSize, checkTxn } from './kv-checks.ts'
import type { Member } from './member.ts'
import { answerRange, PRESENT, type Sight } from './range.ts'
import { type CallContext, type Service, unary } from './service.ts'
import { refuse } from './statuses.ts'
import { applyDeleteRange, applyPut, applyTxn, checkPutNow, isReadOnly, isSerializable } from './txn.ts'

/** What etcd books for a key beside its bytes. */
const KEY_BYTES = 256

export function kvService(core: Core): Service {
  const { access, settings, space, store } = core
  const checkLogged = ({ requestBytes }: CallContext) => checkSize(requestBytes, settings.maxRequestBytes)
  return [
    unary(
      methods.range,
      (request, context) => {
        checkRange(request)
        access.range(context, request)
        const { member } = context
        return { header: headerOf(core, member), ...answerRange(store, request, sightOf(core, member)) }
      },
      ({ serializable }) => (serializable ? 'nothing' : 'read'),
    ),
    unary(
      methods.put,
      (request, context) => {
        const bytes = KEY_BYTES + request.key.length + request.value.length
        space.admit(bytes, context.member.id)
        checkPut(request)
        checkLogged(context)
        access.put(context, request)
        space.checkAlarm(bytes)
        // A key to keep something of is looked for after the lease here, and before it in a transaction.
        if (request.lease !== 0n && !core.lessor.has(request.lease)) throw refuse.leaseNotFound()
        checkPutNow(core, request)
        const write = store.begin()
        const response = applyPut(store, write, request)
        write.commit()
        return { header: headerOf(core, context.member, store.revision), ...response }
      },
      'write',
    ),
    unary(
      methods.deleteRange,
      (request, context) => {
        checkDeleteRange(request)
        checkLogged(context)
        access.deleteRange(context, request)
        space.checkAlarm(0)
        const write = store.begin()
        const response = applyDeleteRange(write, request)
        write.commit()
        return { header: headerOf(core, context.member, store.revision), ...response }
      },
      'write',
    ),
    unary(
      methods.txn,
      (request, context) => {
        const bytes = putBytes(request)
        if (bytes > 0) space.admit(bytes, context.member.id)
        checkTxn(request, settings.maxTxnOps)
        const readOnly = isReadOnly(request)
        if (!readOnly) checkLogged(context)
        access.txn(context, request)
        const { member } = context
        if (readOnly) {
          const { response } = applyTxn(core, request, sightOf(core, member))
          return { header: headerOf(core, member), ...response }
        }
        space.checkAlarm(bytes)
        const { revision, response } = applyTxn(core, request)
        return { header: headerOf(core, member, revision), ...response }
      },
      request => (isReadOnly(request) ? (isSerializable(request) ? 'nothing' : 'read') : 'write'),
    ),
    unary(
      methods.compact,
      ({ revision }, context) => {
        access.compact(context)
        space.checkAlarm(0)
        compact(core, revision)
        return { header: headerOf(core, context.member, store.revision) }
      },
      'write',
    ),
  ]
}

/** A member answers from what it has applied, and what it has not is the future to it. */
function sightOf({ store }: Pick<Core, 'store'>, { revision }: Member): Sight {
  return revision === store.revision ? PRESENT : { now: revision, last: revision }
}

/** What the heavier branch would store. Measured: puts of nested transactions are not counted. */
function putBytes({ success, failure }: TxnRequest): number {
  const weights = [success, failure].map(ops =>
    ops.reduce((sum, { request }) => {
      if (request?.kind !== 'put') return sum
      return sum + KEY_BYTES + request.value.key.length + request.value.value.length
    }, 0),
  )
  return Math.max(...weights)
}
