import { Code } from '../support/codes.ts'
import { concat, mapKey, toBytes } from '../wire/bytes.ts'
import { methods } from '../wire/methods.ts'
import { type Core, headerOf } from './core.ts'
import { InnerClient } from './inner-client.ts'
import { type Service, unary } from './service.ts'
import { StatusError } from './status-error.ts'

const NO_VALUE: Uint8Array = new Uint8Array()

/** Go's mutex, run inside the server: it stands in one line with clients that lock by themselves. */
export function lockService(core: Core): Service {
  const { store } = core
  return [
    unary(
      methods.lock,
      async (request, context) => {
        const client = new InnerClient(core, context)
        const prefix = concat(request.name, toBytes('/'))
        const lease = client.lease(request.lease)
        // Go's mutex reads the line in the transaction that joins it: who may not read it does not join it either.
        client.checkReadable(prefix)
        const { own, revision } = client.join(prefix, lease, NO_VALUE)
        const isFirst = client.first(prefix)?.createRevision === own.createRevision
        if (isFirst) return { header: headerOf(core, context.member, revision), key: own.key }
        try {
          await client.untilFirst(prefix, own.createRevision)
        } catch (error) {
          client.abandon(own)
          throw error
        }
        // The lease may have ended while it waited, and its key with it.
        if (store.get(mapKey(own.key)) === undefined)
          throw new StatusError(Code.unknown, 'mutex: session is expired')
        return { header: headerOf(core, context.member, store.revision), key: own.key }
      },
      'write',
    ),
    unary(
      methods.unlock,
      ({ key }, context) => {
        if (key.length === 0) throw new StatusError(Code.unknown, 'etcdserver: key is not provided')
        const revision = new InnerClient(core, context).delete(key)
        return { header: headerOf(core, context.member, revision) }
      },
      'write',
    ),
  ]
}
