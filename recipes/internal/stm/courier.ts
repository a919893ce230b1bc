import type { Engine } from '../../../src/client/engine.ts'
import { type Deferred, deferred } from '../../../src/support/deferred.ts'
import { whenSettled } from '../../../src/support/settling.ts'
import type { Init } from '../../../src/wire/codec.ts'
import { EtcdError } from '../../../src/wire/errors.ts'
import type { ResponseOp, TxnRequest, TxnResponse } from '../../../src/wire/gen/rpc.g.ts'
import { methods } from '../../../src/wire/methods.ts'
import { MOST_BYTES } from './batch.ts'
import { MOST_OPERATIONS } from './reader.ts'

/** A commit to be delivered. */
export interface Parcel {
  readonly request: Init<TxnRequest>
  /** The length of its longest list, and about how many bytes it has. */
  readonly size: number
  readonly bytes: number
  /** May it be made twice? */
  readonly repeat: 'read' | 'once'
}

export interface Receipt {
  readonly succeeded: boolean
  readonly responses: readonly ResponseOp[]
  readonly revision: bigint
}

interface Waiting extends Parcel {
  readonly receipt: Deferred<Receipt>
}

/** What one transaction can be refused for without its neighbours being at fault. */
const ITS_OWN_FAULT: ReadonlySet<string> = new Set([
  'INVALID_ARGUMENT',
  'PERMISSION_DENIED',
  'NOT_FOUND',
  'LEASE_NOT_FOUND',
  'FAILED_PRECONDITION',
  'TOO_LARGE',
  'TOO_MANY_OPERATIONS',
  'DUPLICATE_KEY',
])

export function isItsOwnFault(error: unknown): boolean {
  return EtcdError.is(error) && error.outcome === 'rejected' && ITS_OWN_FAULT.has(error.code)
}

/**
 * Commits of one client that have nothing to do with each other. Those of one tick travel as transactions within
 * one transaction, each with conditions and a result of its own; there is one revision for all of them.
 */
export class StmCourier {
  readonly #engine: Engine
  #waiting: Waiting[] = []

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** With company only of parcels that touch nothing this one does: that is for the caller to know. */
  send(parcel: Parcel): Promise<Receipt> {
    const receipt = deferred<Receipt>()
    if (this.#waiting.length === 0) whenSettled(() => this.#leave())
    this.#waiting.push({ ...parcel, receipt })
    return receipt.promise
  }

  async sendAlone({ request, repeat }: Parcel): Promise<Receipt> {
    const response = await this.#submit(request, repeat)
    return { ...receiptOf(response), revision: response.header?.revision ?? 0n }
  }

  #leave(): void {
    const waiting = this.#waiting
    this.#waiting = []
    // Servers before 3.5.30 check no permissions inside nested transactions.
    if (this.#engine.authenticated) for (const one of waiting) this.#deliver([one])
    else for (const group of packed(waiting)) this.#deliver(group)
  }

  #deliver(group: readonly Waiting[]): void {
    const [first] = group
    if (first === undefined) return
    if (group.length === 1) this.sendAlone(first).then(first.receipt.resolve, first.receipt.reject)
    else void this.#deliverTogether(group)
  }

  async #deliverTogether(group: readonly Waiting[]): Promise<void> {
    try {
      const { responses, header } = await this.#submit(
        { success: group.map(({ request }) => ({ request: { kind: 'txn', value: request } })) },
        'once',
      )
      group.forEach(({ receipt }, index) => {
        const response = responses[index]?.response
        if (response?.kind === 'txn') {
          receipt.resolve({ ...receiptOf(response.value), revision: header?.revision ?? 0n })
        } else receipt.reject(unanswered())
      })
    } catch (error) {
      if (isItsOwnFault(error)) for (const one of group) this.#deliver([one])
      else for (const { receipt } of group) receipt.reject(error)
    }
  }

  #submit(request: Init<TxnRequest>, repeat: 'read' | 'once'): Promise<TxnResponse> {
    // What only confirms reads goes through no log of the cluster: a member that lags might confirm them from the past.
    const consistency = repeat === 'read' ? 'linearizable' : undefined
    return this.#engine.submitter.submit({
      method: methods.txn,
      request,
      footprint: 'alone',
      repeat,
      consistency,
    })
  }
}

/** A nested transaction may have as many operations as its outer one has left: etcd counts down on the way in. */
function packed(waiting: readonly Waiting[]): readonly Waiting[][] {
  const groups: Waiting[][] = []
  let group: Waiting[] = []
  let longest = 0
  let bytes = 0
  for (const one of waiting) {
    longest = Math.max(longest, one.size)
    bytes += one.bytes
    if (group.length > 0 && (group.length + 1 + longest > MOST_OPERATIONS || bytes > MOST_BYTES)) {
      groups.push(group)
      group = []
      longest = one.size
      bytes = one.bytes
    }
    group.push(one)
  }
  groups.push(group)
  return groups
}

function receiptOf({ succeeded, responses }: TxnResponse): Omit<Receipt, 'revision'> {
  return { succeeded, responses }
}

function unanswered(): EtcdError {
  return new EtcdError('PROTOCOL', '[PROTOCOL] a commit was left out of the answer', { outcome: 'unknown' })
}
