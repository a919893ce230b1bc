import type { Hold } from '../../../src/index.ts'
import type { Workload } from '../stage.ts'
import { type Locks, lockWorkload, type Wanted } from './locking.ts'

/** Below it are locks on things that are done once. */
const JOBS = 'jobs/'

const mutexes: Locks<Hold> = {
  name: 'mutex',
  prefixes: ({ lines }) => [...Array.from({ length: lines }, (_, index) => `${lineName(index)}/`), JOBS],
  wanted: (random, plan, once) => {
    // A name used once: whatever is left there is not found by the next who comes.
    const name = random.chance(0.15) ? `${JOBS}${once}` : lineName(random.integer(0, plan.lines - 1))
    return wantedOf(name, random.chance(0.15) ? 'tryLock' : 'lock')
  },
  each: ({ lines }) => Array.from({ length: lines }, (_, index) => wantedOf(lineName(index), 'lock')),
}

export const mutexWorkload: Workload = lockWorkload(mutexes)

function wantedOf(name: string, how: 'lock' | 'tryLock'): Wanted<Hold> {
  return { names: [name], take: (session, signal) => session.mutex(name)[how]({ signal }) }
}

function lineName(index: number): string {
  return `locks/${index}`
}
