import type { Workload } from '../stage.ts'
import { barrierWorkload } from './barrier.ts'
import { carelessWorkload } from './careless.ts'
import { cyclicBarrierWorkload } from './cyclic-barrier.ts'
import { doubleBarrierWorkload } from './double-barrier.ts'
import { electionWorkload } from './election.ts'
import { indeterminateWorkload } from './indeterminate.ts'
import { kvWorkload } from './kv.ts'
import { latchWorkload } from './latch.ts'
import { leadWorkload } from './lead.ts'
import { lockAllWorkload } from './lock-all.ts'
import { mutexWorkload } from './mutex.ts'
import { rwMutexWorkload } from './rw-mutex.ts'
import { semaphoreWorkload } from './semaphore.ts'
import { stmWorkload } from './stm.ts'

/** What is simulated, by the name of the recipe. */
export const workloads: Readonly<Record<string, Workload>> = {
  barrier: barrierWorkload,
  'cyclic-barrier': cyclicBarrierWorkload,
  'double-barrier': doubleBarrierWorkload,
  election: electionWorkload,
  kv: kvWorkload,
  latch: latchWorkload,
  lead: leadWorkload,
  'lock-all': lockAllWorkload,
  mutex: mutexWorkload,
  'rw-mutex': rwMutexWorkload,
  semaphore: semaphoreWorkload,
  stm: stmWorkload,
}

/** Programs with a mistake that must be found; played only when asked for by name. */
export const planted: Readonly<Record<string, Workload>> = {
  careless: carelessWorkload,
  indeterminate: indeterminateWorkload,
}

export function workloadOf(name: string): Workload | undefined {
  return workloads[name] ?? planted[name]
}
