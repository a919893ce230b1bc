import { type Etcd, EtcdError, prefix } from '../../src/index.ts'
import { untilDone } from './stage.ts'

export const FILLING_KEY = '/filling/'
export const FILLING_BYTES: number = 2 ** 20

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
  for (const endpoint of endpoints) {
    await untilDone('defragmenting', () => etcd.maintenance.defragment(endpoint, { timeoutMs: 10_000 }))
  }
  await untilDone('disarming', async () => {
    for (const alarm of await etcd.maintenance.alarms({ timeoutMs: 3000 })) {
      await etcd.maintenance.disarm(alarm, { timeoutMs: 3000 })
    }
    if ((await etcd.maintenance.alarms({ timeoutMs: 3000 })).length > 0) throw new Error('still full')
  })
}
