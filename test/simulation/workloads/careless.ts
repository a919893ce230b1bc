import { type Etcd, EtcdError } from '../../../src/index.ts'
import { mapKey } from '../../../src/wire/bytes.ts'
import type { SimulatedProcess } from '../simulated-process.ts'
import { connected, pause, type Stage, type Workload } from '../stage.ts'

const NAME = 'careless'
/** All that may wait for each other at the end have their turn before they would have to be done. */
const HOLD_MS = 7000

/**
 * A program with a mistake in it, to show that the simulation finds one: it locks, and then believes that it
 * holds for as long as it has planned, whatever it is told meanwhile.
 */
export const carelessWorkload: Workload = {
  name: 'careless',
  lines: () => [],
  deeds: { called: 'acquisitions', enough: 0 },
  actor: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) return
    while (!stage.isOver) {
      try {
        await lockOnce(etcd, process, stage)
      } catch (error) {
        if (!EtcdError.is(error)) stage.unexpected(error, 'the careless program')
        await pause(process, 100)
      }
    }
    await etcd.close()
  },
  afterwards: async () => {},
}

async function lockOnce(etcd: Etcd, process: SimulatedProcess, stage: Stage): Promise<void> {
  await using session = await etcd.session({ ttl: stage.plan.ttl })
  const acquisition = stage.recorder.acquisition(process, `${NAME}/`)
  const hold = await session.mutex(NAME).lock()
  acquisition.settle('ok', { key: mapKey(hold.key), token: hold.fencingToken })
  await pause(process, HOLD_MS)
  acquisition.belief.end()
}
