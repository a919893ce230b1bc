import type { Hold } from '../../../src/index.ts'
import type { Plan } from '../plan.ts'
import type { Random } from '../random.ts'
import type { Stage, Workload } from '../stage.ts'
import { type Locks, lockWorkload, type Wanted } from './locking.ts'
import { Meddlers, mutexTermsOf, REQUEST_TTL, tooSoon } from './mutex-terms.ts'
import { leftLeases } from './relay.ts'
import { REQUEST_MS } from './standing.ts'

/** Below it are locks on things that are done once. */
const JOBS = 'jobs/'

const mutexes: Locks<Hold> = {
  name: 'mutex',
  prefixes: ({ lines }) => [...Array.from({ length: lines }, (_, index) => `${lineName(index)}/`), JOBS],
  wanted: (random, plan, once) => {
    const how = (): 'lock' | 'tryLock' => (random.chance(0.15) ? 'tryLock' : 'lock')
    // A name used once: whatever is left there is not found by the next who comes.
    return random.chance(0.15)
      ? onceOf(`${JOBS}${once}`, how())
      : wantedOf(plan, someLine(random, plan), how())
  },
  each: plan => Array.from({ length: plan.lines }, (_, index) => wantedOf(plan, lineName(index), 'lock')),
  again: ({ name }, plan) => (name.startsWith(JOBS) ? onceOf(name, 'lock') : wantedOf(plan, name, 'lock')),
  // It is asked whether somebody lost the lock, and then once more after that time.
  delayMs: plan => {
    const { lockDelayMs } = mutexTermsOf(plan).options
    return lockDelayMs === undefined ? 0 : lockDelayMs + 2 * REQUEST_MS
  },
  meanwhile: ({ process, stage, session, random }) =>
    meddlersOf(stage).meddle({ process, stage }, session, {
      random,
      someName: () => someLine(random, stage.plan),
    }),
}

const locking = lockWorkload(mutexes)

export const mutexWorkload: Workload = {
  ...locking,
  longestLeaseMs: 2000 * REQUEST_TTL,
  maxHoldMs: (plan, line) => (line.startsWith(JOBS) ? undefined : mutexTermsOf(plan).options.maxHoldMs),
  afterwards: async (process, stage) => {
    await locking.afterwards(process, stage)
    const meddlers = meddlersOf(stage)
    meddlers.tell(stage)
    for (const { rule, message } of meddlers.deaf(stage, leftLeases(stage)))
      stage.unexpected(new Error(`${rule}: ${message}`), 'a request to unlock')
    for (const { rule, message } of tooSoon(stage, mutexTermsOf(stage.plan)))
      stage.unexpected(new Error(`${rule}: ${message}`), 'the delay after a loss')
  },
}

const meddlers = new WeakMap<Stage, Meddlers>()

function meddlersOf(stage: Stage): Meddlers {
  const known = meddlers.get(stage) ?? new Meddlers(mutexTermsOf(stage.plan))
  meddlers.set(stage, known)
  return known
}

function wantedOf(plan: Plan, name: string, how: 'lock' | 'tryLock'): Wanted<Hold> {
  const { options } = mutexTermsOf(plan)
  return {
    names: [name],
    tries: how === 'tryLock',
    take: (session, signal) => session.mutex(name, options)[how]({ signal }),
  }
}

function onceOf(name: string, how: 'lock' | 'tryLock'): Wanted<Hold> {
  return {
    names: [name],
    tries: how === 'tryLock',
    take: (session, signal) => session.mutex(name)[how]({ signal }),
  }
}

function someLine(random: Random, { lines }: Plan): string {
  return lineName(random.integer(0, lines - 1))
}

function lineName(index: number): string {
  return `locks/${index}`
}
