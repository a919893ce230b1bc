import { connect, type Etcd, EtcdError, prefix } from '../../src/index.ts'
import { untilDone } from './stage.ts'

export const FILLING_KEY = '/filling/'
export const FILLING_BYTES: number = 2 ** 20
/** More is never left when what filled it has gone. */
const EMPTY_BYTES = 8 * 2 ** 20

/** As the operations guide of etcd has it: delete, compact, defragment, disarm. */
export async function makeRoom(
  etcd: Etcd,
  endpoints: readonly string[],
  recorded?: () => Promise<bigint>,
): Promise<void> {
  let revision = 0n
  await untilDone('deleting', async () => {
    revision = (await etcd.delete(prefix(FILLING_KEY), { timeoutMs: 3000 })).revision
  })
  // What the recorder has not seen must not be forgotten.
  await untilDone('recording', async () => {
    if (recorded !== undefined && (await recorded()) < revision) throw new Error('the recorder is behind')
  })
  await untilDone('compacting', () =>
    etcd.compact(revision, { physical: true, timeoutMs: 5000 }).catch(error => {
      if (!EtcdError.is(error, 'COMPACTED')) throw error
    }),
  )
  for (const endpoint of endpoints) await untilDone('defragmenting', () => defragment(etcd, endpoint))
  await untilDone('disarming', async () => {
    for (const alarm of await etcd.maintenance.alarms({ timeoutMs: 3000 })) {
      await etcd.maintenance.disarm(alarm, { timeoutMs: 3000 })
    }
    if ((await etcd.maintenance.alarms({ timeoutMs: 3000 })).length > 0) throw new Error('still full')
  })
}

/**
 * A member that is behind must not be defragmented before it has caught up: then it comes to the writes that filled
 * the database afterwards, keeps their room, and raises the alarm again when everybody believes in the repair. So it
 * has to answer a read that needs the majority first, and to be small in the end: it forgets in its own time what
 * is compacted.
 */
async function defragment(etcd: Etcd, endpoint: string): Promise<void> {
  const { maintenance } = etcd
  await using own = await connect(endpoint, { connectTimeoutMs: 3000 })
  await own.get(FILLING_KEY, { timeoutMs: 3000 })
  await maintenance.defragment(endpoint, { timeoutMs: 10_000 })
  const { dbSize } = await maintenance.status(endpoint, { timeoutMs: 3000 })
  if (dbSize > EMPTY_BYTES) throw new Error(`${endpoint} still takes ${dbSize} bytes`)
}
