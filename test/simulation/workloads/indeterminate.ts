import { EtcdError } from '../../../src/index.ts'
import { connected, pause, type Workload } from '../stage.ts'

/** In all plays of this process: what makes the second differ from the first. */
let written = 0

/**
 * A program that is not the same when it is played again, to show that the simulation notices: it does the same at
 * the same instants, and only what it writes differs.
 */
export const indeterminateWorkload: Workload = {
  name: 'indeterminate',
  lines: () => [],
  deeds: { called: 'writes', enough: 0 },
  actor: async (process, stage) => {
    const etcd = await connected(process, stage)
    if (etcd === undefined) return
    while (!stage.isOver) {
      await pause(process, 1000)
      written += 1
      await etcd.put('indeterminate', String(written).padStart(9, '0')).catch(error => {
        if (!EtcdError.is(error)) throw error
      })
    }
    await etcd.close()
  },
  afterwards: async () => {},
}
