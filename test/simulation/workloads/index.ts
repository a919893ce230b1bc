import type { Workload } from '../stage.ts'
import { kvWorkload } from './kv.ts'
import { mutexWorkload } from './mutex.ts'
import { stmWorkload } from './stm.ts'

/** What can be simulated, by the name of the recipe. */
export const workloads: Readonly<Record<string, Workload>> = {
  kv: kvWorkload,
  mutex: mutexWorkload,
  stm: stmWorkload,
}
