import type { Event } from '../../src/wire/gen/kv.g.ts'
import { methods } from '../../src/wire/methods.ts'
import type { Random } from './random.ts'

/**
 * Faults of servers that are known from released versions of etcd, played on what crosses the network:
 *
 * - a deletion a watch is never told of (3.4.23: #17529, #19179)
 * - revisions a watch is told again (#15271, #20221)
 * - a renewal confirmed although the lease is gone (#14758, #20590)
 * - a linearizable read that answers from the past (#20418)
 */
export class Tampering {
  readonly #random: Random
  /** What leases were last said to live for, to be said again when they are dead. */
  readonly #ttls = new Map<bigint, bigint>()
  /** None, once all is to heal. */
  #odds = 0.05

  constructor(random: Random) {
    this.#random = random
  }

  stop(): void {
    this.#odds = 0
  }

  /** A request on its way to a member. */
  request(path: string, request: Uint8Array): Uint8Array {
    if (path !== methods.range.path || !this.#random.chance(this.#odds)) return request
    return methods.range.request.encode({ ...methods.range.request.decode(request), serializable: true })
  }

  /** For one stream: what its reader gets instead of each message. */
  stream(path: string): { message(message: Uint8Array): Uint8Array[] } | undefined {
    if (path === methods.watch.path) return { message: message => this.#watched(message) }
    if (path === methods.leaseKeepAlive.path) return { message: message => [this.#renewed(message)] }
    return undefined
  }

  #watched(message: Uint8Array): Uint8Array[] {
    if (!this.#random.chance(this.#odds)) return [message]
    if (this.#random.chance(0.5)) return [message, message]
    const response = methods.watch.response.decode(message)
    const events = response.events.filter(event => !isDeletion(event))
    if (events.length === response.events.length) return [message]
    return events.length === 0 ? [] : [methods.watch.response.encode({ ...response, events })]
  }

  #renewed(message: Uint8Array): Uint8Array {
    const response = methods.leaseKeepAlive.response.decode(message)
    if (response.ttl > 0n) {
      this.#ttls.set(response.id, response.ttl)
      return message
    }
    const ttl = this.#ttls.get(response.id)
    if (ttl === undefined || !this.#random.chance(this.#odds * 10)) return message
    return methods.leaseKeepAlive.response.encode({ ...response, ttl })
  }
}

function isDeletion({ type }: Event): boolean {
  return type === 1
}
