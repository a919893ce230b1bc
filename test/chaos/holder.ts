/** Holds locks until it is killed. Its config is JSON in its only argument. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'

export interface HolderConfig {
  readonly endpoints: readonly string[]
  /** One session for each. */
  readonly locks: readonly { readonly name: string; readonly ttl: number }[]
}

const { endpoints, locks } = JSON.parse(process.argv[2] ?? '{}') as HolderConfig
const etcd = await connect(endpoints)
etcd.on('warning', () => {})
for (const { name, ttl } of locks) {
  const session = await etcd.session({ ttl })
  await session.mutex(name).lock()
  // Renewals of each at another time, so that the crash finds them at all stages.
  await sleep(70)
}
process.on('disconnect', () => process.exit(1))
process.send?.({ kind: 'holding' })
