import type { Network } from '../support/etcd-cluster.ts'

/** Where a worker process is; another takes the place of one that is killed. */
export interface Place {
  readonly name: string
  readonly endpoints: readonly string[]
  readonly ttl: number
  readonly isExpendable: boolean
}

export const placeNames = ['ann', 'bob', 'cyd', 'dan'] as const

/** Two on each network, each with another way to go first. */
export function placesOn(one: Network, other: Network): readonly Place[] {
  const [ann, bob, cyd, dan] = placeNames
  return [
    { name: ann, endpoints: one.endpoints, ttl: 10, isExpendable: false },
    { name: bob, endpoints: other.endpoints.toReversed(), ttl: 5, isExpendable: false },
    { name: cyd, endpoints: one.endpoints.toReversed(), ttl: 5, isExpendable: true },
    { name: dan, endpoints: other.endpoints, ttl: 10, isExpendable: true },
  ]
}
